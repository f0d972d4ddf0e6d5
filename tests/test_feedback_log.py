"""The log in FastChat's format: what a line holds, that it is there whole or not at all, and what the votes in it say."""

import errno
import hashlib
import json
import logging
import os
import random
import re
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from llava_graph.dataset import read_dataset, read_dropped
from llava_graph.errors import InputError
from llava_graph.images import encode_png
from llava_graph.record import Figure, OcrLine, Paper, Turn
from serve.cli import app
from serve.client import Sampling
from serve.feedback import log as log_module
from serve.feedback.lines import (
    ANSWER_VOTES,
    BATTLE_VOTES,
    MAX_COMMENT_CHARS,
    REASONS,
    Feedback,
    Talk,
    battle_line,
    chat_line,
    vote_line,
)
from serve.feedback.log import IMAGES, ConversationLog, Visitors
from serve.feedback.ratings import Battle, standings
from serve.feedback.records import training_records
from serve.feedback.votes import count_votes, read_votes

TALK = Talk(
    id="0a1b",
    model="figures",
    template="chatml",
    turns=(
        Turn(role="user", text="Explain."),
        Turn(role="assistant", text="It rises."),
        Turn(role="user", text="Why?"),
        Turn(role="assistant", text="More data."),
    ),
)
FASTCHAT_STATE = {"template_name", "system_message", "roles", "messages", "offset", "conv_id", "model_name"}
"""`Conversation.dict()` and `State.dict()` of FastChat 0.2.36."""
PIXELS = encode_png(Image.new("RGB", (32, 24), "white"))
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp()


def test_a_chat_line_has_the_fields_of_fastchats():
    line = chat_line(TALK, Sampling(), start=1.00001, finish=2.5, completion_tokens=9)
    assert list(line)[:8] == ["tstamp", "type", "model", "gen_params", "start", "finish", "state", "ip"]
    assert (line["type"], line["model"], line["tstamp"], line["ip"]) == ("chat", "figures", 2.5, "")
    assert line["gen_params"] == {"temperature": 0.2, "top_p": 0.7, "max_new_tokens": 512}
    assert set(line["state"]) == FASTCHAT_STATE
    assert line["state"]["messages"][:2] == [["USER", "Explain."], ["ASSISTANT", "It rises."]]


def test_a_vote_is_on_the_last_answer_of_its_state():
    line = vote_line(TALK.until(0), Feedback(vote="downvote", reasons=("wrong_number",), comment=" 5, not 6 "), now=3)
    assert list(line) == ["tstamp", "type", "model", "state", "ip", "feedback"]
    assert [text for _, text in line["state"]["messages"]] == ["Explain.", "It rises."]
    assert line["feedback"] == {"reasons": ["wrong_number"], "comment": "5, not 6", "corrected": ""}
    assert "feedback" not in vote_line(TALK, Feedback(vote="upvote"), now=3)
    for wrong in (-1, 2):
        with pytest.raises(InputError):
            TALK.until(wrong)


def test_a_battle_names_its_models_in_the_states_only_as_fastchats_anonymous_ones():
    other = replace(TALK, model="other")
    line = battle_line(TALK, other, "tievote", now=3)
    assert list(line) == ["tstamp", "type", "models", "states", "ip"]
    assert line["models"] == ["", ""]
    assert [state["model_name"] for state in line["states"]] == ["figures", "other"]
    with pytest.raises(InputError):
        battle_line(TALK, other, "leftvotes", now=3)


def test_what_no_page_of_ours_sends_is_refused():
    for wrong in (
        {"vote": "up"},
        {"vote": "upvote", "reasons": ("because",)},
        {"vote": "upvote", "comment": "x" * (MAX_COMMENT_CHARS + 1)},
    ):
        with pytest.raises(InputError):
            Feedback(**wrong)


