"""`llava-graph evaluate` from records to scores: what is asked, how answers are kept and joined, what bad input costs."""

import json
import math
import random
from dataclasses import replace

import pytest
from explained_papers import Parrot
from PIL import Image, ImageDraw
from tiny_model import build_tiny_model
from typer.testing import CliRunner

from llava_graph.cli import app
from llava_graph.commands import asked
from llava_graph.dataset import write_dataset
from llava_graph.errors import InputError, ServeError
from llava_graph.evaluate.answered import Pair, Reply
from llava_graph.evaluate.answering import Asking, answer
from llava_graph.evaluate.answers import AnswerFile, join, read_answers
from llava_graph.evaluate.baselines import _Index, make_baseline
from llava_graph.evaluate.measures import measure_all
from llava_graph.evaluate.run import chunk
from llava_graph.evaluate.tasks import TASKS, find_task, items_of
from llava_graph.explain import Explainer
from llava_graph.images import encode_png
from llava_graph.prompt import PromptOptions
from llava_graph.record import Dropped, Figure, OcrLine, Paper, Turn
from llava_graph.sampling import GenerationOptions

PICTURE = encode_png(Image.new("RGB", (48, 32), "white"))


def turns(*words):
    return tuple(Turn(role=("user", "assistant")[place % 2], text=text) for place, text in enumerate(words))


def question(name, text, reference, kind="open", split="test", **more):
    return Figure(
        id=f"vqa-rad:{name}", image=PICTURE, turns=turns(text, reference), source=f"vqa-rad/{kind}", split=split, **more
    )


def vqa_figures():
    test = [question(f"q{n}", f"Which lobe has sign {n}?", f"lobe {n}") for n in range(4)]
    test += [question(f"c{n}", f"Is sign {n} there?", ("yes", "no")[n % 2], "closed") for n in range(4)]
    train = [question(f"t{n}", f"Is sign {n} there?", "no", "closed", "train") for n in range(3)]
    return [*test, *train, question("t9", "Which lobe has sign 3?", "lobe 3", split="train")]


def explained(number, split="test"):
    return Figure(
        id=f"arxiv:1#{split}{number}",
        image=PICTURE,
        caption=f"Loss of model {number}.",
        ocr=(OcrLine(text=f"epoch {number}", box=(0, 0, 1, 0.1), source="pdf"),),
        mentions=(f"Figure {number} shows that the loss falls to 0.{number}.",),
        paper=Paper(id=f"{split}{number}"),
        split=split,
    )


@pytest.fixture(scope="module")
def rad(tmp_path_factory):
    place = tmp_path_factory.mktemp("data") / "rad"
    write_dataset(vqa_figures(), place)
    return place


@pytest.fixture(scope="module")
def scicap(tmp_path_factory):
    place = tmp_path_factory.mktemp("data") / "scicap"
    write_dataset([*map(explained, range(5)), explained(3, "train"), replace(explained(9), mentions=())], place)
    return place


def evaluate(*words):
    return CliRunner().invoke(app, ["evaluate", *map(str, words)])


def scores(out):
    return {f"{one['flavour']}/{one['name']}": one for one in json.loads((out / "metrics.json").read_text())["scores"]}


def items(task, figures):
    return items_of(find_task(task), figures)[0]


# What is asked


def test_dialogues_are_asked_turn_by_turn_behind_the_references_turns():
    figure = Figure(id="f", turns=turns("Q1", "A1", "Q2", "A2"))
    first, second = items("scigraphqa", [figure])
    assert (first.id, first.history, first.turn) == ("f/q1", (), 1)
    assert (second.question, second.reference, [t.text for t in second.history]) == ("Q2", "A2", ["Q1", "A1"])
    assert first.mark != second.mark


def test_open_and_closed_as_stated_else_by_the_answer():
    figures = [
        question("a", "Which side?", "left", "closed"),
        question("b", "Is it?", "yes", "unknown"),
        question("c", "What?", "no", "open"),
    ]
    found = items("slake", figures)
    assert [one.kind for one in found] == ["closed", "closed", "open"]
    assert ["choose from" in one.question for one in found] == [False, True, False]
    assert "choose from" not in items("quilt-vqa", figures)[1].question


def test_textvqa_is_scored_by_what_ten_people_said():
    figure = question("a", "What brand?", "dakota")
    people = ("dakota",) * 8 + ("agfa",) * 2
    figure = replace(figure, turns=(figure.turns[0], replace(figure.turns[1], references=people)))
    [item] = items("textvqa", [figure])
    assert item.question == "What brand?\nAnswer the question using a single word or phrase."
    found = {one.key: one.value for one in measure_all([Pair(item=item, text="Agfa")])}
    assert found == {
        "published/VQA accuracy": pytest.approx(0.6),
        "strict/VQA accuracy": pytest.approx(0.6),
        "strict/exact match with any answer": 1.0,
    }
    alone = replace(item, references=())
    assert {one.value for one in measure_all([Pair(item=alone, text="dakota")])} == {1.0}, "one answer alone: the same"


