"""Two models compared blind: no name before the vote, fair sides, both answers at once, and what is kept of it."""

import asyncio
import json
from collections import Counter

import pytest
from PIL import Image

from llava_graph.errors import InputError, ServeError
from llava_graph.images import encode_png
from llava_graph.record import Figure
from serve.client import ModelClient, ModelDetails, Sampling
from serve.feedback.votes import read_votes
from serve.http.servers import Server, bind
from serve.web import WebOptions, create_web
from serve.web.arena.battle import VOTES, Battle, Side, contestants, draw_pair
from serve.web.arena.fighting import fight
from serve.web.conversation.answering import Wish
from serve.web.models.finding import find_models
from serve.web.session import AnswerFacts, Session
from tests.browsing import choose, choose_and_wait, models, running_chromium, upload, visiting
from tests.serving import ScriptedEngine, eventually, png, running_controller, running_worker

FIGURE = Figure(id="upload:ab", image=encode_png(Image.new("RGB", (40, 30), "white")), width=40, height=30)
NAMES = ("brave-crane", "quiet-otter")


def side(model: str, text: str = "It rises.", *, ended: bool = True, error: str = "") -> Side:
    facts = AnswerFacts(model=model, about=f"about {model}", seconds=1.5 if ended else None, completion_tokens=3)
    return Side(model, Session(FIGURE).asked("Q", facts).answered(text), error)


def test_nothing_tells_the_models_before_the_vote():
    writing = Battle(side(NAMES[0], ended=False), side(NAMES[1]))
    open_now = Battle(side(NAMES[0]), side(NAMES[1]))
    for battle, state in ((writing, "writing"), (open_now, "vote")):
        view = battle.view()
        assert view["state"] == state
        assert not any(name in json.dumps(view) for name in NAMES)
        # A time or a count of tokens tells a small model from a large one.
        assert all(set(one) == {"answer", "ended"} for one in view["sides"])
    voted = open_now.voted("leftvote").view()
    assert [one["model"] for one in voted["sides"]] == list(NAMES)
    assert (voted["sides"][0]["seconds"], voted["sides"][0]["tokens"]) == (1.5, 3)


def test_one_vote_and_only_when_both_have_answered():
    ready = Battle(side("a"), side("b"))
    assert [ready.voted(vote).vote for vote in VOTES] == list(VOTES)
    for battle, vote in (
        (ready, "upvote"),
        (ready.voted("tievote"), "leftvote"),
        (Battle(side("a", ended=False), side("b")), "leftvote"),
        (Battle(side("a"), side("b", error="gone")), "leftvote"),
        (Battle(side("a"), side("b", text="  ")), "leftvote"),
    ):
        with pytest.raises(InputError):
            battle.voted(vote)
    assert Battle(side("a"), side("b", error="gone")).state == "void"


def test_a_model_that_reads_tables_is_neither_drawn_nor_the_first_choice():
    assert contestants(["b", "deplot", "a"], "deplot") == ["a", "b"]
    assert contestants(["deplot", "a"], "deplot") == ["a", "deplot"], "a large model may do both"
    found = asyncio.run(find_models(Client(), last="small"))
    assert (found.names, found.chosen) == (("dead", "small"), "small")

    class Both(Client):
        async def models(self) -> list[str]:
            return ["a-table-reader", "small"]

    found = asyncio.run(find_models(Both(), last="a-table-reader"))
    assert (found.names, found.chosen) == (("small", "a-table-reader"), "small")


def test_sides_are_drawn_fairly_and_two_models_are_needed():
    drawn = Counter(draw_pair(["a", "b", "c"]) for _ in range(1200))
    assert len(drawn) == 6
    # 200 each are expected; 8 standard deviations either way.
    assert all(100 < count < 300 for count in drawn.values())
    for names in ([], ["a"], ["a", "a"]):
        with pytest.raises(InputError, match="two models"):
            draw_pair(names)