def test_a_figure_goes_with_its_licence_and_without_its_pixels():
    figure = Figure(
        id="arxiv:1#fig1",
        image=b"pixels",
        caption="Loss.",
        paper=Paper(id="1", licence="CC-BY-4.0"),
        ocr=(OcrLine(text="Epoch", box=(0, 0, 1, 1)),),
    )
    state = vote_line(replace(TALK, figure=figure, images=("ab",)), Feedback(vote="upvote"), now=3)["state"]
    assert (state["figure"]["licence"], state["figure"]["image"], state["images"]) == ("CC-BY-4.0", None, ["ab"])
    # The record reads back as it is, by the same reader as a data set's.
    assert Figure.from_row(state["figure"]).ocr == figure.ocr
    json.dumps(state)


def test_a_log_of_llavas_page_is_read_too():
    # As its gradio_web_server.py writes them: no id of the conversation.
    state = {"system": "", "roles": ["USER", "ASSISTANT"], "messages": [["USER", "Q"], ["ASSISTANT", "A"]], "offset": 0}
    row = {"type": "upvote", "model": "llava-v1.5-7b", "state": state, "ip": "127.0.0.1"}
    votes = count_votes(json.dumps({"tstamp": 1.5 + number, **row}) for number in range(2))
    assert votes.answers == {"llava-v1.5-7b": {"upvote": 2}}


def test_votes_of_llavas_page_have_a_reason_why_they_are_no_records(tmp_path):
    state = {"messages": [["USER", "Q"], ["ASSISTANT", "A"]], "offset": 0}
    rows = [{"tstamp": 1.5 + number, "type": "upvote", "model": "m", "state": state} for number in range(2)]
    broken = {"type": "upvote", "state": {"messages": []}}
    text = "".join(json.dumps(row) + "\n" for row in [*rows, broken, {"type": "chat"}, 7])
    (tmp_path / "2026-11-28-conv.json").write_text(text)
    kept, dropped = training_records(tmp_path)
    assert not kept
    assert [(drop.item, drop.reason) for drop in dropped] == [
        ("tstamp:1.5#answer1", "figure-not-kept"),
        ("tstamp:2.5#answer1", "figure-not-kept"),
        ("line 3", "vote-broken"),
    ]
    (tmp_path / "in-the-way").write_text("")
    with pytest.raises(InputError, match=r"cannot be written.* --records"):
        CliRunner().invoke(
            app, ["votes", str(tmp_path), "--records", str(tmp_path / "in-the-way")], catch_exceptions=False
        )


def test_a_models_name_in_a_log_does_not_command_the_terminal(tmp_path):
    log, evil = log_in(tmp_path), "m\x1b[31m\u202e"
    log.write(json.loads(battle(evil, "model-b", "leftvote", 1)))
    log.write(vote_line(replace(TALK, model=evil), Feedback(vote="downvote", reasons=("wrong_trend",)), now=2))
    shown = CliRunner().invoke(app, ["votes", str(tmp_path)], env={"COLUMNS": "140"}).output
    assert shown.count("m[31m") == 3
    assert not {"\x1b", "\u202e"} & set(shown)


texts = st.text(st.characters(), max_size=40) | st.sampled_from(["\ud800", "\0", "\r\n\u2028", "<b>", '"\\'])


@given(turns=st.lists(st.tuples(texts, texts), min_size=1, max_size=3), comment=texts)
def test_any_text_is_one_line_and_comes_back_as_it_was(turns, comment):
    said = tuple(turn for q, a in turns for turn in (Turn(role="user", text=q), Turn(role="assistant", text=a)))
    line = vote_line(replace(TALK, turns=said), Feedback(vote="downvote", comment=comment), now=1)
    data = json.dumps(line).encode()
    assert b"\n" not in data
    assert [text for _, text in json.loads(data)["state"]["messages"]] == [turn.text for turn in said]


def lines_of(folder: Path, day: str = "2026-11-28") -> list[dict]:
    return [json.loads(line) for line in (folder / f"{day}-conv.json").read_bytes().splitlines()]


def log_in(folder: Path, **options) -> ConversationLog:
    return ConversationLog(folder, now=lambda: NOON, **options)


