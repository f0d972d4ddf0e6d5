"""The four medical systems from rows in their published layout to scores: import, every stage by its shipped recipe, evaluation.

Models are tiny and data are a few made-up rows. Of a recipe only paths, sizes and the number of steps are not its own:
what learns, at which rate, under which template and over which images is, and is looked at in what the run leaves.
"""

import json
import math

import pytest
import torch
import yaml
from coloured_shapes import save_bert
from model_hub import make_default, running_hub
from original_llava import EARLY, publish
from parsing import clean_process
from published_sets import UUID, WRITERS, jpeg, llava, picture, pictures, put, zipped
from tiny_open_clip import LAYERS, open_clip_folder
from tiny_parts import build_tokenizer, save_language_model, save_tower
from typer.testing import CliRunner
from upstream_server import saying

from llava_graph.chat import load_template
from llava_graph.cli import app as llava_graph
from llava_graph.dataset import read_dataset
from llava_graph.errors import CheckpointError
from llava_graph.model import load
from llava_graph.model.connectors import ScaleInvariantConnector
from llava_graph.model.preparation import PA_LLAVA_GRIDS, grids_in_pixels
from llava_graph.model.towers import read_tower
from llava_graph.model.vocabulary import IMAGE_END, IMAGE_START, wrap_images
from scicap_builder.cli import app as scicap_builder
from train.flags.command import find_recipe
from train.learning.parts import CONNECTOR, LANGUAGE, part_of
from train.train_contrastive import train as pretrain
from train.train_mem import train

# PEFT asks transformers by a name that it gives up.
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]

BOTH = {CONNECTOR, LANGUAGE}
DOUBTED = {
    "quilt_llava/finetune_qlora": "a learning rate of 2e-05 hardly moves LoRA",
    "xray_report/sft_mimic": "a learning rate of 2e-05 hardly moves a connector",
    "xray_report/sft_baseline": "a learning rate of 2e-05 hardly moves a connector",
    "pa_llava/alignment": "the connector is new, and the language model learns from it at once",
}
"""Recipes whose published numbers the trainer doubts; all others it takes without a warning."""


