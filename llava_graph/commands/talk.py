"""A conversation on a screen or in a pipe: lines in, answers and what the model is given out."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from llava_graph.chatting import Chat
from llava_graph.command import complain
from llava_graph.commands import asked
from llava_graph.commands.screen import BOLD, DIM, AnswerText, Screen, printable
from llava_graph.errors import InputError, LlavaGraphError, did_you_mean
from llava_graph.explain import Answerer
from llava_graph.explained import as_paper
from llava_graph.explained.documents import write_document
from llava_graph.figure_text import UNSURE
from llava_graph.record import Figure
from llava_graph.sources import Opened, is_wanted

PROMPT = "> "
ENDINGS = {
    "cancelled": "stopped",
    "length": "cut at the longest answer; --max-new-tokens gives more room",
    "nothing": "no answer; the question is forgotten",
}
MAX_LISTED = 60
"""Lines of text, or figures, that are listed at once."""


def choose(figures: Sequence[Figure], number: str | None, where: str) -> Figure:
    """The figure with a number; without one the first. Raises InputError."""
    found = [figure for figure in figures if is_wanted(figure, [number] if number else [])]
    if not found:
        known = ", ".join(figure.label or figure.id for figure in figures[:MAX_LISTED])
        what = f"there is no figure {number}" if number else "it has no figures"
        raise InputError(what, where=where, next_step=f"Known: {known}" if known else "")
    return found[0]


def with_text(opened: Opened, figure: Figure) -> Figure:
    try:
        return opened.with_text(figure)
    except Exception as error:  # noqa: BLE001  (engines are foreign code)
        complain(f"the text in the figure is not used: {error}")
        return figure


@dataclass
class Talk:
    """The conversation on a screen: reads lines, answers them."""

    chat: Chat
    answerer: Answerer
    opened: Opened
    figures: tuple[Figure, ...]
    screen: Screen
    reopen: Callable[[str], Answerer]
    evidence: bool = False
    """Sentences are shown with what bears them out."""
    last: str | None = ""
    """The last question, None for an explanation; for /retry."""
    saved: set[Path] = field(default_factory=set)

    def go(self, typed: bool) -> None:
        """Until an empty line, /quit or the end of the input."""
        if typed:
            self._greet()
        for line in lines_typed() if typed else lines_piped():
            try:
                asked.utf8(line)
                if line.startswith("/"):
                    self.command(line)
                else:
                    self.ask(line)
            except EOFError:
                return
            except LlavaGraphError as error:
                complain(str(error))

    def ask(self, question: str | None) -> None:
        """Ask, and write the answer as it comes."""
        self.last = question
        answer = AnswerText(self.screen, self.chat.figure if self.evidence else None)
        before = self.chat
        try:
            self.chat = before.ask(self.answerer, question, answer.push)
        finally:
            if not answer.empty:
                answer.end()
        ending = self.chat.exchanges[-1].answer.finish_reason if self.chat is not before else "nothing"
        if ending in ENDINGS:
            self._say(f"({ENDINGS[ending]})\n", DIM)
        self._say("\n")

    def command(self, line: str) -> None:
        """A line that begins with a slash. Raises InputError for one that we do not know, or that is used wrongly."""
        name, _, rest = line[1:].partition(" ")
        if name not in COMMANDS:
            raise InputError(f"there is no command /{name}", next_step=did_you_mean(name, COMMANDS))
        COMMANDS[name][1](self, rest.strip())

    def explain(self, _: str) -> None:
        """/explain"""
        self.ask(None)

    def caption(self, rest: str) -> None:
        """/caption"""
        if rest:
            self.chat = self.chat.with_caption("" if rest == "off" else rest)
        self._say((self.chat.figure.caption or "(no caption)") + "\n")

    def ocr(self, rest: str) -> None:
        """/ocr"""
        word, _, text = rest.partition(" ")
        if word in ("on", "off"):
            self.chat = self.chat.with_wish(ocr=word == "on")
        elif word.isdecimal():
            if not text.strip():
                raise InputError("the text of the line is missing", next_step=f"/ocr {word} TEXT, or /ocr drop {word}")
            self.chat = self.chat.with_line(int(word), text.strip())
        elif word == "drop" and text.strip().isdecimal():
            self.chat = self.chat.with_line(int(text), "")
        elif word not in ("", "show"):
            raise InputError(f"/ocr knows no {word!r}", next_step="/ocr [show], on, off, N TEXT, drop N")
        self._show_lines()

    def mentions(self, rest: str) -> None:
        """/mentions"""
        if rest in ("on", "off"):
            self.chat = self.chat.with_wish(mentions=rest == "on")
        elif rest:
            raise InputError(f"/mentions knows no {rest!r}", next_step="/mentions, on, off")
        wanted = self.chat.wish.mentions
        given = self.answerer.prompt.mentions if wanted is None else wanted
        for number, mention in enumerate(self.chat.figure.mentions, 1):
            self._say(f"¶ {number}  {mention}\n")
        self._say_given(_counted(len(self.chat.figure.mentions), "paragraph"), given=given)

    def region(self, rest: str) -> None:
        """/region"""
        if rest:
            self.chat = self.chat.with_wish(region=None if rest == "off" else asked.read_region(rest, "/region"))
        box = self.chat.wish.region
        self._say((", ".join(f"{side:g}" for side in box) if box else "(the whole figure)") + "\n")

    def prompt(self, rest: str) -> None:
        """/prompt"""
        self._say(self.chat.prompt(self.answerer, rest or None) + "\n")

    def show_evidence(self, rest: str) -> None:
        """/evidence"""
        if rest not in ("on", "off", ""):
            raise InputError(f"/evidence knows no {rest!r}", next_step="/evidence on, /evidence off")
        self.evidence = rest == "on" if rest else not self.evidence
        self._say(f"(evidence is {'shown' if self.evidence else 'not shown'})\n", DIM)

    def retry(self, _: str) -> None:
        """/retry"""
        before = self.chat
        self.chat = before.without_last()
        try:
            self.ask(self.last)
        except LlavaGraphError:
            self.chat = before
            raise

    def reset(self, _: str) -> None:
        """/reset"""
        self.chat = replace(self.chat, exchanges=())
        self._say("(begun anew)\n")

    def save(self, rest: str) -> None:
        """/save"""
        if not rest:
            raise InputError("no file is named", next_step="/save chat.html, chat.md or chat.json")
        path = Path(rest).expanduser()
        if path.exists() and path not in self.saved:
            raise InputError("it exists", where=str(path), next_step="Save under another name")
        write_document(as_paper(self.chat.explained(self.answerer)), path)
        self.saved.add(path)
        self._say(f"written: {path}\n")

    def model(self, rest: str) -> None:
        """/model"""
        if rest:
            self.answerer = self.reopen(rest)
        self._say(f"{self.answerer.name}" + (f": {self.answerer.about}" if self.answerer.about else "") + "\n")

    def figure(self, rest: str) -> None:
        """/figure"""
        if not rest:
            for figure in self.figures[:MAX_LISTED]:
                here = "* " if figure.id == self.chat.figure.id else "  "
                self._say(f"{here}{figure.label or figure.id}  {figure.caption[:80]}\n")
            return
        chosen = choose(self.figures, rest, "this paper")
        self.chat = Chat(figure=with_text(self.opened, chosen) if self.chat.wish.ocr else chosen, wish=self.chat.wish)
        self._show_figure()

    def help(self, _: str) -> None:
        """/help"""
        for name, (usage, _command) in COMMANDS.items():
            self._say(f"  /{name:<9}", BOLD)
            self._say(f" {usage}\n")
        self._say("An empty line or Ctrl-D ends; Ctrl-C stops an answer.\n")

    def quit(self, _: str) -> None:
        """/quit"""
        raise EOFError

    def _greet(self) -> None:
        self._show_figure()
        self._say(self.answerer.name, BOLD)
        self._say((f": {self.answerer.about}" if self.answerer.about else "") + "\n")
        self._say("Ask, or /explain; /help lists more. An empty line ends.\n\n", DIM)

    def _show_figure(self) -> None:
        figure = self.chat.figure
        self._say(figure.label or figure.id, BOLD)
        lines = f" · {_counted(len(figure.ocr), 'line')} of text" if self.chat.wish.ocr else ""
        self._say(f" · {figure.width} x {figure.height} px{lines}\n")
        if figure.caption:
            self._say(figure.caption + "\n")

    def _show_lines(self) -> None:
        lines = self.chat.figure.ocr
        for number, line in enumerate(lines[:MAX_LISTED], 1):
            unsure = "" if line.confidence >= UNSURE else f"  ({100 * line.confidence:.0f} % sure)"
            self._say(f"{number:>3}  {line.role:<10} {line.text}{unsure}\n")
        if len(lines) > MAX_LISTED:
            self._say(f"     … and {len(lines) - MAX_LISTED} more\n")
        self._say_given(_counted(len(lines), "line"), given=self.chat.wish.ocr)

    def _say_given(self, what: str, *, given: bool) -> None:
        self._say(f"({what}, {'given' if given else 'not given'} to the model)\n", DIM)

    def _say(self, text: str, style: str = "") -> None:
        """Write a text that may be a paper's: it cannot command the terminal."""
        self.screen.write(self.screen.styled(printable(text), style) if style else printable(text))


