"""Tiny made-up rows in the exact layouts of published data sets. Nothing here is from a data set."""

import csv
import gzip
import io
import json
import pickle
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from llava_graph.images import encode_png


def picture(seed: int = 0, size: tuple[int, int] = (24, 16)) -> bytes:
    """A PNG of one colour, another for every seed."""
    return encode_png(Image.new("RGB", size, (seed * 40 % 256, 90, 200)))


def jpeg(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (24, 16), (seed * 40 % 256, 90, 200)).save(buffer, "JPEG")
    return buffer.getvalue()


def put(root: Path, name: str, content: Any) -> Path:
    """A file: bytes as they are, .jsonl and .json as JSON, .pkl pickled, .csv from dicts."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in content))
    elif path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(content))
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(content[0]))
            writer.writeheader()
            writer.writerows(content)
    else:
        path.write_text(json.dumps(content))
    return path


def zipped(root: Path, name: str, members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(root / name, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)


def pictures(root: Path, *names: str) -> None:
    for number, name in enumerate(names):
        put(root, name, picture(number) if name.endswith(".png") else jpeg(number))


def llava(name: str, image: str | None, *said: str, **more: Any) -> dict[str, Any]:
    """A LLaVA record; the image's mark stands before the first question."""
    spoken = [f"<image>\n{said[0]}" if image else said[0], *said[1:]]
    turns = [{"from": ("human", "gpt")[index % 2], "value": text} for index, text in enumerate(spoken)]
    return {"id": name, **({"image": image} if image else {}), "conversations": turns, **more}


def write_llava_json(root: Path) -> None:
    rows = [
        llava("a", "a.png", "What is it?", "A bar chart."),
        llava("b", "sub/b.png", "What rises?", "The loss.", "Where?", "At the end."),
        llava("c", None, "Say hello.", "Hello."),
        {"id": "d", "image": "a.png", "conversations": [{"from": "robot", "value": "?"}]},
        llava("e", "gone.png", "What is it?", "Nobody knows."),
    ]
    put(root, "train.json", rows)
    put(root, "val.jsonl", [llava("v", "a.png", "Which axis?", "The x-axis.")])
    pictures(root / "images", "a.png", "sub/b.png")


def scicap_row(name: str, caption: str, *, subfigure: bool = False) -> dict[str, Any]:
    return {
        "contains-subfigure": subfigure,
        "Img-text": ["loss", "epoch", "0", "10"],
        "paper-ID": name.partition("-")[0],
        "figure-ID": f"{name}.png",
        "figure-type": "Graph Plot",
        "0-originally-extracted": caption,
        "1-lowercase-and-token-and-remove-figure-index": {"caption": "", "sentence": [], "token": []},
        "2-normalized": {
            "2-1-basic-num": {"caption": "", "sentence": [], "token": []},
            "2-2-advanced-euqation-bracket": {"caption": "", "sentence": [], "tokens": []},
        },
    }


SCICAP = {
    ("train", "1001.0025v1-Figure2-1"): ("Figure 2: Loss falls.", False),
    ("train", "cs0102003v1-Figure10-1"): ("Fig. 10. Two panels of error.", True),
    ("val", "1502.00003v2-Figure1-1"): ("Figure 1: Accuracy.", False),
    ("test", "1502.00004v1-Figure3-1"): ("Figure 3: Recall.", False),
}


def write_scicap(root: Path) -> None:
    for number, ((split, name), (caption, subfigure)) in enumerate(SCICAP.items()):
        put(root, f"SciCap-Caption-All/{split}/{name}.json", scicap_row(name, caption, subfigure=subfigure))
        put(root, f"SciCap-{'Yes' if subfigure else 'No'}-Subfig-Img/{split}/{name}.png", picture(number))
    put(root, "SciCap-Caption-All/train/broken.json", b'{"figure-ID": ')
    for split, names in {"train": ["1001.0025v1-Figure2-1.png", "absent.png"], "val": [], "test": []}.items():
        put(root, f"List-of-Files-for-Each-Experiments/First-Sentence/No-Subfig/{split}/file_idx.json", names)
    put(
        root,
        "arxiv-metadata-oai-snapshot.json",
        b'{"id": "1001.0025", "title": "On loss", "abstract": "We fall.", "categories": "cs.LG cs.AI", "license": "CC-BY-4.0"}\n'
        b'{"id": "9999.0001", "title": "Another", "abstract": "", "categories": "cs.CV", "license": null}\n',
    )