def test_threads_and_two_logs_of_one_folder_write_whole_lines(tmp_path):
    logs = [log_in(tmp_path), log_in(tmp_path)]
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        for count in range(25):
            assert logs[number % 2].write({"who": number, "count": count, "text": "é" * random.randrange(3000)})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [(line["who"], line["count"]) for line in lines_of(tmp_path)]
    assert sorted(found) == [(who, count) for who in range(8) for count in range(25)]


def test_a_days_file_is_that_of_its_utc_date_and_only_its_owners(tmp_path):
    times = iter([NOON, NOON + 86_400])
    log = ConversationLog(tmp_path, now=lambda: next(times))
    assert log.write({"a": 1})
    assert log.write({"a": 2})
    assert sorted(file.name for file in tmp_path.iterdir()) == ["2026-11-28-conv.json", "2026-11-29-conv.json"]
    log.keep_image(PIXELS)
    assert all(file.stat().st_mode & 0o077 == 0 for file in tmp_path.rglob("*"))


def test_half_a_line_of_a_writer_that_died_is_taken_away(tmp_path):
    file = tmp_path / "2026-11-28-conv.json"
    for left, kept in (('{"a": 1}\n{"b": "' + "x" * 3_000_000, [{"a": 1}]), ('{"b', []), ('{"a": 1}\n', [{"a": 1}])):
        file.write_text(left)
        assert log_in(tmp_path).write({"c": 3})
        assert lines_of(tmp_path) == [*kept, {"c": 3}]


class FullDisk:
    """A file whose disk takes a few more bytes and then no more."""

    def __init__(self, file, room: int) -> None:
        self.file, self.room = file, room

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, data):
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self.file.write(data[: self.room])
        self.room -= written
        return written


def test_a_full_disk_costs_the_line_and_says_so_once(tmp_path, monkeypatch, caplog):
    log = log_in(tmp_path)
    assert log.write({"a": 1})
    opened = log_module._opened
    monkeypatch.setattr(log_module, "_opened", lambda path: FullDisk(opened(path), 7))
    with caplog.at_level(logging.WARNING):
        assert not any(log.write({"b": "x" * 100}) for _ in range(3))
    assert log.lost == 3
    assert [record.message for record in caplog.records if "No space left" in record.message] == [caplog.messages[0]]
    monkeypatch.undo()
    assert log.write({"c": 3})
    assert lines_of(tmp_path) == [{"a": 1}, {"c": 3}]


def test_a_log_never_grows_over_its_limit(tmp_path):
    log = log_in(tmp_path, max_bytes=400)
    kept = sum(log.write({"text": "x" * 50}) for _ in range(20))
    assert kept == 400 // len(b'{"text": "' + b"x" * 50 + b'"}\n')
    assert log.lost == 20 - kept
    noise = Image.frombytes("RGB", (64, 64), random.Random(0).randbytes(64 * 64 * 3))
    assert log.keep_image(encode_png(noise)) == ""
    assert not log_in(tmp_path, max_bytes=400).write({"text": "x" * 50}), "what is there already counts"
    assert sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()) <= 400
    assert not log_in(tmp_path).write({"text": "x" * 2**20})


def test_an_image_is_kept_once_under_the_md5_of_its_pixels_as_fastchat_has_it(tmp_path):
    log, image = log_in(tmp_path), Image.linear_gradient("L").convert("RGB")
    name = log.keep_image(encode_png(image))
    assert name == hashlib.md5(image.tobytes()).hexdigest()
    kept = tmp_path / IMAGES / f"{name}.png"
    assert Image.open(kept).tobytes() == image.tobytes()
    before = kept.stat().st_mtime_ns
    assert log.keep_image(encode_png(image)) == name
    assert (kept.stat().st_mtime_ns, len(list(kept.parent.iterdir()))) == (before, 1)
    assert log.keep_image(b"no image") == ""
    assert log.lost == 1


def test_a_place_that_cannot_be_written_is_known_at_the_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--log-dir"):
        ConversationLog(tmp_path / "file" / "log")


