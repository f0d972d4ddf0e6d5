"""FastChat's own analysis scripts read our log. Skips itself where `scripts/fastchat_env.sh votes` has not run."""

import json
import random
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from llava_graph.images import encode_png
from llava_graph.record import Figure, Turn
from serve.client import Sampling
from serve.feedback.lines import ANSWER_VOTES, BATTLE_VOTES, Feedback, Talk, battle_line, chat_line, vote_line
from serve.feedback.log import ConversationLog
from serve.feedback.ratings import standings
from serve.feedback.votes import WINNERS, read_votes
from tests.interop.peers import PYTHON

SCRIPT = Path(__file__).with_name("read_log.py")
PIXELS = encode_png(Image.new("RGB", (16, 16), "white"))
TALK = Talk(
    id="x",
    model="figures",
    turns=(Turn(role="user", text="Explain this."), Turn(role="assistant", text="It rises.\nÜber 5 %.")),
    figure=Figure(id="arxiv:1#fig1", image=PIXELS, caption="A caption"),
)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """(what our reader finds, what FastChat's scripts find) in a log of every kind of line."""
    has_all = [PYTHON, "-c", "import fastchat, pandas, plotly, pytz, sklearn"]
    if not PYTHON.exists() or subprocess.run(has_all, capture_output=True, check=False).returncode:
        pytest.skip("no FastChat with what its analysis needs: scripts/fastchat_env.sh votes")
    folder = tmp_path_factory.mktemp("log")
    log, draw = ConversationLog(folder), random.Random(0)
    talk = replace(TALK, images=(log.keep_image(PIXELS),))
    for number in range(120):
        left, right = draw.sample(["figures", "other", "third"], 2)
        sides = replace(talk, id=f"{number}a", model=left), replace(talk, id=f"{number}b", model=right)
        log.write(battle_line(*sides, draw.choice(BATTLE_VOTES), now=1.79e9 + number, visitor="ab12"))
        one = replace(talk, id=str(number))
        log.write(chat_line(one, Sampling(), start=1.79e9, finish=1.79e9 + number, completion_tokens=7))
        feedback = Feedback(vote=draw.choice(ANSWER_VOTES), reasons=("wrong_number",), corrected="It falls.")
        log.write(vote_line(one, feedback, now=1.79e9 + number))
    command = [PYTHON, str(SCRIPT), str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    line = next(line for line in run.stdout.splitlines() if line.startswith("FOUND "))
    return read_votes(folder), json.loads(line.removeprefix("FOUND "))


def test_every_line_and_every_battle_is_found(found):
    ours, theirs = found
    assert theirs["lines"] == ours.lines == 360
    assert theirs["anonymous"] == len(ours.battles) == 120
    winners = {"left": "model_a", "right": "model_b", "tie": "tie", "both bad": "tie (bothbad)"}
    assert theirs["battles"] == [
        [battle.left, battle.right, winners[battle.winner], True, "arena_user_ab12"] for battle in ours.battles
    ]
    assert set(winners) == set(WINNERS.values())


def test_their_ratings_are_ours_but_for_the_tie_that_we_add(found):
    ours, theirs = found
    for one in standings(ours.battles, rounds=10):
        assert one.rating == pytest.approx(theirs["ratings"][one.model], abs=3)


def test_conversations_are_whole(found):
    ours, theirs = found
    votes = sum((counts for counts in ours.answers.values()), start=type(ours.chats)())
    assert len(theirs["chats"]["chat"]) == ours.chats["figures"] == 120
    for kind in ("upvote", "downvote"):
        assert len(theirs["chats"][kind]) == votes[kind]
    for chat in (*theirs["chats"]["chat"], *theirs["chats"]["leftvote"], *theirs["chats"]["rightvote"]):
        assert [turn["content"] for turn in chat["conversation"]] == [turn.text for turn in TALK.turns]
        assert [turn["role"] for turn in chat["conversation"]] == ["user", "assistant"]