def write_scicap_plus(root: Path) -> None:
    names = ("1001.0025v1-Figure2-1", "1502.00003v2-Figure1-1", "1502.00004v1-Figure3-1")
    for number, (split, name) in enumerate(zip(("train", "val", "test"), names, strict=True)):
        put(root, f"captions/{split}/{name}.json", scicap_row(name, f"Figure {number + 1}: A plot."))
        put(root, f"imgs/{split}/{name}.png", picture(number))
    put(
        root,
        f"mentions_paragraph/train/{names[0]}.json",
        {"paragraph": ["As Figure 2 shows, loss falls.", "See Figure 2."]},
    )
    put(root, f"mentions_paragraph/val/{names[1]}.json", ["Figure 1 has the accuracy."])


def write_challenge(root: Path) -> None:
    def image(number: int) -> dict[str, Any]:
        return {"id": number, "file_name": f"{number:012d}.png", "figure_type": "Bar Chart", "ocr": ["loss", "0.5"]}

    def annotation(number: int, image_id: int, **more: Any) -> dict[str, Any]:
        return {
            "id": number,
            "image_id": image_id,
            "caption": f"Figure {number}: Loss of run {number}.",
            "caption_no_index": f"Loss of run {number}.",
            "paragraph": [f"Figure {number} shows the loss.", f"We return to Figure {number}."],
            "mention": [[f"Figure {number} shows the loss."], [f"We return to Figure {number}."]],
            **more,
        }

    # One annotation stands out of order, one names no image.
    rows = [annotation(1, 1), annotation(3, 3), annotation(2, 2), annotation(9, 77)]
    put(
        root,
        "train.json",
        {"info": {"a": [1, {"images": []}]}, "images": [image(1), image(2), image(3)], "annotations": rows},
    )
    put(root, "hide_test.json", {"images": [image(8)], "annotations": [annotation(8, 8, paragraph=[])]})
    put(root, "hide_test-metadata.json", [
        {"image_id": 8, "caption_id": 8, "caption_length": 4, "arXiv_id": "1502.00003", "categories": "cs.LG,cs.AI"}
    ])  # fmt: skip
    pictures(root / "img-split", *(f"{number:012d}.png" for number in (1, 2, 3, 8)))


def write_vqa_rad(root: Path) -> None:
    def row(qid: int, image: str, question: str, answer: Any, answer_type: str, phrase: str) -> dict[str, Any]:
        return {
            "qid": qid, "phrase_type": phrase, "qid_linked_id": "x", "image_case_url": "https://example.org", "image_name": image,
            "image_organ": "CHEST", "evaluation": "not evaluated", "question": question, "question_rephrase": "NULL",
            "question_relation": "NULL", "question_frame": "NULL", "question_type": "PRES", "answer": answer,
            "answer_type": answer_type,
        }  # fmt: skip

    put(root, "VQA_RAD Dataset Public.json", [
        row(1, "synpic1.jpg", "Is the heart enlarged?", "Yes", "CLOSED ", "freeform"),
        row(2, "synpic1.jpg", "How many lesions are there?", 3, "OPEN", "para"),
        row(3, "synpic2.jpg", "Where is the mass?", "left lobe", "OPEN", "test_freeform"),
        row(4, "synpic2.jpg", "What is shown?", "", "OPEN", "test_para"),
        row(2, "synpic1.jpg", "How many lesions are there?", 3, "OPEN", "para"),
    ])  # fmt: skip
    pictures(root / "VQA_RAD Image Folder", "synpic1.jpg", "synpic2.jpg")


