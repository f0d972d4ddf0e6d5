"""`scicap_builder tables`: charts read by tiny models in batches, over an API and after a kill; each failure costs itself."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from chart_models import FONT, TABLES, build_chart2table, build_pix2struct, picture
from typer.testing import CliRunner
from upstream_server import saying

from llava_graph.cli import app as asking_app
from llava_graph.dataset import read_dataset, write_dataset
from llava_graph.errors import InputError
from llava_graph.record import Figure, Table
from llava_graph.sampling import GenerationOptions
from llava_graph.tables.chart_model import ChartModel, request_of
from llava_graph.tables.header_font import header_font
from llava_graph.tables.requests import DEPLOT
from scicap_builder.cli import app
from scicap_builder.tables.filling import TableOptions, fill_tables

RED = Table(header=("x", "y"), rows=(("1", "2.50"), ("2", "7")), title="Red")
OLD = Table(header=("a", "b"), rows=(("1", "2"),))


def png_of(colour: str) -> bytes:
    buffer = io.BytesIO()
    picture(colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def deplot(tmp_path_factory):
    return build_pix2struct(tmp_path_factory.mktemp("models") / "deplot")


@pytest.fixture(scope="module")
def reader(deplot):
    return ChartModel(deplot, device="cpu")


@pytest.fixture
def data(tmp_path):
    figures = [
        Figure(id="a", kind="chart", image=png_of("red"), caption="Kept.", split="train"),
        Figure(id="b", kind="chart", image=png_of("blue"), split="test"),
        Figure(id="c", kind="photo", image=png_of("red"), split="train"),
        Figure(id="d", kind="chart", image=png_of("red"), table=OLD, split="train"),
        Figure(id="e", kind="chart", split="train"),
        Figure(id="f", kind="chart", image=b"no picture", split="train"),
    ]
    write_dataset(figures, tmp_path / "data", options={"licence": "CC0-1.0"})
    return tmp_path / "data"


def tables_in(folder):
    return {figure.id: figure.table for figure in read_dataset(folder)}


def run(*words):
    done = CliRunner().invoke(app, ["tables", *map(str, words)])
    assert done.exit_code == 0, f"{done.output} {done.exception!r}"
    return " ".join(done.output.split())


def test_a_pix2struct_fills_the_tables_of_charts_and_everything_is_counted(deplot, data, tmp_path):
    out = tmp_path / "out"
    told = run(data, "--model", deplot, "--out", out, "--device", "cpu", "--at-once", 2)
    assert tables_in(out) == {"a": RED, "b": None, "c": None, "d": OLD, "e": None, "f": None}
    counted = json.loads((out / "tables.json").read_text())
    assert counted["outcomes"] == {
        "read": 1, "looped-table": 1, "no-chart": 1, "had-a-table": 1, "no-picture": 1, "bad-image": 1,
    }  # fmt: skip
    assert "1 tables read in 6 records" in told
    assert "looped-table 1" in told
    build = json.loads((out / "build.json").read_text())
    assert (build["options"]["request"], build["options"]["max_new_tokens"], build["options"]["licence"]) == (
        DEPLOT,
        512,
        "CC0-1.0",
    )
    assert {figure.caption for figure in read_dataset(out)} == {"Kept.", ""}
    answers = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]
    assert {row["question_id"]: row["metadata"]["finish_reason"] for row in answers} == {"a": "stop", "b": "length"}


def test_a_loop_is_cut_back_where_something_sound_stands_before_it(reader, data, tmp_path):
    filled = fill_tables(data, tmp_path / "out", reader, TableOptions(max_new_tokens=6, replace=True, all_kinds=True))
    assert tables_in(tmp_path / "out")["b"] == Table(header=("x", "y"), rows=(("3", "9"), ("4", "5")))
    assert filled.repairs == {"repeated-rows": 1}
    assert tables_in(tmp_path / "out")["c"] == tables_in(tmp_path / "out")["d"] == RED, "all kinds, and anew"


def test_a_killed_run_asks_nothing_twice(reader, data, tmp_path, monkeypatch):
    asked = []

    class Killed(ChartModel):
        def __init__(self, limit):
            self.__dict__.update(reader.__dict__)
            self.limit = limit

        def read(self, questions, images, generation):
            if len(asked) >= self.limit:
                raise KeyboardInterrupt
            asked.append(len(images))
            return super().read(questions, images, generation)

    options = TableOptions(max_new_tokens=6, at_once=1)
    with pytest.raises(KeyboardInterrupt):
        fill_tables(data, tmp_path / "out", Killed(1), options)
    assert len((tmp_path / "out" / "answers.jsonl").read_text().splitlines()) == 1
    filled = fill_tables(data, tmp_path / "out", Killed(9), options)
    assert asked == [1, 1], "the answer that was there is not asked for again"
    assert filled.outcomes["read"] == 2
    assert sum(filled.outcomes.values()) == filled.summary.figures == 6
    fill_tables(data, tmp_path / "out", Killed(0), options)
    with pytest.raises(InputError, match="the data set itself"):
        fill_tables(data, data, reader)


def test_a_batch_reads_as_one_alone_and_the_header_is_drawn_as_transformers_draws_it(
    reader, deplot, tmp_path, monkeypatch
):
    from transformers import AutoProcessor
    from transformers.models.pix2struct import image_processing_pil_pix2struct as theirs

    images, short = [picture(colour) for colour in TABLES], GenerationOptions(max_new_tokens=6)
    together = reader.read([DEPLOT] * 2, images, short)
    assert together == [reader.read([DEPLOT], [image], short)[0] for image in images]
    assert together[0].text == TABLES["red"]
    font = tmp_path / "font.ttf"
    font.write_bytes(FONT)
    monkeypatch.setattr(theirs, "hf_api", lambda: type("Hub", (), {"hf_hub_download": lambda *_: str(font)}))
    processor = AutoProcessor.from_pretrained(deplot)
    expected = processor(images=images, text=DEPLOT, max_patches=24, return_tensors="np")  # it takes 2048 else
    ours = reader._pix2struct([DEPLOT] * 2, images)
    assert np.array_equal(np.asarray(ours["flattened_patches"]), np.asarray(expected["flattened_patches"]))


def test_a_full_gpu_costs_no_chart(reader, data, tmp_path, monkeypatch):
    whole = ChartModel.read

    def small(self, questions, images, generation):
        if len(images) > 1:
            raise RuntimeError("CUDA out of memory")
        return whole(self, questions, images, generation)

    monkeypatch.setattr(ChartModel, "read", small)
    assert fill_tables(data, tmp_path / "out", reader, TableOptions(max_new_tokens=6)).outcomes["read"] == 2


def test_the_font_is_found_without_a_network(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    mine = tmp_path / "mine.ttf"
    mine.write_bytes(FONT)
    assert header_font(tmp_path / "nowhere", mine) == FONT
    assert header_font(tmp_path) == FONT, "one that lies in the checkpoint"
    (tmp_path / "empty").mkdir()
    assert header_font(tmp_path / "empty")[:4] in (b"\x00\x01\x00\x00", b"OTTO", b"true")
    mine.write_bytes(b"no font")
    with pytest.raises(InputError, match="no font"):
        header_font(tmp_path, mine)


def test_pp_chart2table_is_asked_by_its_own_template(tmp_path, data):
    model = build_chart2table(tmp_path / "chart2table")
    reader = ChartModel(model, device="cpu")
    images, short = [picture(colour) for colour in TABLES], GenerationOptions(max_new_tokens=5)
    together = reader.read(["", ""], images, short)
    assert together == [reader.read([""], [image], short)[0] for image in images]
    assert {chunk.completion_tokens for chunk in together} <= set(range(6))
    filled = fill_tables(data, tmp_path / "out", reader, TableOptions(max_new_tokens=5))
    assert sum(filled.outcomes.values()) == 6
    done = CliRunner().invoke(
        app, ["tables", str(data), "--model", str(model), "--out", str(tmp_path / "x"), "--font", "f.ttf"]
    )
    assert "draws its question" in str(done.exception)


def test_any_model_that_sees_is_asked_through_its_own_processor(tmp_path, data):
    """granite-vision and the like: `load`'s way, in batches."""
    from other_models import FAMILIES

    model, processor = FAMILIES["idefics3"]()
    model.save_pretrained(tmp_path / "vlm")
    processor.save_pretrained(tmp_path / "vlm")
    told = run(data, "--model", tmp_path / "vlm", "--out", tmp_path / "out", "--device", "cpu", "--max-new-tokens", 4)
    assert "no-table 2" in told or "looped-table" in told, "random weights say nothing"
    config = json.loads((tmp_path / "vlm" / "config.json").read_text())
    (tmp_path / "vlm" / "config.json").write_text(json.dumps({**config, "model_type": "granite4_vision"}))
    assert request_of(tmp_path / "vlm") == "<chart2csv>"