@pytest.mark.parametrize("task", TASKS)
def test_no_task_shows_what_it_asks_for(task):
    everything = PromptOptions(title=True, abstract=True, mentions=True)
    options = TASKS[task].options(everything)
    assert options.mentions is (task == "scicap-caption")
    assert options.caption is (task not in ("scicap-caption", "llava-med-qa50", "tables"))
    assert TASKS[task].options(everything, ocr=False).ocr is False


def test_records_without_a_question_are_counted_and_two_of_one_id_refused():
    found, dropped = items_of(find_task("scicap"), [explained(1), replace(explained(2), mentions=())])
    assert ([one.id for one in found], [drop.reason for drop in dropped]) == (["arxiv:1#test1"], ["nothing-to-ask"])
    with pytest.raises(InputError, match="two records have the id"):
        items("scicap", [explained(1), explained(1)])
    with pytest.raises(InputError, match="no record of the data set fits"):
        items("vqa-rad", [explained(1)])


# How answers are joined


def lines(tmp_path, *rows):
    file = tmp_path / "answers.jsonl"
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return file


def test_answers_are_joined_by_id_whatever_their_order_and_everything_else_is_named(tmp_path):
    asked_now = items("vqa-rad", vqa_figures()[:4])
    file = lines(
        tmp_path,
        {"question_id": "vqa-rad:q2", "text": "lobe 2"},
        {"question_id": "q0", "text": ""},
        {"question_id": "vqa-rad:q2", "text": "lobe 2"},
        {"question_id": "vqa-rad:zz", "text": "x"},
        {"question_id": "vqa-rad:q1", "text": math.nan},
        {"question_id": "vqa-rad:q3", "text": "x", "metadata": {"mark": "0" * 12}},
        {"question_id": "vqa-rad:q3", "text": 5},
        {"qid": "vqa-rad:q3", "text": "x"},
        '{"question_id": "vqa-rad:q',
    )
    joined = join(asked_now, *read_answers([file]))
    assert {pair.item.id: pair.text for pair in joined.pairs} == {"vqa-rad:q0": "", "vqa-rad:q2": "lobe 2"}
    assert joined.missing == ("vqa-rad:q1", "vqa-rad:q3")
    assert joined.counts == {
        "missing": 2, "duplicate": 1, "no-such-item": 1, "nan": 1, "other-question": 1, "not-text": 1, "wrong-columns": 1,
        "not-json": 1, "empty": 1,
    }  # fmt: skip


def test_predictions_of_vlmevalkit_are_read_as_they_are_and_not_its_references(tmp_path):
    """With PRED_FORMAT json: a list whose rows have the reference as `answer`."""
    asked_now = items("vqa-rad", vqa_figures()[:3])
    kept = {"index": "0", "question": "Which lobe?", "answer": "lobe 0", "category": "open"}
    rows = [
        {**kept, "id": "vqa-rad:q0", "prediction": "lobe 7"},
        {**kept, "id": "vqa-rad:q1", "prediction": "Failed to obtain answer via API. "},
        {**kept, "id": "vqa-rad:q2", "prediction": None},
    ]
    file = tmp_path / "predictions.json"
    file.write_text(json.dumps(rows, indent=4))
    joined = join(asked_now, *read_answers([file]))
    assert {pair.item.id: pair.text for pair in joined.pairs} == {"vqa-rad:q0": "lobe 7"}
    assert joined.counts == {"missing": 2, "not-answered": 1, "nan": 1}
    table = tmp_path / "predictions.tsv"  # with PRED_FORMAT=tsv
    table.write_text(
        '"index"\t"answer"\t"id"\t"prediction"\n"0"\t"x"\t"vqa-rad:q0"\t"two\nlines"\n"1"\t"x"\t"q1"\t""\n'
    )
    joined = join(asked_now, *read_answers([table]))
    assert [pair.text for pair in joined.pairs] == ["two\nlines", ""]
    assert joined.counts == {"missing": 1, "empty": 1}
    table.write_text("index\tanswer_text\n0\tx\n")
    with pytest.raises(InputError, match="no column 'question_id'"):
        read_answers([table])