def command(app, *words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output


def imported(name, folder, *options, write=None):
    """The data set that `scicap_builder import` makes of made-up files in the published layout."""
    root, out = folder / f"{name} as published", folder / name
    (write or WRITERS[name])(root)
    command(scicap_builder, "import", name, "--root", root, "--out", out, *options)
    return out


def trained(recipe, out, data, **more):
    """Two steps by the shipped recipe, on one process without sharding. Returns the plan of the run."""
    one_batch = "global_batch_size" if "global_batch_size" in settings(recipe) else "gradient_accumulation_steps"
    flags = {
        "data_path": data,
        "output_dir": out,
        "max_steps": 2,
        "logging_steps": 1,
        "per_device_train_batch_size": 1,
        one_batch: 1,
        "dataloader_num_workers": 0,
        "save_strategy": "no",
        "disable_tqdm": True,
        "deepspeed": "none",
        "fsdp": "none",
        **more,
    }
    words = [
        word
        for name, value in flags.items()
        for word in (f"--{name}", *map(str, value if isinstance(value, list) else [value]))
    ]
    with clean_process():
        train(["--config", recipe, *words])
    return json.loads((out / "plan.json").read_text())


def settings(recipe):
    return yaml.safe_load(find_recipe(recipe).read_text())


def weights(folder):
    """An adapter's are merged into its base."""
    return load(folder, device="cpu").model.state_dict()


def changed(before, after):
    """Names of the weights in which two checkpoints differ, be it by one bit."""
    one, two = weights(before), weights(after)
    assert one.keys() == two.keys()
    return {name for name in one if not torch.equal(one[name], two[name])}


def followed(recipe, plan, before, out, learnt):
    """The run did what its recipe says: the parts `learnt` moved at its rates, and no other. Returns what moved."""
    asked = settings(recipe)
    run, model = plan["run"], plan["model"]
    for found, flag in (
        ("stage", "stage"),
        ("learning_rate", "learning_rate"),
        ("schedule", "lr_scheduler_type"),
        ("weight_decay", "weight_decay"),
        ("checkpointing", "gradient_checkpointing"),
    ):
        assert run[found] == asked[flag]
    assert run["precision"] == "bfloat16"
    rate = {LANGUAGE: asked["learning_rate"], CONNECTOR: asked.get("mm_projector_lr", asked["learning_rate"])}
    assert model["rates"] == {part: rate[part] for part in learnt}
    lora = model["lora"]
    if asked.get("lora_enable"):
        assert (lora["rank"], lora["alpha"], lora["dropout"]) == tuple(
            asked[flag] for flag in ("lora_r", "lora_alpha", "lora_dropout")
        )
    assert bool(lora) == asked.get("lora_enable", False)
    assert model["bits"] == asked.get("bits", 16)
    assert plan["data"]["kept"] == plan["data"]["seen"]
    doubt = DOUBTED.get(recipe)
    assert [warning.startswith(doubt or "") for warning in plan["warnings"]] == [True] * bool(doubt), plan["warnings"]
    moved = changed(before, out)
    assert {part_of(name) for name in moved} == learnt
    opened = load(out, device="cpu")
    template = load_template(asked["chat_template"])
    assert opened.template == (wrap_images(template) if asked.get("mm_use_im_start_end") else template)
    if "image_aspect_ratio" in asked and asked["mm_projector_type"] != "scale_invariant":
        assert opened.image_processor.do_pad == (asked["image_aspect_ratio"] == "pad")
    return moved


def scored(task, data, model, out, *options):
    """`llava-graph evaluate`: how many items each score is of, and the answers."""
    words = ("--task", task, "--data", data, "--model", model, "--out", out, "--max-new-tokens", 4)
    command(llava_graph, "evaluate", *words, *options)
    answers = [json.loads(line) for file in sorted(out.glob("answers*")) for line in file.read_text().splitlines()]
    measured = json.loads((out / "metrics.json").read_text())
    assert measured["complete"]
    assert not measured["problems"]
    undefined = {one["name"] for one in measured["scores"] if one["value"] is None}
    assert all(name.startswith("precision: ") for name in undefined), "of a label that no answer names"
    assert all(math.isfinite(one["value"]) for one in measured["scores"] if one["name"] not in undefined)
    return {f"{one['flavour']}/{one['name']}": one["items"] for one in measured["scores"]}, answers


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A language model, and the towers that it is joined with."""
    folder = tmp_path_factory.mktemp("parts")
    llama_3 = save_language_model(folder / "llama_3", rows=320, max_position_embeddings=2048)
    tokenizer = build_tokenizer()
    tokenizer.add_tokens(["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"], special_tokens=True)
    tokenizer.save_pretrained(llama_3)
    return {
        "text": save_language_model(folder / "text", max_position_embeddings=2048),
        "llama_3": llama_3,
        "clip": save_tower(folder / "clip"),
        "siglip": save_tower(folder / "siglip", siglip=True),
        "quiltnet": open_clip_folder(folder / "quiltnet", pickled=True),
    }


def write_quilt(root):
    """A caption an image for stage 1, dialogues for stage 2: three videos each."""
    rows = [
        llava(f"p{n}", f"quilt_1m/VIDEO{n}_image_{UUID}.jpg", "Describe the image concisely.", f"A gland, number {n}.")
        for n in range(3)
    ]
    put(root, "quilt_pretrain.json", rows)
    pictures(root, *(row["image"] for row in rows))
    rows = [
        llava(f"i{n}", f"VIDEO{n}_roi_{UUID}.jpg", "What is it?", "A gland.", "And around it?", "Stroma.")
        for n in range(3)
    ]
    put(root, "quilt_instruct_107k.json", rows)
    pictures(root, *(row["image"] for row in rows))


@pytest.fixture(scope="module")
def quilt(parts, tmp_path_factory):
    """Quilt-LLaVA's data, and its first stage over a QuiltNet that comes from a hub: (folder of both, plan of the run)."""
    folder = tmp_path_factory.mktemp("quilt")
    files = {file.name: file.read_bytes() for file in parts["quiltnet"].iterdir()}
    pairs = imported("quilt-pretrain", folder, write=write_quilt)
    imported("quilt-instruct", folder, write=write_quilt)
    with running_hub({"wisdomik/QuiltNet-B-32": files}) as (address, asked), pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLAVA_GRAPH_CACHE", str(folder / "cache"))
        make_default(patch, address, folder / "hub")
        # The name of the tower is the recipe's own.
        plan = trained("quilt_llava/pretrain", folder / "pretrain", pairs, model_name_or_path=parts["text"])
        assert any(path.endswith("open_clip_pytorch_model.bin") for path in asked)
    return folder, plan


@pytest.fixture
def second_stage(quilt, parts):
    """What Quilt-LLaVA's second stage is given."""
    return {
        "model_name_or_path": parts["text"],
        "vision_tower": parts["quiltnet"],
        "pretrain_mm_mlp_adapter": quilt[0] / "pretrain" / "mm_projector.safetensors",
    }


def test_quilt_llava_learns_its_connector_then_its_language_model(quilt, parts, second_stage, tmp_path):
    folder, plan = quilt
    pretrain, out = folder / "pretrain", tmp_path / "finetune"
    followed("quilt_llava/pretrain", plan, pretrain / "initial", pretrain, {CONNECTOR})
    tower = load(pretrain, device="cpu").model.model.vision_tower
    assert len(tower.encoder.layers) == LAYERS
    theirs = torch.load(parts["quiltnet"] / "open_clip_pytorch_model.bin", weights_only=True)
    assert torch.equal(tower.embeddings.patch_embedding.weight, theirs["visual.conv1.weight"]), "not a bit moved"
    plan = trained("quilt_llava/finetune", out, folder / "quilt-instruct", **second_stage)
    assert changed(pretrain, out / "initial") == set(), "stage 2 begins with the connector of stage 1"
    followed("quilt_llava/finetune", plan, pretrain, out, BOTH)
    scores, answers = scored("quilt-vqa", imported("quilt-vqa", tmp_path), out, tmp_path / "vqa")
    assert [one["prompt"] for one in answers] == ["Is it a gland?", "What is it?"], "as they are published: no hint"
    assert scores["published/closed accuracy, Quilt"] == scores["published/open recall"] == 1
    for images in ("circle", "plain"):
        data = imported("quilt-vqa-red", tmp_path / images, "--subset", images)
        against = ("--against", tmp_path / "red circle") if images == "plain" else ()
        scores, _ = scored("quilt-vqa-red", data, out, tmp_path / f"red {images}", *against)
        assert scores["strict/closed accuracy"] == scores["strict/open exact match"] == 1
    for task in ("pmc-vqa", "path-vqa"):
        assert scored(task, imported(task, tmp_path), out, tmp_path / f"{task} asked")[0]


def test_an_imported_data_set_teaches_what_its_json_does(quilt, parts, tmp_path):
    """To the last bit: docs/medical.md offers the published file itself to whoever wants no split."""
    root = quilt[0] / "quilt-pretrain as published"
    given = {"model_name_or_path": parts["text"], "vision_tower": parts["quiltnet"], "image_folder": root}
    plan = trained("quilt_llava/pretrain", tmp_path / "out", root / "quilt_pretrain.json", **given)
    assert plan["data"]["seen"] == 3
    assert changed(quilt[0] / "pretrain", tmp_path / "out") == set()


@pytest.mark.parametrize("recipe", ["finetune_lora", "finetune_qlora"])
def test_quilt_llavas_adapters_learn_beside_a_whole_connector(recipe, quilt, second_stage, tmp_path):
    folder, out = quilt[0], tmp_path / "out"
    plan = trained(f"quilt_llava/{recipe}", out, folder / "quilt-instruct", **second_stage)
    moved = followed(f"quilt_llava/{recipe}", plan, folder / "pretrain", out, BOTH)
    assert not {name for name in moved if part_of(name) == LANGUAGE and not name.endswith("_proj.weight")}
    assert scored("quilt-vqa", imported("quilt-vqa", tmp_path), out, tmp_path / "vqa")[0]


@pytest.mark.parametrize("recipe", ["finetune_task", "finetune_task_lora"])
def test_quilt_llava_in_one_stage_from_a_finished_llava(recipe, quilt, tmp_path):
    """LLaVA-1.5 is published in a layout of its own: the trainer says how to convert it, and then takes its tower too."""
    published = publish(tmp_path / "llava-v1.5").folder
    name, data, base, out = f"quilt_llava/{recipe}", quilt[0] / "quilt-instruct", tmp_path / "base", tmp_path / "out"
    with pytest.raises(CheckpointError, match=f"own layout. llava-graph convert {published}"):
        trained(name, tmp_path / "none", data, model_name_or_path=published)
    command(llava_graph, "convert", published, base)
    plan = trained(name, out, data, model_name_or_path=base, model_max_length=256)
    followed(name, plan, base, out, BOTH)


def test_tinyllava_med_f_learns_in_three_stages(tmp_path):
    """TinyLLaVA's published layout, with its SigLIP tower, becomes the base."""
    before = tmp_path / "base"
    command(llava_graph, "convert", publish(tmp_path / "1.5B", kind="siglip", model_type="tiny_llava").folder, before)
    questions = {name: imported(name, tmp_path) for name in ("vqa-rad", "slake", "path-vqa")}
    for stage, data in (
        ("alignment", imported("llava-med-alignment", tmp_path)),
        ("instruct", imported("llava-med-instruct", tmp_path, "--subset", "60k_inline_mention")),
        ("downstream", list(questions.values())),
    ):
        name, out = f"tinyllava_med_f/{stage}", tmp_path / stage
        plan = trained(name, out, data, model_name_or_path=before, model_max_length=256)
        followed(name, plan, before, out, BOTH)
        before = out
    assert plan["data"]["seen"] == 6, "the train splits of three data sets"
    for task, data in questions.items():
        scores, answers = scored(task, data, before, tmp_path / f"{task} asked")
        assert len(answers) == sum(
            scores.get(f"published/{score}", 0) for score in ("open recall", "closed accuracy, lenient")
        )
    assert answers[0]["prompt"] == "Is necrosis present? Please choose from the following two options: [yes, no]."
    scores, _ = scored("llava-med-qa50", imported("llava-med-qa50", tmp_path), tmp_path / "instruct", tmp_path / "qa50")
    assert scores["strict/ROUGE-L"] == 1


def test_tinyllavas_share_recipe_learns_in_three_stages(parts, quilt, tmp_path):
    before, given = (
        None,
        {"model_name_or_path": parts["text"], "vision_tower": parts["siglip"], "model_max_length": 2048},
    )
    for stage, data, learnt in (
        ("base", "quilt-pretrain", {CONNECTOR}),
        ("pretrain", "quilt-pretrain", BOTH),
        ("finetune", "quilt-instruct", BOTH),
    ):
        name, out = f"tinyllava_med_f/share_{stage}", tmp_path / stage
        plan = trained(name, out, quilt[0] / data, **given)
        followed(name, plan, before or out / "initial", out, learnt)
        before, given = out, {"model_name_or_path": out, "model_max_length": 2048}
    command(llava_graph, "quantize", before, "--bits", 4, "--out", tmp_path / "q4")
    assert scored("quilt-vqa", imported("quilt-vqa", tmp_path), tmp_path / "q4", tmp_path / "asked")[0]


def write_reports(root):
    """Six studies, each from the front and from the side; three are for testing."""
    WRITERS["mimic-cxr"](root)
    rows, splits, reports = [], [], []
    for number in range(6):
        for view in ("PA", "LATERAL"):
            dicom = f"image{number}{view}"
            rows.append(
                {"dicom_id": dicom, "subject_id": f"1000{number}", "study_id": f"7{number}", "ViewPosition": view}
            )
            splits.append({"dicom_id": dicom, "split": "train" if number < 3 else "test"})
            put(root, f"images/7{number}-{dicom}.png", picture(number))
        reports.append({"study": f"s7{number}", "impression": "Normal chest.", "findings": f"Lung {number} is clear."})
    put(root, "mimic-cxr-2.0.0-metadata.csv", rows)
    (root / "mimic-cxr-2.0.0-split.csv.gz").unlink()
    put(root, "mimic-cxr-2.0.0-split.csv", splits)
    put(root, "mimic_cxr_sectioned.csv", reports)


def marks_alone(moved, before, out):
    """Of the language model only the rows of the marks around an image have moved."""
    tokenizer = load(out, device="cpu").tokenizer
    rows = set(tokenizer.convert_tokens_to_ids([IMAGE_START, IMAGE_END]))
    one, two = weights(before), weights(out)
    for name in moved:
        if part_of(name) == LANGUAGE:
            assert set((one[name] != two[name]).any(1).nonzero().flatten().tolist()) <= rows
    return True


def test_xray_reports_from_llava_med(tmp_path):
    """LLaVA-Med's two stages over LLaVA of version 0 as it is published, then the connector alone by each published setting."""
    before = tmp_path / "llava-7b-v0"
    command(llava_graph, "convert", publish(tmp_path / "v0", **EARLY).folder, before)
    reports = imported("mimic-cxr", tmp_path, write=write_reports)
    for stage, data in (
        ("llava_med_alignment", imported("llava-med-alignment", tmp_path)),
        ("llava_med_instruct", imported("llava-med-instruct", tmp_path)),
        ("llava_med_vqa", imported("vqa-rad", tmp_path)),
        ("sft_mimic", reports),
        ("sft_baseline", reports),
        ("sft", reports),
    ):
        name, out = f"xray_report/{stage}", tmp_path / stage
        plan = trained(name, out, data, model_name_or_path=before, model_max_length=256)
        # The marks' rows learn beside the connector, as in LLaVA's first stage.
        moved = followed(name, plan, before, out, BOTH)
        assert stage in ("llava_med_instruct", "llava_med_vqa") or marks_alone(moved, before, out)
        before = out if stage in ("llava_med_alignment", "llava_med_instruct", "sft") else before
    assert plan["data"]["seen"] == 3, "views from the side are left out"
    asked = [next(iter(figure.turns)).text for figure in read_dataset(reports)]
    assert set(asked) == {"Illustrate the image through a detailed medical report"}
    for number in range(2):
        words = ("--num-chunks", 2, "--chunk-idx", number)
        words = ("--task", "xray-report", "--data", reports, "--model", before, "--out", tmp_path / "run", *words)
        command(llava_graph, "evaluate", *words, "--max-new-tokens", 4)
    assert sorted(path.name for path in (tmp_path / "run").glob("answers*")) == [
        "answers-0-of-2.jsonl",
        "answers-1-of-2.jsonl",
    ]
    measured = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (measured["items"], measured["answered"], measured["complete"]) == (3, 3, True)
    assert {one["name"] for one in measured["scores"] if one["flavour"] == "published"} >= {"BLEU-1", "BLEU-4"}


LONG = "A section of human tissue with many glands and a stroma " * 2
"""Long enough for an alignment."""


def write_pairs(root):
    put(
        root,
        "pairs.json",
        [{"image": f"{n}.png", "caption": f"Case {n}. {LONG}" if n else "A gland."} for n in range(3)],
    )
    pictures(root / "images", *(f"{n}.png" for n in range(3)))


def write_captions(root):
    rows = [
        {"image": f"PMC2{n}_Fig3_4.jpg", "caption": f"Patient {n}. {LONG}" if n else "A gland.", "pmcid": f"PMC2{n}"}
        for n in range(3)
    ]
    put(root, "train.jsonl", rows)
    zipped(root, "images.zip", {row["image"]: jpeg(n) for n, row in enumerate(rows)})


def test_pa_llava_from_cleaned_captions_to_zero_shot_classes(parts, api_server, tmp_path):
    api_server.script = saying("Yes.")
    captions, cleaned = imported("pmc-oa", tmp_path, write=write_captions), tmp_path / "cleaned"
    command(scicap_builder, "clean", captions, "--out", cleaned, "--api", api_server.url)
    assert len(api_server.bodies) == 4, "of each caption that is long enough: pathology, and human?"
    command(scicap_builder, "export", cleaned, "--format", "imagefolder", tmp_path / "folder")
    command(
        scicap_builder, "import", "pa-llava", "--root", tmp_path / "folder" / "train", "--out", tmp_path / "pmc pairs"
    )
    pairs = [tmp_path / "pmc pairs", imported("pa-llava", tmp_path, write=write_pairs)]
    alignment, out = tmp_path / "alignment", tmp_path / "instruct"
    plip = tmp_path / "plip"
    words = ("--vision_tower", parts["clip"], "--text_tower", save_bert(tmp_path / "bert"), "--data_path", *pairs)
    words += ("--global_batch_size", 2, "--per_device_train_batch_size", 2, "--max_steps", 2, "--warmup_steps", 1)
    words += ("--dataloader_num_workers", 0, "--save_strategy", "no", "--disable_tqdm", True, "--output_dir", plip)
    with clean_process():
        pretrain(["--config", "pa_llava/plip", *map(str, words)])
    given = {"model_name_or_path": parts["llama_3"], "vision_tower": plip}
    plan = trained("pa_llava/alignment", alignment, pairs, **given)
    moved = followed("pa_llava/alignment", plan, alignment / "initial", alignment, BOTH)
    assert not {name for name in moved if part_of(name) == LANGUAGE and not name.endswith("_proj.weight")}
    assert plan["data"]["seen"] == sum(1 for folder in pairs for _ in read_dataset(folder, "train")) >= 2
    towers = [read_tower(folder).model.state_dict() for folder in (parts["clip"], plip)]
    joined = load(alignment, device="cpu").model.model.vision_tower.state_dict()
    assert all(torch.equal(joined[name], towers[1][name]) for name in joined), "the tower is the pretrained one"
    assert any(not torch.equal(towers[0][name], towers[1][name]) for name in towers[0])
    questions = [imported(name, tmp_path) for name in ("path-vqa", "pmc-vqa")]
    plan = trained("pa_llava/instruct", out, questions, lora_weight_path=alignment, **given)
    followed("pa_llava/instruct", plan, alignment, out, BOTH)
    opened = load(out, device="cpu")
    assert isinstance(opened.model.model.multi_modal_projector, ScaleInvariantConnector)
    tower = opened.model.config.vision_config
    grids = grids_in_pixels(PA_LLAVA_GRIDS, tower.image_size)
    assert [tuple(grid) for grid in opened.model.config.image_grid_pinpoints] == list(grids)
    patches = (tower.image_size // tower.patch_size) ** 2
    assert {opened.tokens_of(size) for size in ((8, 8), (640, 480), (50, 900))} == {patches}, "whatever the size"
    for name, split, count in (("bach", "test", 4), ("oscc", "all", 3), ("colonpath", "test", 2)):
        data = imported(name, tmp_path)
        scores, _ = scored("zero-shot", data, out, tmp_path / f"{name} asked", "--split", split)
        assert scores["published/accuracy"] == scores["strict/macro F1"] == count
    for task, data in zip(("path-vqa", "pmc-vqa"), questions, strict=True):
        assert scored(task, data, out, tmp_path / f"{task} asked")[0]