@pytest.fixture(scope="module")
def engines():
    return ScriptedEngine(name=NAMES[0]), ScriptedEngine(name=NAMES[1])


@pytest.fixture(scope="module")
def controller(engines):
    first, second = engines
    with (
        running_controller() as server,
        running_worker(first, server.url),
        running_worker(second, server.url),
    ):
        eventually(lambda: len(models(server)) == 2)
        yield server


@pytest.fixture
def two(engines):
    for engine in engines:
        engine.pause, engine.fail_with, engine.words = 0.0, None, ScriptedEngine().words
        engine.requests.clear()
        engine.cancelled = 0
    return engines


def fought(controller, question: str | None = None, until=lambda battle: False) -> list[Battle]:
    async def steps() -> list[Battle]:
        seen = []
        battles = fight(
            ModelClient(controller.url), Session(FIGURE), Wish(question=question), Sampling(max_new_tokens=64)
        )
        async for battle in battles:
            seen.append(battle)
            if until(battle):
                await battles.aclose()
                break
        return seen

    return asyncio.run(steps())


def test_both_models_get_the_same_question_and_write_at_once(controller, two):
    for engine in two:
        engine.pause = 0.05
    battles = fought(controller, "Why?")
    assert any(battle.left.text and battle.right.text and not battle.left.ended for battle in battles)
    last = battles[-1]
    assert (last.state, {last.left.model, last.right.model}) == ("vote", set(NAMES))
    first, second = (engine.requests[-1] for engine in two)
    assert first.messages == second.messages
    assert (first.images, first.temperature) == (second.images, second.temperature)
    assert last.view()["question"] == "Why?"


def test_closing_a_battle_ends_both_answers(controller, two):
    for engine in two:
        engine.words, engine.pause = ("word",) * 500, 0.02
    fought(controller, until=lambda battle: battle.left.text and battle.right.text)
    eventually(lambda: all(engine.running == 0 and engine.cancelled == 1 for engine in two))


def test_a_model_that_fails_makes_the_battle_void_and_says_why(controller, two):
    two[1].fail_with = RuntimeError("broken")
    last = fought(controller)[-1]
    assert last.state == "void"
    failed = next(one for one in last.view()["sides"] if one["model"] == NAMES[1])
    assert failed["error"]
    assert "broken" not in failed["error"], "what an engine raises stays in the worker's log"


class Client:
    """Two models, of which the first does not answer."""

    async def models(self) -> list[str]:
        return ["dead", "small"]

    async def details(self, name: str) -> ModelDetails:
        if name == "dead":
            raise ServeError("the worker of dead has gone")
        return ModelDetails(name, about="<b>Small</b>.", context_length=2048, instructions=False)


def test_the_picker_tells_what_each_model_is_and_passes_over_a_dead_one():
    found = asyncio.run(find_models(Client()))
    assert (found.names, found.chosen, found.banner) == (("dead", "small"), "small", "")
    assert "<dt>dead</dt><dd>does not answer now</dd>" in found.cards
    assert "<dt>small</dt><dd>&lt;b&gt;Small&lt;/b&gt;. Context of 2,048 tokens" in found.cards
    assert "level and length do nothing" in found.cards
    # Who chose the dead one hears why it does not answer.
    assert "the worker of dead has gone" in asyncio.run(find_models(Client(), "dead")).banner.lower()


@pytest.fixture(scope="module")
def chromium():
    with running_chromium() as browser:
        yield browser


def web(controller, **options) -> Server:
    return Server(
        create_web(controller.url, WebOptions(**options), read=lambda image: ()), bind("127.0.0.1", 0), "web page"
    )


def compare(page, question: str = "") -> None:
    if page.locator("#arena-note").is_hidden():
        page.locator("#arena button").first.click()
    page.fill("#arena-question textarea", question)
    page.click("#compare:not([disabled])")