def write_slake(root: Path) -> None:
    def row(qid: int, image: int, language: str, question: str, answer: str, kind: str) -> dict[str, Any]:
        return {
            "img_id": image, "img_name": f"xmlab{image}/source.jpg", "question": question, "answer": answer, "q_lang": language,
            "location": "Lung", "modality": "X-Ray", "answer_type": kind, "base_type": "vqa", "content_type": "Organ",
            "triple": ["vhead", "_", "_"], "qid": qid,
        }  # fmt: skip

    put(root, "train.json", [
        row(1, 1, "en", "Is it healthy?", "No", "CLOSED"), row(2, 1, "zh", "这是什么？", "肺", "OPEN"),
        row(3, 2, "en", "Which organ is it?", "Lung", "OPEN"),
    ])  # fmt: skip
    put(root, "validate.json", [row(4, 2, "en", "Which plane is it?", "Coronal", "OPEN")])
    put(root, "test.json", [row(5, 3, "en", "Is there a mass?", "Yes", "CLOSED")])
    for number in (1, 2, 3):
        put(root, f"imgs/xmlab{number}/source.jpg", jpeg(number))
        put(root, f"imgs/xmlab{number}/mask.png", picture(number))


def write_textvqa(root: Path) -> None:
    def row(number: int, image: str, question: str, answers: list[str], part: str) -> dict[str, Any]:
        return {
            "question": question, "image_id": image, "image_classes": ["Poster"], "flickr_original_url": "", "image_width": 40,
            "image_height": 30, "answers": answers, "question_tokens": question.lower().split(), "question_id": number,
            "set_name": part,
        }  # fmt: skip

    def words(image: str, *named: str) -> dict[str, Any]:
        box = {
            "width": 0.25,
            "height": 0.1,
            "rotation": 0.0,
            "roll": 0,
            "pitch": 0,
            "yaw": 0,
            "top_left_x": 0.5,
            "top_left_y": 0.2,
        }
        return {
            "image_id": image, "ocr_tokens": list(named), "ocr_info": [{"word": word, "bounding_box": box} for word in named],
        }  # fmt: skip

    put(
        root,
        "TextVQA_0.5.1_train.json",
        {"data": [row(1, "aa01", "What brand is it?", ["nous les gosses"] * 10, "train")]},
    )
    put(root, "TextVQA_0.5.1_val.json", {"data": [
        row(2, "bb02", "What is the brand of this camera?", ["dakota"] * 4 + ["dakota digital"] * 5 + ["clos culombu"], "val"),
        row(3, "bb02", "What year?", [], "val"),
    ]})  # fmt: skip
    put(root, "TextVQA_Rosetta_OCR_v0.2_val.json", {"data": [words("bb02", "DAKOTA", "", "DIGITAL")]})
    for number, image in enumerate(("aa01", "bb02")):
        put(root, f"train_images/{image}.jpg", jpeg(number))


def write_path_vqa(root: Path) -> None:
    for split in ("train", "val", "test"):
        put(root, f"qas/{split}/{split}_qa.pkl", [
            {"image": f"{split}_0001", "question": "Is necrosis present?", "answer": "yes"},
            {"image": f"{split}_0001", "question": "What is present?", "answer": "a tumour"},
            {"image": f"{split}_0002", "question": "What is shown?", "answer": "a cell"},
        ])  # fmt: skip
        pictures(root / "images" / split, f"{split}_0001.jpg")


def write_pmc_vqa(root: Path) -> None:
    def row(path: str, **more: str) -> dict[str, str]:
        choices = {f"Choice {letter}": f" {letter}: choice {letter} " for letter in "ABCD"}
        return {
            "index": "0", "Figure_path": path, "Caption": "The answer stands here: choice B.", "Question": "What is it?",
            **choices, "Answer": "choice B", "Answer_label": "B", **more,
        }  # fmt: skip

    put(root, "train.csv", [
        row("PMC1_F1.jpg"), row("PMC1_F1.jpg", Question="And this?", Answer="choice C", Answer_label=""),
        row("PMC2_F1.jpg", Answer="choice X", Answer_label=""), row("PMC3_F1.jpg", Question=" "),
    ])  # fmt: skip
    put(root, "test.csv", [row("PMC4_F2.jpg", Answer="D", Answer_label="")])
    zipped(root, "images.zip", {f"images/{name}.jpg": jpeg(1) for name in ("PMC1_F1", "PMC2_F1", "PMC3_F1", "PMC4_F2")})


DOMAIN = {"chest_xray": False, "ct_scan": True, "gross": False, "histology": False, "mri": False}