def test_half_characters_stop_no_run(tmp_path):
    with AnswerFile(tmp_path / "answers.jsonl", "m") as file:
        file.add(Reply(id="vqa-rad:q0", text="lobe \ud83d"))
    (tmp_path / "theirs.jsonl").write_text('{"question_id": "q1", "text": "\\ud83d"}')
    replies, problems = read_answers([tmp_path / "answers.jsonl", tmp_path / "theirs.jsonl"])
    assert [reply.text for reply in replies] == ["lobe ?", "?"]
    assert problems == []


def test_two_different_answers_to_one_item_are_refused():
    with pytest.raises(InputError, match="two different answers to vqa-rad:q0"):
        join(items("vqa-rad", vqa_figures()[:4]), [Reply(id="vqa-rad:q0", text="a"), Reply(id="q0", text="b")])


def test_a_file_with_other_columns_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(InputError, match="no column 'question_id'. Did you mean 'question_idx'"):
        read_answers([lines(tmp_path, {"question_idx": 1, "text": "x"})])


def test_missing_answers_give_no_score_unless_it_says_so(tmp_path, rad):
    file = lines(tmp_path, {"question_id": "vqa-rad:q0", "text": "lobe 0"})
    told = evaluate("--task", "vqa-rad", "--data", rad, "--answers", file, "--out", tmp_path / "o")
    assert told.exit_code == 1
    assert not (tmp_path / "o/metrics.json").exists()
    told = evaluate("--task", "vqa-rad", "--data", rad, "--answers", file, "--out", tmp_path / "o", "--partial")
    assert told.exit_code == 0
    assert "PARTIAL: 1 of 8 items" in told.stdout
    assert json.loads((tmp_path / "o/metrics.json").read_text())["complete"] is False
    against = ("--baseline", "majority", "--out", tmp_path / "m", "--against", tmp_path / "o", "--json")
    told = json.loads(evaluate("--task", "vqa-rad", "--data", rad, *against).stdout)
    assert {one["items"] for one in told["against"]["scores"]} == {1}


# How answers are got


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("model") / "nano")


def asking(at_once):
    return Asking(
        options=PromptOptions(), generation=GenerationOptions(max_new_tokens=8, temperature=0), at_once=at_once
    )


def test_answers_in_a_batch_are_those_alone_and_a_bad_image_costs_itself(tiny):
    explainer = Explainer(tiny)
    figures = [replace(explained(n), caption="loss " * (1 + 7 * n)) for n in range(5)]
    figures[2] = replace(figures[2], image=b"no picture")
    asked_now = items("scicap", figures)
    found = {one.id: one for one in answer(explainer, asked_now, asking(3)) if isinstance(one, Reply)}
    assert len(found) == 4
    for one in asked_now:
        if one.id in found:
            alone = explainer.explain(one.figure, options=asking(1).options, generation=asking(1).generation).answers[0]
            got = found[one.id]
            assert (got.text, got.completion_tokens, got.finish_reason, got.prompt_tokens) == (
                alone.text, alone.completion_tokens, alone.finish_reason, alone.prompt_tokens,
            )  # fmt: skip
    failed = [one for one in answer(explainer, asked_now, asking(1)) if isinstance(one, Dropped)]
    assert [one.reason for one in failed] == ["bad-image"]


def test_a_server_is_asked_at_the_same_time_and_given_up_when_it_is_gone():
    asked_now = items("scicap", [explained(n) for n in range(9)])
    parrot = Parrot(pause=0.01)
    assert len(list(answer(parrot, asked_now, asking(4)))) == 9
    assert parrot.most_at_once > 1
    gone = Parrot(fail={"": ServeError("gone")})
    outcomes = []
    with pytest.raises(ServeError):
        outcomes.extend(answer(gone, asked_now, asking(1)))
    assert len(gone.asked) <= 4


def test_a_run_goes_on_asks_nothing_twice_and_chunks_make_one_whole(tmp_path, scicap, monkeypatch):
    parrot = Parrot(answer="The loss falls to 0.1 .")
    monkeypatch.setattr(asked, "open_answerer", lambda choice: parrot)
    command = ("--task", "scicap", "--data", scicap, "--out", tmp_path / "o", "--num-chunks", 2)
    first = evaluate(*command, "--chunk-idx", 0)
    assert (first.exit_code, len(parrot.asked)) == (0, 3)
    assert not (tmp_path / "o/metrics.json").exists()
    file = tmp_path / "o/answers-0-of-2.jsonl"
    file.write_bytes(file.read_bytes()[:-9])  # killed in the middle of its last line
    assert evaluate(*command, "--chunk-idx", 0).exit_code == 0
    assert len(parrot.asked) == 4
    told = evaluate(*command, "--chunk-idx", 1)
    assert (told.exit_code, len(parrot.asked)) == (0, 6)
    found = scores(tmp_path / "o")
    assert found["strict/ROUGE-L"]["items"] == 5
    assert found["strict/number fidelity"]["value"] == pytest.approx(1 / 5)
    assert all(one["ocr_context"] == "gold (pdf)" for one in found.values())
    assert "gold (pdf)" in told.stdout
    assert not any("falls to" in text for text in parrot.first), "the paragraph that is asked for was shown"


