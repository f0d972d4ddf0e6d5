"""Scores by models, graphs and lists: the original packages' numbers (tests/fixtures/model_scores.json, written by
tests/interop/original_scores.py), what bad input costs, and that one that cannot be computed takes no other with it."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_encoders import BERT_WORDS, chexbert_weights, write_bert, write_roberta
from typer.testing import CliRunner

from llava_graph.cli import app
from llava_graph.commands.instruments import InstrumentChoice, open_instruments, read_candidates
from llava_graph.dataset import write_dataset
from llava_graph.errors import CheckpointError, InputError
from llava_graph.evaluate.answered import EXPLAIN, OPEN, REPORT, Item, Pair
from llava_graph.evaluate.bertscore import Known, Matched, open_bert_scorer
from llava_graph.evaluate.chexbert import OBSERVATIONS, Reading, cosine, open_chexbert
from llava_graph.evaluate.instruments import Instruments
from llava_graph.evaluate.measures import measure_all
from llava_graph.evaluate.radcliq import radcliq_v1
from llava_graph.evaluate.radgraph import (
    Graph,
    GraphFiles,
    Graphs,
    RadGraphPackage,
    published_radgraph_f1,
    radgraph_f1,
    read_graph,
)
from llava_graph.evaluate.tasks import find_task
from llava_graph.evaluate.vqa import Candidates
from llava_graph.record import Figure, Turn

MEASURED = json.loads((Path(__file__).parent / "fixtures/model_scores.json").read_text(encoding="utf-8"))
ANSWERS, REFERENCES = zip(*MEASURED["pairs"], strict=True)
TINY_SHAPE = ("roberta", 3, 16, 300)


@pytest.fixture(scope="module")
def roberta(tmp_path_factory):
    return write_roberta(tmp_path_factory.mktemp("encoders") / "roberta")


@pytest.fixture(scope="module")
def chexbert_folder(tmp_path_factory):
    """As a person has it: the published file and a vocabulary, nothing else."""
    whole, folder = write_bert(tmp_path_factory.mktemp("encoders") / "bert"), tmp_path_factory.mktemp("chexbert")
    torch.save({"epoch": 7, "model_state_dict": chexbert_weights(whole)}, folder / "chexbert.pth")
    (folder / "vocab.txt").write_text("\n".join(BERT_WORDS) + "\n")
    return folder


def pair(name, text, reference, kind=REPORT):
    return Pair(item=Item(id=name, figure=Figure(id=name), question="?", reference=reference, kind=kind), text=text)


def scores(pairs, **instruments):
    return {one.key: one for one in measure_all(pairs, Instruments(**instruments))}


# BERTScore


@pytest.mark.parametrize("layer", [1, 3])
def test_bertscore_is_the_packages(roberta, layer):
    """Long texts that are cut, empty ones, other scripts, white space."""
    found = replace(open_bert_scorer(roberta), layer=layer)(ANSWERS, REFERENCES)
    for one, numbers in zip(found, MEASURED["bert_score"][str(layer)], strict=True):
        assert (one.precision, one.recall, one.f1) == pytest.approx(numbers, abs=2e-6)
    assert [one.cut for one in found] == [False] * 5 + [True, True, False]


def test_a_known_model_brings_its_layer_and_baseline_and_an_unknown_one_is_not_rescaled(roberta):
    known = open_bert_scorer(roberta, {TINY_SHAPE: Known("tiny", 3, 0.3)})
    found = [known.rescaled(one.f1) for one in known(ANSWERS, REFERENCES)]
    assert found == pytest.approx(MEASURED["bert_score"]["3, rescaled by 0.3"], abs=5e-6)
    assert known.about == "tiny, layer 3, rescaled"
    lower = open_bert_scorer(roberta, {TINY_SHAPE: Known("tiny", 1, 0.3)})
    assert [one.f1 for one in lower(ANSWERS, REFERENCES)] == pytest.approx(
        [one[2] for one in MEASURED["bert_score"]["1"]], abs=2e-6
    )
    assert len(lower.model.encoder.layer) == 1
    assert open_bert_scorer(roberta).about == "unknown model, layer 3, not rescaled"


def test_other_checkpoints_are_no_encoders(roberta, tmp_path):
    write_roberta(tmp_path / "other")
    pieces = json.loads((tmp_path / "other/vocab.json").read_text())
    (tmp_path / "other/vocab.json").write_text(json.dumps(pieces | {f"more{n}": len(pieces) + n for n in range(40)}))
    with pytest.raises(CheckpointError, match="its tokenizer has 315 words and its model 300"):
        open_bert_scorer(tmp_path / "other")
    (tmp_path / "other/config.json").write_text('{"model_type": "llava"}')
    with pytest.raises(CheckpointError, match="is no text encoder: a llava"):
        open_bert_scorer(tmp_path / "other")
    (tmp_path / "other/config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="does not load"):
        open_bert_scorer(tmp_path / "other")
    with pytest.raises(CheckpointError, match="no such folder"):
        open_bert_scorer(tmp_path / "none")


def test_a_score_does_not_depend_on_its_neighbours(roberta):
    scorer, other = open_bert_scorer(roberta), open_bert_scorer(roberta)
    together = scorer(ANSWERS, REFERENCES)
    alone = [other([a], [b])[0].f1 for a, b in zip(ANSWERS, REFERENCES, strict=True)]
    assert [one.f1 for one in together] == pytest.approx(alone, abs=2e-6)


class Alike:
    """A matcher that says what it is told."""

    name, about = "distilroberta-base", "made up"

    def __init__(self, *values):
        self.values = values

    def rescaled(self, f1):
        return (f1 - 0.8) / 0.2

    def __call__(self, answers, references):
        return [Matched(one, one, one) for one in self.values]


def test_an_empty_answer_pulls_the_published_mean_down_and_is_nothing_strictly():
    found = scores([pair("a", "clear", "clear"), pair("b", "", "clear")], bertscore=Alike(0.9, 0.0))
    assert found["published/BERTScore"].value == pytest.approx((0.5 - 4) / 2)
    assert found["strict/BERTScore"].value == pytest.approx(0.25)
    other = scores([pair("a", "rises", "rises", EXPLAIN)], bertscore=Alike(0.9))
    assert "published/BERTScore" not in other
    assert other["strict/BERTScore"].note == "made up"


# CheXbert


def test_chexberts_vectors_and_findings_are_the_originals(chexbert_folder):
    """The checkpoint of a DataParallel model, reports that are cut at 512 tokens, an empty one."""
    found = open_chexbert(chexbert_folder)(MEASURED["reports"])
    for one, vector, labels in zip(found, MEASURED["embeddings"], MEASURED["labels"], strict=True):
        assert one.vector == pytest.approx(vector, abs=1e-5)
        assert list(map(int, one.findings)) == labels


def test_label_f1_is_scikit_learns_and_leaves_out_strictly_what_nobody_has():
    labels = MEASURED["labels"]
    half = len(labels) // 2
    known = {str(place): Reading((1.0, 0.0), tuple(map(bool, row))) for place, row in enumerate(labels)}
    pairs = [pair(str(n), str(n + half), str(n)) for n in range(half)]
    found = scores(pairs, chexbert=lambda texts: [known[text] for text in texts])
    for size in ("14", "5"):
        for kind in ("micro", "macro"):
            assert found[f"published/CheXbert {kind} F1-{size}"].value == pytest.approx(
                MEASURED["label_f1"][size][kind]
            )
    only = tuple(name == "Edema" for name in OBSERVATIONS)
    found = scores([pair("a", "x", "y")], chexbert=lambda texts: [Reading((1.0,), only) for _ in texts])
    assert found["published/CheXbert macro F1-14"].value == pytest.approx(1 / 14)
    assert found["strict/CheXbert macro F1-14"].value == 1


def test_similarity_of_an_empty_answer():
    found = scores([pair("a", " ", "y")], chexbert=lambda texts: [Reading((1.0, 1.0), (False,) * 14) for _ in texts])
    assert found["published/CheXbert similarity"].value == pytest.approx(1)
    assert found["strict/CheXbert similarity"].value == 0
    assert found["published/CheXbert micro F1-14"].value is None
    assert cosine((0.0, 0.0), (1.0, 0.0)) == 0


def test_other_files_are_no_chexbert(tmp_path, chexbert_folder):
    stored = torch.load(chexbert_folder / "chexbert.pth", weights_only=True)["model_state_dict"]
    place = tmp_path / "chexbert.pth"
    with pytest.raises(CheckpointError, match="no such file"):
        open_chexbert(tmp_path)
    torch.save({name: one for name, one in stored.items() if "linear_heads.13" not in name}, place)
    with pytest.raises(CheckpointError, match="14 linear heads"):
        open_chexbert(place)
    torch.save({"model_state_dict": stored | {"module.linear_heads.13.bias": torch.zeros(4)}}, place)
    with pytest.raises(CheckpointError, match="one of 2"):
        open_chexbert(place)
    torch.save({"model_state_dict": stored}, place)
    (tmp_path / "vocab.txt").write_text("\n".join(BERT_WORDS[:-1]) + "\n")
    with pytest.raises(CheckpointError, match="has 33 words, and the checkpoint 34"):
        open_chexbert(place)
    torch.save({"model_state_dict": Path("code")}, place)
    with pytest.raises(CheckpointError, match="more than tensors"):
        open_chexbert(place)


# RadGraph


def annotation(text, *entities):
    """(words, label, *(relation, number)) for each entity, numbered from 1."""
    rows = {
        str(number): {"tokens": words, "label": label, "relations": [list(one) for one in relations]}
        for number, (words, label, *relations) in enumerate(entities, 1)
    }
    return {"text": text, "entities": rows}


EFFUSION = annotation("small left effusion", ("left", "ANAT-DP"), ("effusion", "OBS-DP", ("located_at", "1")))
MORE = annotation(
    "large left effusion", ("left", "ANAT-DP"), ("effusion", "OBS-DP", ("located_at", "1")), ("large", "OBS-DP", ("modify", "2"))
)  # fmt: skip
NOTHING = annotation("no effusion", ("effusion", "OBS-DA"))


def test_radgraph_by_hand():
    """2 of 3 and 2 entities: 4/5; 1 of 2 and 1 relations: 2/3. Without relations the published score stops at a half."""
    assert published_radgraph_f1(read_graph(MORE), read_graph(EFFUSION)) == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert published_radgraph_f1(read_graph(NOTHING), read_graph(NOTHING)) == 0.5
    assert radgraph_f1(read_graph(NOTHING), read_graph(NOTHING)) == 1
    assert radgraph_f1(read_graph(EFFUSION), read_graph(NOTHING)) == 0
    assert radgraph_f1(Graph(), Graph()) is None
    lost = annotation("x", ("effusion", "OBS-DP", ("located_at", "9")))
    assert read_graph(lost).relations == frozenset()


@pytest.mark.parametrize("wrong", [[], {}, {"entities": []}, {"entities": {"1": {"tokens": 3, "label": "x"}}}])
def test_what_is_no_graph(wrong):
    with pytest.raises(ValueError, match="no|entity"):
        read_graph(wrong)


def test_annotations_are_joined_by_id_and_text_and_the_rest_is_counted(tmp_path):
    pairs = [
        pair("x:a", "Large left effusion.", "Small left effusion."),
        pair("x:b", "", "No effusion."),
        pair("x:c", "changed since", "No effusion."),
        pair("x:d", "anything", "No effusion."),
    ]
    references, answers = tmp_path / "references.json", tmp_path / "answers.json"
    references.write_text(json.dumps({"a": EFFUSION} | dict.fromkeys(("b", "c", "d"), NOTHING)))
    answers.write_text(json.dumps({"x:a": MORE, "c": NOTHING, "d": {"entities": 1}, "zz": MORE}))
    files = GraphFiles(references, answers)
    found = scores(pairs, radgraph=files)
    assert {name: row[0] for name, row in found["published/RadGraph F1"].rows.items()} == {
        "x:a": pytest.approx((4 / 5 + 2 / 3) / 2), "x:b": 0,
    }  # fmt: skip
    assert files(pairs).problems == {"no-such-item": 1, "no-graph": 1, "other-text": 1, "not-annotated": 1}
    assert found["strict/RadGraph F1"].note.startswith("PARTIAL: 2 of 4 reports, ")
    assert "other-text 1" in found["strict/RadGraph F1"].note
    answers.write_text(json.dumps({"zz": MORE}))
    with pytest.raises(InputError, match="no annotation belongs to an item"):
        files(pairs)
    answers.write_text("[1]")
    with pytest.raises(InputError, match="holds no annotations by id"):
        files(pairs)


def test_radcliq_by_hand():
    """At the means nothing is left but the intercept; one deviation of RadGraph F1 is worth its weight."""
    at = (0.53792312, 0.61757256, 0.76479421, 0.44738335)
    assert radcliq_v1(*at) == pytest.approx(2.46655256e-10)
    assert radcliq_v1(at[0] + 0.30282584, *at[1:]) == pytest.approx(-0.377083683, abs=1e-8)
    both = Graphs({"a": (read_graph(MORE), read_graph(EFFUSION))})
    said = lambda texts: [Reading((1.0, 0.0), (False,) * 14) for _ in texts]  # noqa: E731
    given = {"bertscore": Alike(0.9, 0.9), "chexbert": said}
    pairs = [pair("a", "clear", "clear"), pair("b", "clear", "clear")]
    found = scores(pairs, radgraph=lambda _: both, **given)["published/RadCliQ-v1"]
    assert found.rows == {"a": (pytest.approx(radcliq_v1((4 / 5 + 2 / 3) / 2, 0.5, 1, 0.1**0.5)), 1)}
    assert "published/RadCliQ-v1" not in scores(pairs, **given)


# Candidates


def test_the_nearest_candidate_in_both_flavours():
    some = Candidates(["right lung", "lung", "the left lung", "pleural effusion", "lung"])
    assert (
        some.published_hit("It is the right lung", "right lung") == 1
    )  # two of two words, and it stands before "lung"
    assert some.published_hit("It is in the left lung", "left lung") == 0  # "lung" is whole too, and stands before it
    assert some.hit("left lung", "The left lung.") == 1
    assert some.published_hit("nothing like it", "right lung") == 1  # shares no word with any: the first candidate
    assert some.hit("nothing like it", "right lung") == 0
    assert some.hit("right effusion", "right lung") == 0  # as near to another one
    assert (some.has("LUNG"), some.has("heart")) == (True, False)
    found = scores([pair("a", "lung", "lung", OPEN), pair("b", "heart", "heart", OPEN)], candidates=("lung", "liver"))
    assert found["strict/open accuracy"].value == 0.5
    assert found["strict/open reference is no candidate"].value == 0.5


def question(name, text, reference, split):
    turns = (Turn(role="user", text=text), Turn(role="assistant", text=reference))
    return Figure(id=f"vqa-rad:{name}", turns=turns, source="vqa-rad/open", split=split)


def test_candidates_come_from_the_file_or_from_a_train_split(tmp_path):
    file = tmp_path / "train_open_answers.json"
    file.write_text('{"0": ["left", "right", 3, "left"]}')
    task = find_task("vqa-rad")
    assert read_candidates(file, task) == ("left", "right", "3")
    write_dataset(
        [question("1", "Where?", "left", "train"), question("2", "Where?", "here", "test")], tmp_path / "data"
    )
    assert read_candidates(tmp_path / "data", task) == ("left",)
    for content, why in (("{", "cannot be read"), ('{"0": "left"}', "no lists"), ('{"0": []}', "no answers")):
        file.write_text(content)
        with pytest.raises(InputError, match=why):
            read_candidates(file, task)


# The command


def report(number, text):
    turns = (Turn(role="user", text="Write a report."), Turn(role="assistant", text=text))
    return Figure(id=f"mimic-cxr:{number}", turns=turns, split="test")


def evaluate(*words):
    return CliRunner().invoke(app, ["evaluate", *map(str, words)])


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    place = tmp_path_factory.mktemp("reports")
    write_dataset([report(1, "No effusion."), report(2, "Small left effusion.")], place / "data")
    rows = [{"question_id": "1", "text": "No effusion."}, {"question_id": "2", "text": "Large left effusion."}]
    (place / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (place / "references.json").write_text(json.dumps({"1": NOTHING, "2": EFFUSION}))
    (place / "graphs.json").write_text(json.dumps({"1": NOTHING, "2": MORE}))
    return place


def test_a_report_run_has_all_scores_with_intervals_and_context(reports, roberta, chexbert_folder, tmp_path):
    base = ("--task", "xray-report", "--data", reports / "data", "--answers", reports / "answers.jsonl")
    given = ("--bertscore-model", roberta, "--chexbert-model", chexbert_folder)
    graphs = ("--radgraph-annotations", reports / "references.json", reports / "graphs.json")
    told = evaluate(*base, *given, *graphs, "--out", tmp_path / "o")
    assert told.exit_code == 0
    found = json.loads((tmp_path / "o/metrics.json").read_text())
    assert found["not_computed"] == {}
    rows = {f"{one['flavour']}/{one['name']}": one for one in found["scores"]}
    for name in ("strict/BERTScore", "published/CheXbert similarity", "published/RadGraph F1", "published/BLEU-2"):
        assert rows[name]["items"] == 2
        assert len(rows[name]["interval"]) == 2
        assert rows[name]["ocr_context"] == "not known"
        assert name.partition("/")[2] in told.stdout
    against = evaluate(*base, *given, "--out", tmp_path / "p", "--against", tmp_path / "o", "--json")
    compared = {one["name"]: one for one in json.loads(against.stdout)["against"]["scores"]}
    assert compared["CheXbert similarity"]["difference"] == 0


def test_a_missing_checkpoint_costs_its_own_scores_and_one_line(reports, tmp_path):
    base = ("--task", "xray-report", "--data", reports / "data", "--answers", reports / "answers.jsonl")
    told = evaluate(
        *base, "--out", tmp_path / "o", "--bertscore-model", tmp_path / "none", "--radgraph-model", "radgraph-2"
    )
    assert told.exit_code == 0
    found = json.loads((tmp_path / "o/metrics.json").read_text())
    assert {one["name"] for one in found["scores"]} >= {"BLEU-1", "ROUGE-L"}
    assert set(found["not_computed"]) == {"BERTScore", "CheXbert", "RadGraph"}
    assert "no such folder" in found["not_computed"]["BERTScore"]
    assert "Known: radgraph" in found["not_computed"]["RadGraph"]
    assert [line for line in told.stderr.splitlines() if "CheXbert" in line] == [
        "note: not computed: CheXbert (--chexbert-model is not given)"
    ]


PACKAGE = """
class RadGraph:
    def __init__(self, model_type, model_cache_dir=None):
        print("Using device: cpu")
        assert model_type == "radgraph", "no such model"
        self.known = __import__("json").load(open(model_cache_dir + "/graphs.json"))
    def __call__(self, texts):
        open("asked.txt", "w").write("|".join(texts))
        return {str(place): self.known[text] for place, text in enumerate(texts) if text in self.known}