def write_llava_med(root: Path) -> None:
    alignment = llava("11_F1", "11_F1.jpg", "Describe it briefly.", "A scan of the chest.", domain=DOMAIN)
    alignment["conversatons"] = alignment.pop("conversations")
    put(root, "llava_med_alignment_500k.json", [alignment])
    put(root, "llava_med_instruct_60k_inline_mention.json", [
        llava("11_F1", "11_F1.jpg", "What is it?", "A scan.", "Of what?", "The chest.", domain=DOMAIN),
        llava("12_F2", "12_F2.jpg", "What is it?", "A slice.", domain={**DOMAIN, "histology": True}),
    ])  # fmt: skip
    pair = {
        "pair_id": "11_F1", "pmid": "11", "fig_id": "F1", "fig_label": "Fig. 1", "fig_caption": "Scan of the chest.",
        "in_text_mention": ["Fig. 1 shows a scan.", {"tokens": ["Fig.", "1", "again."]}, {"tokens": " "}], "domain": DOMAIN,
    }  # fmt: skip
    put(
        root,
        "llava_med_instruct_fig_captions.json",
        {"ct_scan": [pair, {**pair, "pair_id": "12_F2", "fig_caption": ""}], "mri": [pair]},
    )
    put(root, "llava_med_eval_qa50_qa.jsonl", [{
        "question_id": 7, "image": "11_F1.jpg", "text": "What is it?\n<image>", "gpt4_answer": "A scan.", "fig_label": "Fig. 1",
        "fig_caption": "Scan of the chest.", "in_text_mention": [{"tokens": "Fig. 1 shows a scan."}], "type": "conversation",
        "domain": "ct_scan", "pair_id": "11_F1",
    }])  # fmt: skip
    pictures(root / "images", "11_F1.jpg", "12_F2.jpg")


UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


def write_quilt(root: Path) -> None:
    image = f"VIDEO1_roi_{UUID}.jpg"
    name = f"VIDEO1_image_{UUID}.jpg"
    pair = {
        "caption": "A gland.",
        "image_path": name,
        "subset": "quilt",
        "split": "train",
        "pathology": "[]",
        "magnification": "1.0",
    }
    put(root, "quilt_1M_lookup.csv", [
        pair, {**pair, "caption": "Its stroma."}, {**pair, "image_path": "gone.jpg"}, {**pair, "caption": ""}, {**pair, "split": "val"},
    ])  # fmt: skip
    put(root, "quilt_pretrain.json", [llava("p", f"quilt_1m/VIDEO1_image_{UUID}.jpg", "Describe it.", "A gland.")])
    put(root, "quilt_instruct_107k.json", [
        llava("same", image, "What is it?", "A gland."),
        llava("same", image, "And around it?", "Stroma."),
        {"id": "abductive", "image": image, "conversations": [
            {"role": "user", "content": "<image>\nGuess."}, {"role": "assistant", "content": "A gland?"},
        ]},
    ])  # fmt: skip
    rows = [
        {
            "id": 1,
            "image": "q1.jpg",
            "question": "Is it a gland?",
            "answer": "Yes, it is.",
            "answer_type": "CLOSED",
            "yes_no_answer": "Yes",
        },
        {"id": 2, "image": "q1.jpg", "question": "What is it?", "answer": "A gland.", "answer_type": "OPEN"},
    ]
    put(root, "quiltvqa_test_w_ans.json", rows)
    put(root, "quiltvqa_red_test_w_ans.json", rows)
    pictures(root, f"quilt_1m/VIDEO1_image_{UUID}.jpg", image, "images/q1.jpg")
    put(root, "red_circle/q1.jpg", jpeg(5))