def test_a_run_that_is_asked_something_else_is_refused_and_no_ocr_is_none(tmp_path, scicap, monkeypatch):
    parrot = Parrot()
    monkeypatch.setattr(asked, "open_answerer", lambda choice: parrot)
    command = ("--task", "scicap", "--data", scicap, "--out", tmp_path / "o")
    assert evaluate(*command, "--ocr", "none").exit_code == 0
    assert scores(tmp_path / "o")["strict/BLEU-1"]["ocr_context"] == "none"
    assert not any("epoch" in text for text in parrot.first)
    with pytest.raises(InputError, match="holds answers to something else"):
        CliRunner().invoke(app, ["evaluate", *map(str, command)], catch_exceptions=False, standalone_mode=False)
    manifest = json.loads((tmp_path / "o/run.json").read_text())
    assert {"task", "data", "prompt", "generation", "model", "ocr_context"} <= set(manifest["asked"])


def test_chunks_are_disjoint_and_whole():
    parts = [chunk(list(range(10)), number, 4) for number in range(4)]
    assert [one for part in parts for one in part] == list(range(10))
    with pytest.raises(InputError, match="no chunk 4 of 4"):
        chunk([], 4, 4)


def test_the_text_is_read_anew_where_that_is_asked_for(tmp_path, monkeypatch):
    picture = Image.new("RGB", (420, 120), "white")
    ImageDraw.Draw(picture).text((20, 30), "ACCURACY", fill="black", font_size=60)
    write_dataset([replace(explained(1), image=encode_png(picture))], tmp_path / "data")
    parrot = Parrot()
    monkeypatch.setattr(asked, "open_answerer", lambda choice: parrot)
    done = evaluate("--task", "scicap", "--data", tmp_path / "data", "--out", tmp_path / "o", "--ocr", "engine")
    assert done.exit_code == 0
    assert "ACCURACY" in parrot.first[0]
    assert "epoch 1" not in parrot.first[0]
    assert scores(tmp_path / "o")["strict/BLEU-1"]["ocr_context"] == "engine (read anew)"


# What answers without looking


def test_baselines(tmp_path, rad, scicap):
    asked_now = {one.id: one for one in items("vqa-rad", vqa_figures()[:8])}
    training = items("vqa-rad", vqa_figures()[8:])
    majority, prior = make_baseline("majority", training), make_baseline("question-only", training)
    assert {majority(one) for one in asked_now.values() if one.kind == "closed"} == {"no"}
    assert prior(asked_now["vqa-rad:q3"]) == "lobe 3"
    assert make_baseline("caption-echo", [])(items("scicap", [explained(1)])[0]) == "Loss of model 1."
    assert make_baseline("ocr-echo", [])(items("scicap", [explained(1)])[0]) == "epoch 1"
    near = make_baseline("retrieval", items("scicap", [explained(1), explained(3)]))
    assert "0.3" in near(items("scicap", [replace(explained(7), caption="A loss of model 3?")])[0])
    with pytest.raises(InputError, match="records to learn from"):
        make_baseline("majority", [])
    told = evaluate("--task", "vqa-rad", "--data", rad, "--baseline", "majority", "--out", tmp_path / "m")
    assert told.exit_code == 0
    assert scores(tmp_path / "m")["strict/closed accuracy"]["value"] == 0.5
    for name, context in (("ocr-echo", "gold (pdf)"), ("caption-echo", "none")):
        assert (
            evaluate("--task", "scicap", "--data", scicap, "--baseline", name, "--out", tmp_path / name).exit_code == 0
        )
        assert scores(tmp_path / name)["strict/ROUGE-L"]["ocr_context"] == context
    against = ("--baseline", "question-only", "--out", tmp_path / "q", "--against", tmp_path / "m")
    assert "difference" in evaluate("--task", "vqa-rad", "--data", rad, *against).stdout


def test_a_model_and_a_baseline_exclude_each_other(rad, tmp_path):
    with pytest.raises(InputError, match="exclude each other"):
        CliRunner().invoke(
            app,
            [
                "evaluate",
                "--task",
                "vqa-rad",
                "--data",
                str(rad),
                "--out",
                str(tmp_path),
                "--model",
                "x",
                "--baseline",
                "majority",
            ],
            catch_exceptions=False,
            standalone_mode=False,
        )


