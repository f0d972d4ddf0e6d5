"""An answer as it grows: what is asked, for how many tokens, and what stays when it fails. No browser, no worker."""

import asyncio

import pytest
from PIL import Image

from llava_graph.asking import Ask
from llava_graph.claims import Claim
from llava_graph.errors import InputError, ServeError
from llava_graph.images import encode_png
from llava_graph.record import Figure
from serve.client import ModelDetails, Reply, Sampling
from serve.web.conversation.answering import Wish, again, answer
from serve.web.look import Look
from serve.web.session import Session

FIGURE = Figure(
    id="a", image=encode_png(Image.new("RGB", (40, 30))), caption="Loss rises to 5.", mentions=("It rises to 5.",)
)

USUAL = Sampling()


class Client:
    """A model that says `words`, then fails if it is told to."""

    def __init__(self, *words: str, fails: bool = False, instructions: bool = True) -> None:
        self.words, self.fails, self.instructions = words, fails, instructions
        self.asked: list[tuple[list, Sampling]] = []

    async def details(self, model: str) -> ModelDetails:
        return ModelDetails(model, instructions=self.instructions)

    async def answer(self, model, messages, images, sampling):
        self.asked.append((list(messages), sampling))
        for count in range(len(self.words)):
            yield Reply(" ".join(self.words[: count + 1]), None, count + 1)
        if self.fails:
            raise ServeError("the worker has gone")

    @property
    def last_text(self) -> str:
        return self.asked[-1][0][-1]["content"][-1]["text"]


def looks(client: Client, session: Session, wish: Wish, sampling: Sampling = USUAL) -> list[Look]:
    async def run() -> list[Look]:
        return [look async for look in answer(client, session, wish, "m", sampling)]

    return asyncio.run(run())


def explained() -> Session:
    return looks(Client("First."), Session(FIGURE), Wish(ask=Ask(level="lay")))[-1].session


@pytest.mark.parametrize(("asked", "limit"), [(512, 960), (2048, 960), (100, 100)])
def test_a_long_explanation_has_room_unless_the_visitor_wants_less(asked, limit):
    client = Client("So.")
    looks(client, Session(FIGURE), Wish(ask=Ask(length="long")), Sampling(max_new_tokens=asked))
    assert client.asked[-1][1].max_new_tokens == limit


def test_a_question_takes_the_visitors_own_limit():
    client = Client("So.")
    looks(client, explained(), Wish(question="Why?"), Sampling(max_new_tokens=77))
    assert client.asked[-1][1].max_new_tokens == 77


def test_a_retry_asks_the_same_with_the_same_history():
    session = looks(Client("Second."), explained(), Wish(question="Why?"))[-1].session
    client = Client("Other.")
    after = looks(client, session, again(session))[-1].session
    assert client.last_text == "Why?"
    assert len(client.asked[-1][0]) == 3
    assert [turn.text for turn in after.turns] == [session.turns[0].text, "First.", "Why?", "Other."]
    assert [version.text for version in after.versions(1)] == ["Second.", "Other."]
    client = Client("Anew.")
    looks(client, explained(), again(explained()))
    assert "without training in the field" in client.last_text, "for the same reader"


def test_a_retry_that_fails_gives_the_answer_back():
    session = explained()
    last = looks(Client(fails=True), session, again(session))[-1]
    assert last.session == session
    assert "worker has gone" in last.banner
    half = looks(Client("Half", "an", fails=True), session, again(session))[-1]
    assert half.session.turns[-1].text == "Half an"
    assert [version.text for version in half.session.versions(0)] == ["First.", "Half an"]


def test_a_check_is_asked_alone_and_goes_on_after_what_was_said():
    session = explained()
    client = Client("1. shown - yes")
    after = looks(client, session, Wish(check=(Claim("It rises to 5.", 0),)))[-1].session
    [message] = client.asked[-1][0]
    assert "1. It rises to 5." in client.last_text
    assert "Loss rises" not in client.last_text
    assert message["content"][0] == {"type": "image"}
    assert [turn.text for turn in after.turns[1::2]] == ["First.", "1. shown - yes"]
    assert after.facts[-1].claims


def test_a_check_is_refused_where_it_means_nothing():
    for client, claims, said in (
        (Client(instructions=False), (Claim("It rises.", 0),), "follows no instructions"),
        (Client(), (), "makes a claim"),
    ):
        session = explained()
        last = looks(client, session, Wish(check=claims))[-1]
        assert said in last.banner
        assert last.session == session
        assert client.asked == []


def test_there_is_nothing_to_ask_again_before_the_first_question():
    with pytest.raises(InputError, match="nothing to ask again"):
        again(Session(FIGURE))
