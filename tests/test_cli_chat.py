"""`llava-graph chat`: on a terminal (a pty) and in a pipe; what the model is given can be seen and changed between two questions."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from explained_papers import Parrot, a_paper
from upstream_server import saying

from llava_graph.chatting import Chat
from llava_graph.cli import main
from llava_graph.errors import InputError
from llava_graph.record import Figure, OcrLine
from llava_graph.wish import Wish

BIN = Path(sys.executable).parent / "llava-graph"
DEADLINE = 30  # s: starting Python on a busy machine


@pytest.fixture
def server(api_server):
    api_server.script = saying("The curve rises.")
    return api_server


@pytest.fixture(scope="module")
def place(tmp_path_factory, png) -> Path:
    folder = tmp_path_factory.mktemp("chat")
    (folder / "chart.png").write_bytes(png)
    a_paper(folder / "gardens.pdf")
    return folder


def environment() -> dict[str, str]:
    return {**os.environ, "TERM": "xterm", "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}


class Terminal:
    """A command on a pty: what it shows, and keys."""

    def __init__(self, words: list[str], cwd: Path) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [str(BIN), *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=cwd,
            env=environment(),
            start_new_session=True,
            # What runs in a shell's background hears no Ctrl-C, nor would its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  (it takes no lock)
        )
        os.close(slave)
        self.shown = ""

    def wait_for(self, text: str, after: int = 0, press: Callable[[], None] = lambda: None) -> int:
        """Until `text` is shown behind `after`, pressing a key each second; gives where it ends."""
        deadline, pressed = time.monotonic() + DEADLINE, 0.0
        while text not in self.shown[after:]:
            if time.monotonic() - pressed > 1:
                pressed = time.monotonic()
                press()
            assert time.monotonic() < deadline, self.shown
            ready, _, _ = select.select([self.master], [], [], 0.2)
            if ready:
                try:
                    self.shown += os.read(self.master, 65536).decode("utf-8", "replace")
                except OSError:
                    break
            if self.process.poll() is not None and not ready:
                break
        assert text in self.shown[after:], self.shown
        return after + self.shown[after:].index(text) + len(text)

    def type(self, line: str) -> None:
        os.write(self.master, (line + "\n").encode())

    def close(self) -> int:
        """Its exit status."""
        try:
            return self.process.wait(DEADLINE)
        finally:
            self.process.kill()
            os.close(self.master)


def test_on_a_terminal_answers_stream_and_ctrl_c_stops_them_alone(server, place):
    server.script = saying("first " + "word " * 2000, 0.02)
    terminal = Terminal(["chat", "chart.png", "--no-ocr", "--caption", "Loss.", "--api", server.url], place)
    at = terminal.wait_for("> ")
    assert "Loss." in terminal.shown
    assert "\x1b[1mfigures\x1b[0m" in terminal.shown
    terminal.type("Which curve is highest?")
    at = terminal.wait_for("first", at)
    terminal.wait_for("word", at)
    assert server.open == 1  # it streams: the answer is not yet whole
    os.killpg(terminal.process.pid, signal.SIGINT)
    at = terminal.wait_for("(stopped)", at)
    assert terminal.shown.count("word") < 1500
    at = terminal.wait_for("> ", at)
    server.script = saying("Because.")
    terminal.type("Why?")
    at = terminal.wait_for("Because.", at)
    turns = server.bodies[-1]["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert turns[1]["content"].startswith("first word")
    at = terminal.wait_for("> ", at)
    # The prompt is shown a moment before the terminal is listened to: a person would press again, too.
    at = terminal.wait_for("Ctrl-D ends", at, lambda: os.killpg(terminal.process.pid, signal.SIGINT))
    terminal.type("")
    assert terminal.close() == 0
    assert server.left == 1


def piped(place, server, lines, *words) -> tuple[str, str]:
    done = subprocess.run(
        [str(BIN), "chat", *words, "--api", server.url],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        cwd=place,
        env=environment(),
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_in_a_pipe_it_answers_line_by_line(server, place):
    lines = [
        "/help",
        "What is it?",
        "",
        "/caption The gain.",
        "/mentions off",
        "And now?",
        "/retry",
        "/prompt",
        "/figure 1",
        "/figure",
        "/nonsense",
        "/save chat.md",
        "/save chart.png",
        "Hello?",
        "/save chat.md",
        "/quit",
        "never",
    ]
    out, err = piped(place, server, lines, "gardens.pdf", "--figure", "2", "--no-ocr")
    assert "\x1b" not in out
    first, second, again, fresh = server.bodies
    context = first["messages"][0]["content"][1]["text"]
    assert "garden 2 grows is shown" in context
    assert context.endswith("What is it?")
    assert len(second["messages"]) == 3
    changed = second["messages"][0]["content"][1]["text"]
    assert "Caption: Figure 2: The gain." in changed
    assert "garden 2 grows" not in changed
    assert again["messages"] == second["messages"]
    assert len(fresh["messages"]) == 1
    assert "garden 1" in fresh["messages"][0]["content"][1]["text"]
    assert out.count("The curve rises.") == 4
    assert "* Figure 1" in out
    assert "no command /nonsense" in err
    assert "it exists" in err
    saved = (place / "chat.md").read_text()
    assert "Hello?" in saved
    assert "never" not in "".join(str(body) for body in server.bodies)
    (place / "chat.md").unlink()


def test_bytes_that_are_no_utf8_cost_their_line(server, place):
    done = subprocess.run(
        [str(BIN), "chat", "chart.png", "--no-ocr", "--api", server.url],
        input=b"caf\xe9?\n/caption caf\xe9\n/region 0,0,9,1\nWhat is it?\n",
        capture_output=True,
        cwd=place,
        env=environment(),
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0
    told = done.stderr.decode().splitlines()
    assert [line.partition(":")[0] for line in told] == ["error"] * 3
    assert r"caf\xe9?: not UTF-8" in told[0]
    assert "Give /region X0" in told[2]
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "no figure is named"),
        (["nowhere.png"], "no such file"),
        (["gardens.pdf", "--figure", "9"], "there is no figure 9. Known: Figure 1, Figure 2"),
        (["chart.png", "--conv-mode", "llava_v1"], "--conv-mode is for a model in this process"),
        (["chart.png", "--image-file", "chart.png"], "two figures are named"),
        (["."], "named. Chat is about one"),
    ],
)
def test_what_cannot_be_talked_about_is_told(server, place, monkeypatch, capsys, words, told):
    monkeypatch.chdir(place)
    monkeypatch.setattr("sys.argv", ["llava-graph", "chat", *words, "--no-ocr", "--api", server.url])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert told in " ".join(capsys.readouterr().err.split())


LINES = (OcrLine(text="Epoch", box=(0, 0, 1, 1), role="x-axis", confidence=0.4), OcrLine(text="Loss", box=(0, 0, 1, 1)))


@pytest.fixture
def chat(png):
    return Chat(figure=Figure(id="a", image=png, caption="Loss.", ocr=LINES), wish=Wish(max_new_tokens=9))


def test_a_corrected_line_is_the_persons_and_reaches_the_model(chat):
    parrot = Parrot()
    corrected = chat.with_line(1, "Epochs").with_line(2, "")
    assert [(line.text, line.confidence, line.source) for line in corrected.figure.ocr] == [("Epochs", 1.0, "visitor")]
    corrected.ask(parrot, "Why?")
    assert "Epochs" in parrot.first[0]
    assert "Loss [" not in parrot.first[0]
    corrected.with_wish(ocr=False).ask(parrot, "Why?")
    assert "Epochs" not in parrot.first[1]
    with pytest.raises(InputError, match="no line 3"):
        chat.with_line(3, "x")


def test_the_history_is_what_was_sent_and_the_document_what_was_seen(chat):
    parrot = Parrot()
    talked = chat.ask(parrot, None).ask(parrot, "And then?")
    assert [turn.text for turn in talked.history][1:] == ["The curve rises.", "And then?", "The curve rises."]
    assert "Write at most" in talked.history[0].text
    explained = talked.explained(parrot)
    assert [answer.question for answer in explained.answers] == [
        "Explain this figure to a student (medium).",
        "And then?",
    ]
    assert explained.prompt == parrot.first[0] == parrot.first[1]
    assert talked.without_last().without_last().exchanges == ()
    with pytest.raises(InputError, match="nothing has been asked"):
        chat.without_last()


def test_an_answer_without_words_leaves_the_conversation_as_it_was(chat):
    assert chat.ask(Parrot(answer=""), "Why?") is chat

    class Impatient(Parrot):
        def generate_stream(self, *_args, **_options):
            raise KeyboardInterrupt

    assert chat.ask(Impatient(), "Why?") is chat


def test_a_region_changes_what_is_seen_and_not_what_is_kept(chat):
    parrot = Parrot()
    chat.with_wish(region=(0.0, 0.0, 0.5, 1.0)).ask(parrot, "Why?")
    chat.ask(parrot, "Why?")
    assert parrot.sizes[0] != parrot.sizes[1]
    saved = replace(chat, wish=replace(chat.wish, region=(0.0, 0.0, 0.5, 1.0))).ask(parrot, "Why?").explained(parrot)
    assert saved.region == (0.0, 0.0, 0.5, 1.0)
    assert saved.figure == chat.figure
