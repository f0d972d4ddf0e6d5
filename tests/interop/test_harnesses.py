"""The real lmms-eval 0.7.3 and VLMEvalKit (ms-vlmeval 0.0.20) ask our OpenAI server. Each skips itself where `scripts/harness_env.sh`
has not made its environment."""

import csv
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from llava_graph.cli import app
from llava_graph.dataset import write_dataset
from llava_graph.evaluate.answered import Pair
from llava_graph.evaluate.answers import join, read_answers
from llava_graph.evaluate.measures import measure_all
from llava_graph.evaluate.tasks import find_task, items_of
from llava_graph.images import encode_png
from llava_graph.record import Figure, OcrLine, Turn
from serve.api import create_api
from serve.http.servers import Server, bind
from tests.interop.peers import ROOT, models
from tests.serving import ScriptedEngine, eventually, running_controller, running_worker

FOLDER = os.environ.get("LLAVA_GRAPH_HARNESSES", ".venv")
LMMS_EVAL, VLMEVALKIT = (ROOT / f"{FOLDER}-{name}" / "bin" / "python" for name in ("lmms-eval", "vlmevalkit"))
PICTURE = encode_png(Image.new("RGB", (160, 120), "red"))
TEXT = {"dtype": "string", "_type": "Value"}
CHARTQA = {"info": {"features": {"question": TEXT, "answer": TEXT, "type": TEXT, "image": {"_type": "Image"}}}}

needs_lmms_eval = pytest.mark.skipif(not LMMS_EVAL.exists(), reason="no lmms-eval: scripts/harness_env.sh lmms-eval")
needs_vlmevalkit = pytest.mark.skipif(
    not VLMEVALKIT.exists(), reason="no VLMEvalKit: scripts/harness_env.sh vlmevalkit"
)


@contextmanager
def serving(*words: str) -> Iterator[tuple[str, ScriptedEngine]]:
    """The address of our OpenAI server, and the engine behind it that answers these words."""
    engine = ScriptedEngine(words=words, context_length=4096)
    with running_controller() as controller, running_worker(engine, controller.url):
        eventually(lambda: models(controller.url) == ["scripted"])
        with Server(create_api(controller.url), bind("127.0.0.1", 0), "API") as api:
            yield api.url + "/v1", engine


def run(folder: Path, *command: object, **variables: str) -> str:
    """A harness's command in its own environment; what it said."""
    told = {"OPENAI_API_KEY": "unused", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": "", **variables}
    words, environment = list(map(str, command)), {**os.environ, **told}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=280, check=False)
    said = done.stdout[-3000:] + done.stderr[-3000:]
    assert done.returncode == 0, said
    return said


def lmms_eval(folder: Path, url: str, tasks: Path, task: str, **variables: str) -> dict[str, float]:
    """Its own `openai` model; the scores that it wrote, by name."""
    model = f"model_version=scripted,base_url={url},timeout=60"
    command = ("-m", "lmms_eval", "--include_path", tasks, "--tasks", task, "--model", "openai", "--model_args", model)
    said = run(folder, LMMS_EVAL, *command, "--batch_size", 1, "--output_path", folder / "results", **variables)
    found = list((folder / "results").rglob("*_results.json"))
    assert found, said
    rows = json.loads(found[0].read_text())["results"][task]
    return {name.partition(",")[0]: value for name, value in rows.items() if isinstance(value, float)}