def test_visitors_are_told_apart_without_their_address():
    visitors = Visitors(b"key")
    names = {visitors.name(f"10.0.0.{number}") for number in range(256)}
    assert len(names) == 256
    assert all(re.fullmatch("[0-9a-f]{16}", name) for name in names)
    assert visitors.name("10.0.0.1") == Visitors(b"key").name("10.0.0.1") != Visitors().name("10.0.0.1")
    assert visitors.name(None) == visitors.name("") == ""


def battle(left: str, right: str, vote: str, number: int) -> str:
    talks = [replace(TALK, model=model, id=f"{number}-{model}") for model in (left, right)]
    return json.dumps(battle_line(*talks, vote, now=number))


def test_the_last_vote_counts_and_nothing_disappears():
    good, bad = Feedback(vote="upvote"), Feedback(vote="downvote", reasons=("wrong_number", "other"))
    lines = [
        json.dumps(vote_line(TALK, good, now=1)),
        json.dumps(vote_line(TALK, bad, now=2)),
        json.dumps(vote_line(TALK.until(0), good, now=3)),
        json.dumps(vote_line(TALK, Feedback(vote="flag"), now=4)),
        json.dumps(chat_line(TALK, Sampling(), start=1, finish=2)),
        battle("a", "b", "leftvote", 1),
        battle("a", "b", "rightvote", 1),
        battle("a", "b", "bothbad_vote", 2),
        *("{", "[]", "5", '{"type": "upvote"}', '{"type": ["x"]}', '{"type": "regenerate"}', b"\xff", "[" * 100_000),
        '{"type": "leftvote", "states": [{"model_name": "a", "conv_id": [], "messages": []}]}',
    ]
    votes = count_votes(lines)
    assert votes.answers == {"figures": {"upvote": 1, "downvote": 1, "flag": 1}}
    assert votes.reasons["figures"] == {"wrong_number": 1, "other": 1}
    assert votes.battles == (Battle("a", "b", "right"), Battle("a", "b", "both bad"))
    assert votes.chats == {"figures": 1}
    counted = (
        sum(sum(counts.values()) for counts in votes.answers.values()) + len(votes.battles) + sum(votes.chats.values())
    )
    assert counted + sum(votes.skipped.values()) == votes.lines == len(lines)


@given(
    st.binary(max_size=60)
    | st.text(max_size=60)
    | st.recursive(
        st.none() | st.integers() | texts,
        lambda v: (
            st.lists(v)
            | st.dictionaries(
                st.sampled_from(
                    ["type", "model", "state", "states", "conv_id", "messages", "model_name", "feedback", "reasons"]
                ),
                v | st.sampled_from([*ANSWER_VOTES, *BATTLE_VOTES]),
            )
        ),
    ).map(json.dumps)
)
def test_no_line_breaks_the_count(line):
    votes = count_votes([line])
    assert votes.lines == 1


def drawn_battles(strengths: dict[str, float], count: int, seed: int) -> list[Battle]:
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        left, right = draw.sample(sorted(strengths), 2)
        odds = 10 ** ((strengths[left] - strengths[right]) / 400)
        winner = "tie" if draw.random() < 0.1 else "left" if draw.random() < odds / (1 + odds) else "right"
        found.append(Battle(left, right, winner))
    return found


def test_ratings_find_the_strengths_that_battles_were_drawn_from():
    true = {"weak": 850.0, "middle": 1000.0, "strong": 1150.0}
    found = standings(drawn_battles(true, 3000, 1), rounds=200)
    assert [one.model for one in found] == ["strong", "middle", "weak"]
    for one in found:
        # A tenth are ties, which draw ratings together a little.
        assert abs(one.rating - true[one.model]) < 30
        assert one.rating_interval[0] < one.rating < one.rating_interval[1]
        assert one.battles == one.wins + one.losses + one.ties + one.both_bad


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    true = {"a": 1050.0, "b": 950.0}
    held = 0
    for seed in range(60):
        (best, *_rest) = sorted(
            standings(drawn_battles(true, 120, seed), rounds=200, seed=seed), key=lambda one: one.model
        )
        share = 0.05 + 0.9 / (1 + 10 ** ((950 - 1050) / 400))
        held += best.share_interval[0] <= share <= best.share_interval[1]
    assert 51 <= held <= 60