def _counted(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'s' if count != 1 else ''}"


COMMANDS: dict[str, tuple[str, Callable[[Talk, str], None]]] = {
    "explain": ("explain the figure", Talk.explain),
    "caption": ("show the caption; TEXT: another one; off: none", Talk.caption),
    "ocr": ("show the text in the figure; on, off; N TEXT: correct a line; drop N", Talk.ocr),
    "mentions": ("show the paragraphs that cite it; on, off: give them to the model or not", Talk.mentions),
    "region": ("X0,Y0,X1,Y1: only this part, 0..1 from the top left; off: the whole", Talk.region),
    "prompt": ("show what the model is given, word for word; TEXT: with this question", Talk.prompt),
    "figure": ("list the paper's figures; N: talk about another one", Talk.figure),
    "evidence": (
        "on, off: behind each sentence what of the paper and the figure's text bears it out",
        Talk.show_evidence,
    ),
    "retry": ("ask the last question again", Talk.retry),
    "reset": ("forget the conversation", Talk.reset),
    "save": ("FILE.md, .html or .json: write the conversation down", Talk.save),
    "model": ("which model answers; NAME: another one from now on", Talk.model),
    "help": ("this list", Talk.help),
    "quit": ("end", Talk.quit),
}


def lines_typed() -> Iterator[str]:
    """Lines that a person types, with editing where the system has readline. Ends at an empty line and at Ctrl-D."""
    with suppress(ImportError):
        import readline

        readline.parse_and_bind("tab: complete")
        readline.set_completer_delims(" ")
        readline.set_completer(_completed)
    while True:
        try:
            line = input(PROMPT).strip()
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print("  (an empty line or Ctrl-D ends)")
            continue
        if not line:
            return
        yield line


def lines_piped() -> Iterator[str]:
    """Lines of a file or a pipe; empty ones are passed over."""
    yield from (line.strip() for line in sys.stdin if line.strip())


def _completed(text: str, state: int) -> str | None:
    """readline's completer: names of commands."""
    found = [f"/{name} " for name in COMMANDS if f"/{name}".startswith(text)] if text.startswith("/") else []
    return found[state] if state < len(found) else None