"""
"""As radgraph 0.1.18 answers: by the text's place, counted in text; a report that it fails on is missing."""


def test_the_package_is_asked_once_for_each_text_in_a_process_of_its_own(tmp_path, monkeypatch):
    pairs = [
        pair("a", "No effusion.", "No effusion."),
        pair("b", "", "Small left effusion."),
        pair("c", "fails", "No effusion."),
    ]
    (tmp_path / "radgraph.py").write_text(PACKAGE)
    (tmp_path / "graphs.json").write_text(json.dumps({"No effusion.": NOTHING, "Small left effusion.": EFFUSION}))
    (tmp_path / "radgraph").mkdir()
    with pytest.raises(CheckpointError, match=r"RadGraph does not run .*--radgraph-python"):
        RadGraphPackage("radgraph", python=sys.executable)(pairs)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "radgraph.py").removesuffix("/radgraph.py"))
    found = RadGraphPackage(str(tmp_path / "radgraph"))(pairs)
    assert (tmp_path / "asked.txt").read_text() == "No effusion.|Small left effusion.|fails"
    assert {name: len(both[0].entities) for name, both in found.found.items()} == {"a": 1, "b": 0}
    assert found.problems == {"not-annotated": 1}
    with pytest.raises(CheckpointError, match="no such model"):
        RadGraphPackage("radgraph-xl")(pairs)
    with pytest.raises(CheckpointError, match="RadGraph does not run"):
        RadGraphPackage("radgraph", python=str(tmp_path / "no-python"))(pairs)


def test_without_torch_the_extra_is_named(monkeypatch, roberta):
    monkeypatch.setitem(sys.modules, "transformers", None)
    _, failed = open_instruments(InstrumentChoice(bertscore=str(roberta)), find_task("scicap"))
    assert failed == {"BERTScore": "BERTScore needs the package 'transformers'. pip install 'llava-graph[model]'"}


def test_two_ways_to_graphs_exclude_each_other_and_other_tasks_are_not_told_of_them():
    with pytest.raises(InputError, match="exclude each other"):
        InstrumentChoice(radgraph="radgraph", annotations=(Path("a"), Path("b")))
    assert open_instruments(InstrumentChoice(), find_task("vqa-rad")) == (Instruments(), {})