def test_an_endpoint_reads_charts(api_server, data, tmp_path):
    api_server.script = saying("```csv\nYear,Sales\n2020,5.0\n2021,-7\n```")
    out = tmp_path / "out"
    told = run(data, "--api", api_server.url, "--out", out, "--request", "chart2csv")
    assert "2 tables read" in told
    assert tables_in(out)["a"] == Table(header=("Year", "Sales"), rows=(("2020", "5.0"), ("2021", "-7")))
    (content,) = [message["content"] for message in api_server.bodies[-1]["messages"]]
    assert [part["type"] for part in content] == ["image_url", "text"]
    assert content[1]["text"] == "<chart2csv>"
    assert api_server.bodies[-1]["temperature"] == 0


def test_evaluate_asks_a_chart_model_and_scores_what_was_read(deplot, data, tmp_path):
    write_dataset([Figure(id="a", kind="chart", image=png_of("red"), table=RED, split="test")], tmp_path / "gold")
    words = [
        "evaluate",
        "--task",
        "tables",
        "--data",
        str(tmp_path / "gold"),
        "--model",
        str(deplot),
        "--device",
        "cpu",
    ]
    done = CliRunner().invoke(asking_app, [*words, "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    scores = json.loads((tmp_path / "run" / "metrics.json").read_text())["scores"]
    assert {(one["flavour"], one["name"]): one["value"] for one in scores}["published", "RMS F1"] == 1
    run(tmp_path / "gold", "--model", deplot, "--device", "cpu", "--replace", "--out", tmp_path / "anew")
    words = [
        "evaluate",
        "--task",
        "tables",
        "--data",
        str(tmp_path / "gold"),
        "--answers",
        str(tmp_path / "anew" / "answers.jsonl"),
    ]
    done = CliRunner().invoke(asking_app, [*words, "--out", str(tmp_path / "theirs")])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("words", "said"),
    [((), "a model reads"), (("--model", "nowhere"), "no such folder"), (("--api", "x", "--device", "cpu"), "its own"),
     (("--model", "x", "--request", "delpot"), "there is no request")],
)  # fmt: skip
def test_wrong_options_are_named(data, tmp_path, words, said):
    done = CliRunner().invoke(app, ["tables", str(data), "--out", str(tmp_path / "out"), *words])
    assert said in str(done.exception)


def test_credentialed_charts_are_not_sent_away_and_two_data_sets_never_mix(api_server, data, tmp_path):
    api_server.script = saying("A | B\n1 | 2")
    run(data, "--api", api_server.url, "--out", tmp_path / "out")
    gated, chart = tmp_path / "gated", [replace(figure, id="c") for figure in read_dataset(data)][:1]
    write_dataset(chart, gated)
    words = ["tables", str(gated), "--out", str(tmp_path / "out"), "--api"]
    assert "from: 'data' then, 'gated' now" in str(CliRunner().invoke(app, [*words, api_server.url]).exception)
    write_dataset(chart, tmp_path / "mimic", options={"access": "credentialed"})
    told = CliRunner().invoke(app, ["tables", str(tmp_path / "mimic"), *words[2:], "https://reader.example/v1"])
    assert "would be sent to https://reader.example/v1" in str(told.exception)
