"""Tasks for other harnesses: what they load, and that their scores are ours."""

import base64
import csv
import importlib.util
import io
import json
import re
import shlex
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

from llava_graph.cli import app
from llava_graph.dataset import write_dataset
from llava_graph.errors import InputError
from llava_graph.evaluate.answered import Pair
from llava_graph.evaluate.harness_export import rows_of, write_lmms_eval, write_vlmevalkit
from llava_graph.evaluate.measures import measure_all
from llava_graph.evaluate.tasks import TASKS, find_task, items_of
from llava_graph.images import encode_png
from llava_graph.prompt import PromptOptions
from llava_graph.record import Figure, OcrLine, Turn

PICTURE = encode_png(Image.new("RGB", (40, 30), "red"))
ANSWERS = ["It rises to 0.5 at the end.", "the loss"]


def turns(*words):
    return tuple(Turn(role=("user", "assistant")[place % 2], text=text) for place, text in enumerate(words))


def figures():
    ocr = (OcrLine(text="epoch", box=(0, 0, 1, 0.1), source="pdf"),)
    said = turns("What rises?", "The accuracy rises to 0.5 in the end.", "And what falls?", "The loss falls.")
    return [Figure(id="f1", image=PICTURE, caption="Training.", ocr=ocr, turns=said, split="test")]


def exported(tmp_path, *words):
    write_dataset(figures(), tmp_path / "data")
    command = ["export-task", "--task", "scigraphqa", "--data", tmp_path / "data", "--out", tmp_path / "out", *words]
    assert CliRunner().invoke(app, list(map(str, command))).exit_code == 0
    return tmp_path / "out"


def test_lmms_eval_gets_the_same_dialogue_picture_and_scores(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    yaml = pytest.importorskip("yaml")
    out = exported(tmp_path)
    spec = importlib.util.spec_from_file_location("exported_utils", out / "utils.py")
    utils = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "exported_utils", utils)
    spec.loader.exec_module(utils)

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: getattr(utils, node.value.removeprefix("utils.")))
    task = yaml.load((out / "llava_graph_scigraphqa.yaml").read_text(), Loader)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    rows = datasets.load_dataset(
        task["dataset_path"], **task["dataset_kwargs"], cache_dir=str(tmp_path / "cache"), split=task["test_split"]
    )
    second = task["doc_to_messages"](rows[1], task["lmms_eval_specific_kwargs"]["default"])
    assert [message["role"] for message in second] == ["user", "assistant", "user"]
    assert second[0]["content"][0]["url"].size == (40, 30)
    assert "Training." in second[0]["content"][1]["text"]
    assert "epoch" in task["doc_to_text"](rows[0])
    results = [task["process_results"](row, [text]) for row, text in zip(rows, ANSWERS, strict=True)]
    items = items_of(find_task("scigraphqa"), figures())[0]
    ours = {
        one.key: one.value for one in measure_all([Pair(item=i, text=t) for i, t in zip(items, ANSWERS, strict=True)])
    }
    theirs = {one["metric"]: one["aggregation"]([row[one["metric"]] for row in results]) for one in task["metric_list"]}
    assert len(theirs) == len(ours)
    assert sorted(theirs.values()) == pytest.approx(sorted(ours.values()))
    assert theirs["strict_rouge_l"] == pytest.approx(ours["strict/ROUGE-L"])
    assert theirs["published_cider"] == pytest.approx(ours["published/CIDEr"])
    assert task["metadata"]["ocr_context"] == "gold (pdf)"


def test_every_label_has_its_scores_there(tmp_path):
    question = "Which one? normal, in situ"
    figures = [
        Figure(id=name, image=PICTURE, turns=turns(question, name), split="test") for name in ("normal", "in situ")
    ]
    task = find_task("zero-shot")
    place = write_lmms_eval(rows_of(items_of(task, figures)[0], PromptOptions(), []), tmp_path, task, "none")
    named = {name for name in re.findall(r"metric: (\w+)", place.read_text()) if "f1" in name}
    assert named >= {"strict_f1_normal", "strict_f1_in_situ", "strict_macro_f1", "published_micro_f1"}


def test_vlmevalkit_gets_pictures_and_choices(tmp_path):
    question = "What is it?\nA: malignant\nB: benign"
    figure = Figure(id="p", image=PICTURE, turns=turns(question, "B: benign"), split="test")
    task = find_task("pmc-vqa")
    place = write_vlmevalkit(rows_of(items_of(task, [figure])[0], PromptOptions(), []), tmp_path, task)
    csv.field_size_limit(2**24)
    (row,) = csv.DictReader(io.StringIO(place.read_text()), delimiter="\t")
    assert (row["index"], row["question"], row["answer"]) == ("0", "What is it?", "B")
    assert (row["A"], row["B"], row["C"]) == ("malignant", "benign", "")
    assert Image.open(io.BytesIO(base64.b64decode(row["image"]))).size == (40, 30)
    out = exported(tmp_path / "x", "--to", "vlmevalkit", "--no-ocr")
    rows = list(csv.DictReader(io.StringIO((out / "llava_graph_scigraphqa.tsv").read_text()), delimiter="\t"))
    assert "Answer: The accuracy rises" in rows[1]["question"]
    assert "epoch" not in rows[0]["question"]


def test_a_bad_picture_costs_itself_and_nothing_at_all_is_refused(tmp_path):
    task, dropped = find_task("scigraphqa"), []
    bad = Figure(id="b", image=b"none", turns=turns("Q?", "A."))
    rows = rows_of(items_of(task, [bad])[0], PromptOptions(), dropped)
    with pytest.raises(InputError, match="nothing to export"):
        write_vlmevalkit(rows, tmp_path, task)
    assert [drop.reason for drop in dropped] == ["bad-image"]
    assert json.dumps(list(tmp_path.iterdir())) == "[]"


@pytest.mark.parametrize("page", ["evaluate.md", "results.md"])
def test_commands_of_the_docs_are_understood(page):
    """Every option and task that they name is one."""
    text = (Path(__file__).parent.parent / "docs" / page).read_text().replace("\\\n", " ")
    lines = re.findall(r"^ +(?:.*; )?llava-graph (evaluate|judge|export-task) (.*)$", text, re.MULTILINE)
    assert len(lines) >= 6
    for name, words in lines:
        arguments = shlex.split(words.partition("#")[0].partition("&")[0].replace("$i", "0"))
        context = get_command(app).commands[name].make_context(name, arguments)
        assert context.params["task"] in TASKS