def write_quilt_cursor(root: Path) -> None:
    """Rows as the published code reads them: lists of structs; a trace written as text; one without points; one without image."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def row(name: str, **more: Any) -> dict[str, Any]:
        left = [{"x": 0.1 + 0.01 * step, "y": 0.2 + 0.02 * (step % 7), "t": 700 + 0.2 * step} for step in range(20)]
        right = [{"x": 0.6 + 0.01 * step, "y": 0.5 + 0.03 * (step % 9), "t": 704 + 0.2 * step} for step in range(20)]
        said = [
            ("these crypts are lined by tall columnar cells", 700.0),
            ("and here the stroma holds many lymphocytes", 704.0),
        ]
        return {
            "unique_row_id": name, "video_id": "VIDEO1", "image_path": [f"frames/VIDEO1_roi_{UUID}.jpg"],
            "traces": [*left, *right],
            "extended_text_sentences_asrcorrected": {"utterance": " ".join(words for words, _ in said)},
            "extended_text_time_asrcorrected": [
                {"utterance": words, "start_time": start, "end_time": start + 4.0} for words, start in said
            ],
            "clustered_whole_sentences": f"{said[0][0]} [0.1, 0.2, 0.29, 0.32], {said[1][0]} [0.6, 0.5, 0.79, 0.74]",
            "width": 640, "height": 480, "prompt_type": "reasoning", **more,
        }  # fmt: skip

    rows = [row("VIDEO1_0"), row("VIDEO1_1"), row("VIDEO1_2", traces=[]), row("VIDEO2_0", image_path=["gone.jpg"])]
    root.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), root / "cursor.parquet")
    pictures(root, f"images/VIDEO1_roi_{UUID}.jpg")


def write_scigraphqa(root: Path) -> None:
    def row(name: str, **more: Any) -> dict[str, Any]:
        return {
            "image_file": f"{name}.png", "id": name, "caption": "Figure 10: Loss.", "conversations": [],
            "first_mention": "Figure 10 shows the loss.", "response": "Question: …", "title": "On loss", "abstract": "We fall.",
            "q_a_pairs": [["<image>\nWhat does the graph show?", "Loss."], ["What is the axis?", "Epochs."]], **more,
        }  # fmt: skip

    table = "TITLE | Loss <0x0A> epoch | loss <0x0A> 0 | 1.5 <0x0A> 1 | 0.5 <0x0A> 1 | 0.5 <0x0A> 2"
    put(
        root,
        "SciGraphQA-295K-train.json",
        [row("1801.01974v2-Figure10-1"), row("1801.01974v2-Figure11-1", q_a_pairs=[])],
    )
    put(root, "SciGraphQA-3K-test.json", [row("1801.01975v1-Figure2-1", deplot=table)])
    pictures(root, "imgs/train/1801.01974v2-Figure10-1.png", "SciCap-No-Subfig-Img/val/1801.01975v1-Figure2-1.png")


def write_pubmedvision(root: Path) -> None:
    def row(name: str, images: Iterable[str], modality: str) -> dict[str, Any]:
        paths = [f"images/{image}" for image in images]
        turns = [{"from": "human", "value": "What is it?"}, {"from": "gpt", "value": "A scan."}]
        return {"image": paths, "conversations": turns, "id": name, "body_part": "Lung", "modality": modality}

    put(root, "PubMedVision_InstructionTuning_VQA.json", [
        row("a", ["pmc_1_0.jpg"], "Computed Tomography"), row("b", ["pmc_1_0.jpg", "pmc_1_1.jpg"], "Others"),
    ])  # fmt: skip
    pictures(root / "images", "pmc_1_0.jpg", "pmc_1_1.jpg")


def write_pmc_oa(root: Path) -> None:
    def row(name: str, caption: str) -> dict[str, str]:
        return {"image": name, "caption": caption, "pmcid": "PMC21", "url_name": "x-3.jpg"}

    put(root, "train.jsonl", [row("PMC21_Fig3_4.jpg", "A. A membrane."), row("PMC21_Fig4_1.jpg", "")])
    put(root, "valid.jsonl", [row("PMC22_Fig1_1.jpg", "A cell.")])
    zipped(root, "images.zip", {"PMC21_Fig3_4.jpg": jpeg(1), "PMC22_Fig1_1.jpg": jpeg(2)})


def write_mimic(root: Path, *, sectioned: bool = True) -> None:
    def row(dicom: str, study: str, view: str) -> dict[str, str]:
        return {
            "dicom_id": dicom, "subject_id": "10000032", "study_id": study, "PerformedProcedureStepDescription": "CHEST",
            "ViewPosition": view, "Rows": "16", "Columns": "24", "StudyDate": "21800506", "StudyTime": "0",
        }  # fmt: skip

    rows = [
        row("aaa", "50", "PA"),
        row("bbb", "50", "LATERAL"),
        row("ccc", "51", "AP"),
        row("ddd", "52", "AP"),
        row("eee", "53", ""),
    ]
    put(root, "mimic-cxr-2.0.0-metadata.csv", rows)
    splits = {"aaa": "train", "bbb": "train", "ccc": "validate", "ddd": "test", "eee": "test"}
    table = [
        {"dicom_id": name, "study_id": "50", "subject_id": "10000032", "split": split} for name, split in splits.items()
    ]
    put(root, "mimic-cxr-2.0.0-split.csv.gz", gzip.compress(put(root, "split.csv", table).read_bytes()))
    (root / "split.csv").unlink()
    findings, impression = "1. Lungs are clear.\n2. No effusion.", "Normal chest. Stable."
    if sectioned:
        head = ("study", "impression", "findings", "last_paragraph", "comparison")
        reports = [
            ("s50", impression, findings, "", ""),
            ("s51", "", "Heart size is normal.", "", ""),
            ("s52", "", "", "See above.", ""),
        ]
        put(root, "mimic_cxr_sectioned.csv", [dict(zip(head, report, strict=True)) for report in reports])
    else:
        report = f" FINAL REPORT\n EXAMINATION: CHEST\n\n FINDINGS: Old text.\n FINDINGS:\n {findings}\n\n IMPRESSION:\n {impression}\n"
        put(root, "files/p10/p10000032/s50.txt", report.encode())
        put(root, "files/p10/p10000032/s51.txt", b" CONCLUSION: Heart size is normal.\n")
        put(root, "files/p10/p10000032/s52.txt", b" EXAMINATION: CHEST\n\n See above.\n")
    put(root, "files/p10/p10000032/s50/aaa.jpg", jpeg(1))
    put(root, "images/51-ccc.png", picture(2))
    put(root, "images/52-ddd.png", picture(3))


def write_pa_llava(root: Path) -> None:
    long = "A section of human tissue with many glands and a stroma " * 2
    put(root, "pairs.json", [{"image": "a.png", "caption": long}, {"image": "b.png", "caption": "A gland."}])
    pictures(root / "images", "a.png", "b.png")


def write_bach(root: Path) -> None:
    for number, folder in enumerate(("Normal", "Benign", "InSitu", "Invasive")):
        buffer = io.BytesIO()
        Image.new("RGB", (24, 16), (number * 40, 0, 0)).save(buffer, "TIFF")
        put(root, f"ICIAR2018_BACH_Challenge/Photos/{folder}/x{number:03d}.tif", buffer.getvalue())


def write_oscc(root: Path) -> None:
    pictures(root, "train/Normal/a.jpg", "train/OSCC/b.jpg", "test/OSCC/c.jpg")


def write_colonpath(root: Path) -> None:
    pictures(root, "normal/a.jpg", "tumor/b.jpg")


def write_hub(root: Path, splits: Mapping[str, list[tuple[bytes, str, str]]]) -> None:
    """A data set as the Hugging Face hub stores it: image, question, answer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (root / "data").mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        table = pa.table(
            {
                "image": [{"bytes": data, "path": None} for data, _, _ in rows],
                "question": [question for _, question, _ in rows],
                "answer": [answer for _, _, answer in rows],
            }
        )
        pq.write_table(table, root / "data" / f"{split}-00000-of-00001-abc.parquet", row_group_size=1)


WRITERS = {
    "llava-json": write_llava_json,
    "scicap": write_scicap,
    "scicap-plus": write_scicap_plus,
    "scicap-challenge": write_challenge,
    "scigraphqa": write_scigraphqa,
    "vqa-rad": write_vqa_rad,
    "slake": write_slake,
    "path-vqa": write_path_vqa,
    "textvqa": write_textvqa,
    "pmc-vqa": write_pmc_vqa,
    "llava-med-alignment": write_llava_med,
    "llava-med-instruct": write_llava_med,
    "llava-med-captions": write_llava_med,
    "llava-med-qa50": write_llava_med,
    "quilt-1m": write_quilt,
    "quilt-pretrain": write_quilt,
    "quilt-instruct": write_quilt,
    "quilt-vqa": write_quilt,
    "quilt-vqa-red": write_quilt,
    "quilt-cursor": write_quilt_cursor,
    "pubmedvision": write_pubmedvision,
    "pmc-oa": write_pmc_oa,
    "mimic-cxr": write_mimic,
    "pa-llava": write_pa_llava,
    "bach": write_bach,
    "oscc": write_oscc,
    "colonpath": write_colonpath,
}
"""Source -> what writes its layout into a folder."""