def test_a_model_that_never_lost_is_rated_finitely_and_more_wins_are_surer():
    few, many = (standings([Battle("a", "b", "left")] * count, rounds=50) for count in (2, 50))
    assert np.isfinite([few[0].rating, *few[0].rating_interval, many[0].rating]).all()
    assert many[0].rating > few[0].rating > few[1].rating
    assert (few[0].share, few[1].share) == (1.0, 0.0)
    assert standings([]) == []
    assert standings([Battle("a", "a", "left")]) == []


def test_the_votes_command_prints_the_table(tmp_path):
    log = log_in(tmp_path)
    for number, vote in enumerate(("leftvote", "leftvote", "tievote", "bothbad_vote")):
        log.write(json.loads(battle("model-a", "model-b", vote, number)))
    log.write(vote_line(TALK, Feedback(vote="downvote", reasons=("wrong_trend",)), now=2))
    result = CliRunner().invoke(app, ["votes", str(tmp_path)], env={"COLUMNS": "140"})
    assert result.exit_code == 0
    row = next(line for line in result.output.splitlines() if "model-a" in line)
    assert row.split()[1:6] == ["4", "2", "0", "1", "1"]
    assert REASONS["wrong_trend"] in result.output
    told = json.loads(CliRunner().invoke(app, ["votes", str(tmp_path), "--json"]).output)
    assert (told["battles"], told["left_won"], told["standings"][0]["model"]) == (4, 2, "model-a")
    assert read_votes(tmp_path).lines == 5
    with pytest.raises(InputError):
        read_votes(tmp_path / "nothing")
    with pytest.raises(InputError):
        read_votes(Path(os.devnull))


def kept_figure(log: ConversationLog) -> dict:
    pixels = encode_png(Image.new("RGB", (32, 24), "white"))
    figure = Figure(
        id="arxiv:1.1#fig1", image=pixels, width=32, height=24, caption="Loss.", paper=Paper(id="arxiv:1.1")
    )
    return {"figure": figure, "images": (log.keep_image(PIXELS),)}


def test_approved_and_corrected_answers_become_records_and_every_other_vote_a_reason(tmp_path):
    log, up = log_in(tmp_path / "log"), Feedback(vote="upvote")
    corrected = Feedback(vote="downvote", corrected="It falls.")
    given = kept_figure(log)

    def vote(talk: str, answer: int, feedback: Feedback, **more) -> None:
        log.write(vote_line(replace(TALK, id=talk, **(given | more)).until(answer), feedback, now=1))

    vote("whole", 0, Feedback(vote="downvote"))
    vote("whole", 0, up)  # the last one counts
    vote("whole", 1, up)
    vote("fixed", 0, corrected)
    vote("fixed", 1, up)  # it spoke of an answer that was wrong
    vote("bad", 0, Feedback(vote="downvote", reasons=("wrong_number",)))
    vote("late", 1, up)  # nobody approved the answer before
    vote("private", 0, up, figure=None, images=())
    vote("lost", 0, up, images=("0" * 32,))
    vote("evil", 0, up, images=("../../secret",))
    result = CliRunner().invoke(app, ["votes", str(tmp_path / "log"), "--records", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    records = {figure.id: figure for figure in read_dataset(tmp_path / "out")}
    assert set(records) == {"arxiv:1.1#fig1@whole", "arxiv:1.1#fig1@fixed"}
    assert records["arxiv:1.1#fig1@whole"].turns == TALK.turns
    assert [turn.text for turn in records["arxiv:1.1#fig1@fixed"].turns] == ["Explain.", "It falls."]
    assert records["arxiv:1.1#fig1@fixed"].image.startswith(b"\x89PNG")
    assert {drop.item: drop.reason for drop in read_dropped(tmp_path / "out")} == {
        "fixed#answer2": "after-an-answer-that-was-not-approved",
        "bad#answer1": "downvoted",
        "late#answer2": "after-an-answer-that-was-not-approved",
        "private#answer1": "figure-not-kept",
        "lost#answer1": "image-missing",
        "evil#answer1": "figure-broken",
    }