def vlmevalkit(folder: Path, url: str, data: str, *more: str) -> list[dict[str, str]]:
    """Its own run over a TSV in $LMUData; the predictions that it wrote."""
    command = ("-m", "vlmeval.run", "--data", data, "--model", "scripted", "--base-url", url, "--temperature", 0)
    folders = {"LMUData": str(folder / "LMUData"), "PRED_FORMAT": "tsv"}
    run(folder, VLMEVALKIT, *command, "--max-tokens", 64, "--work-dir", folder / "runs", "--retry", 1, *more, **folders)
    with (folder / f"runs/scripted/scripted_{data}.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def asked(engine: ScriptedEngine) -> list[str]:
    """The words of each request."""
    return [str(request.messages) for request in engine.requests]


def turns(*words: str) -> tuple[Turn, ...]:
    return tuple(Turn(role=("user", "assistant")[place % 2], text=text) for place, text in enumerate(words))


def charts() -> list[Figure]:
    ocr = (OcrLine(text="epoch", box=(0, 0, 1, 0.1), source="pdf"),)
    said = turns("What rises?", "The accuracy rises to 0.5 in the end.", "And what falls?", "The loss falls.")
    return [Figure(id=f"f{n}", image=PICTURE, caption=f"Run {n}.", ocr=ocr, turns=said, split="test") for n in range(2)]


def export(folder: Path, task: str, figures: list[Figure], out: str, *more: str) -> Path:
    write_dataset(figures, folder / "data")
    command = ["export-task", "--task", task, "--data", folder / "data", "--out", folder / out, *more]
    assert CliRunner().invoke(app, list(map(str, command))).exit_code == 0
    return folder / out


@needs_lmms_eval
def test_lmms_evals_own_task_and_model_evaluate_our_server_without_code_of_ours(tmp_path):
    """Its ChartQA, task file and scorer, on rows in ChartQA's columns; nothing of ours is importable there."""
    answers = ("41", "7", "42.5", "Yes")
    rows = [
        {"question": f"How many in {n}?", "answer": answer, "type": ("human_test", "augmented_test")[n % 2], "image": {"bytes": PICTURE, "path": None}}
        for n, answer in enumerate(answers)
    ]  # fmt: skip
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema({"question": pa.string(), "answer": pa.string(), "type": pa.string(), "image": picture})
    table = pa.Table.from_pylist(rows, schema=schema).replace_schema_metadata({"huggingface": json.dumps(CHARTQA)})
    pq.write_table(table, tmp_path / "chartqa.parquet")
    own = subprocess.run(
        [LMMS_EVAL, "-c", "from importlib.util import find_spec as f; assert not f('llava_graph'); print(*f('lmms_eval').submodule_search_locations)"],
        capture_output=True, text=True, check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""},
    ).stdout.strip()  # fmt: skip
    (tmp_path / "tasks").mkdir()
    files = json.dumps({"data_files": {"test": str(tmp_path / "chartqa.parquet")}})
    (tmp_path / "tasks/chartqa_here.yaml").write_text(
        f"include: {own}/tasks/chartqa/chartqa.yaml\ntask: chartqa_here\ndataset_path: parquet\ndataset_kwargs: {files}\n"
    )
    with serving("42") as (url, engine):
        scores = lmms_eval(tmp_path, url, tmp_path / "tasks", "chartqa_here", HF_DATASETS_CACHE=str(tmp_path / "cache"))
    assert scores["relaxed_overall"] == 0.5, "41 and 42.5 are within 5 % of 42"
    assert scores["relaxed_human_split"] == 1
    assert len(engine.requests) == 4
    assert set(engine.sizes) == {(160, 120)}
    assert {request.max_new_tokens for request in engine.requests} == {16}
    assert "Answer the question with a single word." in asked(engine)[0]


@needs_lmms_eval
def test_an_exported_task_has_our_scores_in_lmms_eval(tmp_path):
    tasks = export(tmp_path, "scigraphqa", charts(), "tasks")
    words = ("The", "accuracy", "rises", "to", "0.7", ".")
    with serving(*words) as (url, engine):
        theirs = lmms_eval(
            tmp_path,
            url,
            tasks,
            "llava_graph_scigraphqa",
            PYTHONPATH=str(ROOT),
            HF_DATASETS_CACHE=str(tmp_path / "cache"),
        )
    items, _ = items_of(find_task("scigraphqa"), charts())
    ours = measure_all([Pair(item=item, text=" ".join(words)) for item in items])
    assert sorted(round(value, 12) for value in theirs.values()) == sorted(round(one.value, 12) for one in ours)
    assert len(engine.requests) == 4
    assert sum("epoch" in words for words in asked(engine)) == 4


@needs_vlmevalkit
def test_vlmevalkit_asks_our_server_and_its_predictions_are_scored_here(tmp_path):
    export(tmp_path, "scigraphqa", charts(), "LMUData", "--to", "vlmevalkit")
    with serving("The", "loss", "falls") as (url, engine):
        rows = vlmevalkit(tmp_path, url, "llava_graph_scigraphqa", "--mode", "infer")
    assert {row["prediction"] for row in rows} == {"The loss falls"}
    assert [row["answer"] for row in rows][1] == "The loss falls."
    assert set(engine.sizes) == {(160, 120)}
    assert len(engine.requests) == 4
    items, _ = items_of(find_task("scigraphqa"), charts())
    joined = join(items, *read_answers([tmp_path / "runs/scripted/scripted_llava_graph_scigraphqa.tsv"]))
    assert (joined.complete, joined.counts) == (True, {})
    assert {pair.text for pair in joined.pairs} == {"The loss falls"}


@needs_vlmevalkit
def test_vlmevalkit_scores_choices_itself(tmp_path):
    figures = [
        Figure(id=f"p{n}", image=PICTURE, turns=turns(f"What is {n}?\nA: malignant\nB: benign", "AB"[n > 0] + ": so"), split="test")
        for n in range(4)
    ]  # fmt: skip
    export(tmp_path, "pmc-vqa", figures, "LMUData", "--to", "vlmevalkit")
    with serving("B") as (url, engine):
        rows = vlmevalkit(tmp_path, url, "llava_graph_pmc_vqa", "--judge", "exact_matching")
    assert [row["A"] for row in rows] == ["malignant"] * 4
    assert "B. benign" in asked(engine)[0]
    with (tmp_path / "runs/scripted/scripted_llava_graph_pmc_vqa_acc.csv").open() as file:
        (scores,) = csv.DictReader(file)
    assert float(scores["Overall"]) == 0.75
