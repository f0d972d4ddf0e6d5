"""What all commands share: an error of ours, or a missing extra, is one line on stderr and exit 2; Ctrl-C is 130."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

from llava_graph.errors import LlavaGraphError, missing_extra
from llava_graph.plain_help import with_plain_help
from llava_graph.printable import printable, readable_name

stderr = Console(stderr=True, soft_wrap=True, highlight=False)
MAX_TOLD_CHARS = 100


def run(app: typer.Typer, args: Sequence[str] | None = None) -> None:
    """Run a typer app as a process and exit."""
    with errors_told():
        with_plain_help(app)(args=args)


@contextmanager
def errors_told() -> Iterator[None]:
    """The body of a command. `LLAVA_GRAPH_DEBUG=1` shows the traceback of our own errors too."""
    try:
        yield
    except LlavaGraphError as error:
        if os.environ.get("LLAVA_GRAPH_DEBUG"):
            raise
        complain(str(error))
        sys.exit(2)
    except ModuleNotFoundError as error:
        missing = missing_extra(error)
        if missing is None:
            raise
        complain(str(missing))
        sys.exit(2)
    except UnicodeEncodeError as error:
        # What Python makes of bytes in options that are no UTF-8; any other encoding that fails is a fault of ours.
        if error.reason != "surrogates not allowed" or os.environ.get("LLAVA_GRAPH_DEBUG"):
            raise
        complain(f"a text is not UTF-8: {error.object[:MAX_TOLD_CHARS]}")
        sys.exit(2)
    except KeyboardInterrupt:
        complain("stopped")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output (`| head`) has gone; that is no error of the command.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def complain(text: str) -> None:
    """One line `error: …` on stderr."""
    stderr.print(f"[bold red]error:[/] {shown(text)}")


def note(text: str) -> None:
    """One line `note: …` on stderr."""
    stderr.print(f"[yellow]note:[/] {shown(text)}")


def shown(text: str) -> str:
    """A text that may hold a file's, a paper's or a model's words, as markup of rich: one line that commands no terminal."""
    return escape(printable(" ".join(readable_name(text).split())))