@pytest.mark.browser
def test_a_visitor_compares_votes_and_sees_the_names(chromium, controller, two, tmp_path):
    two[0].words, two[1].words = ["It", "**<b>rises</b>**", "."], ["It", "falls", "."]
    for engine in two:
        engine.pause = 0.1
    with web(controller, log_dir=tmp_path) as site, visiting(chromium, site) as page:
        page.wait_for_selector("#model")
        for name in NAMES:
            page.goto(f"{site.url}/?model={name}")
            eventually(lambda name=name: page.locator("#model-line .model").inner_text() == name)
        choose_and_wait(page)
        page.locator("#settings button").first.click()
        eventually(lambda: page.locator("#model-cards dt").all_inner_texts() == list(NAMES))
        compare(page, "Does it rise?")
        page.wait_for_selector("#arena-stop")
        page.wait_for_selector("#arena-leftvote")
        shown = page.locator("#arena").inner_text()
        assert not any(name in shown for name in NAMES)
        assert "It <b>rises</b> ." in shown
        page.click("#arena-leftvote")
        eventually(lambda: "you have not agreed" in page.locator("#arena .verdict").inner_text())
        shown = page.locator("#arena").inner_text()
        assert all(name in shown for name in NAMES)
        eventually(lambda: page.locator("#arena-leftvote").is_hidden())
        assert not list(tmp_path.iterdir())
        page.click("#sharing .log-state")
        page.check("#sharing .keep")
        compare(page)
        page.click("#arena-bothbad_vote")
        eventually(lambda: "Your vote is kept" in page.locator("#arena .verdict").inner_text())
        (battle,) = read_votes(tmp_path).battles
        assert ({battle.left, battle.right}, battle.winner) == (set(NAMES), "both bad")


@pytest.mark.browser
def test_a_comparison_can_be_stopped(chromium, controller, two):
    for engine in two:
        engine.words, engine.pause = ("word",) * 1000, 0.02
    with web(controller) as site, visiting(chromium, site) as page:
        choose_and_wait(page)
        compare(page)
        eventually(lambda: page.locator("#arena .answer").first.inner_text().count("word") > 3)
        page.click("#arena-stop")
        eventually(lambda: all(engine.running == 0 for engine in two))
        eventually(lambda: page.locator("#arena .arena").is_hidden())
        eventually(lambda: page.locator("#compare").is_visible())


@pytest.mark.browser
def test_another_figure_takes_the_comparison_away_and_ends_it(chromium, controller, two):
    for engine in two:
        engine.words, engine.pause = ("word",) * 1000, 0.02
    with web(controller) as site, visiting(chromium, site) as page:
        choose_and_wait(page)
        compare(page)
        eventually(lambda: page.locator("#arena .answer").first.inner_text().count("word") > 3)
        choose(page, upload(png(300, 200)))
        eventually(lambda: all(engine.running == 0 for engine in two))
        eventually(lambda: page.locator("#arena .arena").is_hidden())
        # It can be compared at once.
        for engine in two:
            engine.words = ("done",)
        compare(page)
        page.wait_for_selector("#arena-tievote")


@pytest.mark.browser
def test_one_model_alone_cannot_be_compared_and_the_page_says_so(chromium):
    with running_controller() as alone, running_worker(ScriptedEngine(), alone.url):
        eventually(lambda: models(alone))
        with web(alone) as site, visiting(chromium, site) as page:
            choose_and_wait(page)
            page.locator("#arena button").first.click()
            eventually(lambda: "This needs two models" in page.locator("#arena-note").inner_text())
            assert page.locator("#compare").is_disabled()
            # A second one that comes later is seen when the fold is opened again.
            page.locator("#arena button").first.click()
            with running_worker(ScriptedEngine(name="second"), alone.url):
                eventually(lambda: len(models(alone)) == 2)
                page.locator("#arena button").first.click()
                page.wait_for_selector("#compare:not([disabled])")