# What is found out before anything is asked, and what chunks tell


def refused(*words):
    told = evaluate(*words)
    assert isinstance(told.exception, InputError)
    return str(told.exception)


def test_another_run_that_cannot_be_compared_is_refused_before_anything_is_asked(tmp_path, rad, scicap, monkeypatch):
    parrot = Parrot()
    monkeypatch.setattr(asked, "open_answerer", lambda choice: parrot)
    evaluate("--task", "scicap", "--data", scicap, "--baseline", "caption-echo", "--out", tmp_path / "echo")
    command = ("--task", "vqa-rad", "--data", rad, "--out", tmp_path / "o", "--against")
    assert "has no answer to any of these items" in refused(*command, tmp_path / "echo")
    assert "there are no answers here" in refused(*command, tmp_path / "nowhere")
    assert (parrot.asked, (tmp_path / "o").exists()) == ([], False)


@pytest.mark.parametrize("manifest", ["[1]", '{"asked": 3}', "{}"])
def test_a_manifest_that_is_none_is_refused(tmp_path, scicap, manifest):
    (tmp_path / "run.json").write_text(manifest)
    told = refused("--task", "scicap", "--data", scicap, "--baseline", "caption-echo", "--out", tmp_path)
    assert "is no manifest of a run" in told


def test_a_chunk_whose_own_item_fails_says_so_and_one_that_is_done_does_not(tmp_path, monkeypatch):
    figures = [explained(n) for n in range(4)]
    write_dataset([replace(figures[0], image=b"no picture"), *figures[1:]], tmp_path / "data")
    monkeypatch.setattr(
        asked, "open_answerer", lambda choice: Parrot(fail={"epoch 0": InputError("bad picture", where="x")})
    )
    command = ("--task", "scicap", "--data", tmp_path / "data", "--out", tmp_path / "o", "--num-chunks", 2)
    assert evaluate(*command, "--chunk-idx", 0).exit_code == 1
    last = evaluate(*command, "--chunk-idx", 1)
    assert last.exit_code == 0
    assert "1 items of other chunks have no answer yet" in " ".join(last.stderr.split())
    assert not (tmp_path / "o/metrics.json").exists()
    assert "--num-chunks is for a model's work" in refused(*command, "--baseline", "caption-echo")


def test_the_nearest_of_many_is_the_one_of_the_highest_cosine():
    """By scikit-learn's formula, written out: tf-idf with smoothed idf, cosine; the first of equals, the first of all for none."""
    chance = random.Random(3)
    texts = [
        " ".join(chance.choices(["loss", "epoch", "of", "the", "model", "curve", "rises", "falls"], k=5))
        for _ in range(40)
    ]
    index = _Index(texts, [str(n) for n in range(40)])
    idf = {
        word: math.log(41 / (1 + sum(word in text.split() for text in texts))) + 1 for word in " ".join(texts).split()
    }

    def cosine(one, other):
        a, b = ({word: text.split().count(word) * idf.get(word, 0) for word in text.split()} for text in (one, other))
        return sum(a[word] * b.get(word, 0) for word in a) / math.hypot(*b.values())

    for text in (*texts, "the curve of the loss", "falls falls"):
        best = max(range(40), key=lambda n, text=text: (round(cosine(text, texts[n]), 12), -n))
        assert index.nearest(text) == str(best)
    assert index.nearest("nothing in common") == "0"


def test_no_baseline_of_captions_sees_the_caption_that_is_asked_for():
    first, second = (replace(explained(n), caption="The same words.") for n in (1, 2))
    second = replace(second, caption="Other words.", mentions=("Figure 2 shows that the loss falls to 0.1.",))
    (query,) = items("scicap-caption", [replace(explained(7), caption="The same words.", mentions=second.mentions)])
    assert make_baseline("retrieval", items("scicap-caption", [first, second]))(query) == "Other words."
    with pytest.raises(InputError, match="would echo the reference"):
        make_baseline("caption-echo", [])(query)


def test_answers_nested_too_deep_are_bad_input(tmp_path):
    (tmp_path / "list.json").write_text("[" * 100_000)
    (tmp_path / "lines.jsonl").write_text('{"question_id": "q0", "text": ' + "[" * 100_000)
    with pytest.raises(InputError, match="is no JSON"):
        read_answers([tmp_path / "list.json"])
    assert [one.reason for one in read_answers([tmp_path / "lines.jsonl"])[1]] == ["not-json"]
