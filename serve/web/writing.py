"""Whether something is being written for a visitor now. What the page shows may lag behind; this does not."""

from dataclasses import dataclass

import gradio as gr

REFUSED = "An answer is being written: stop it first."


@dataclass
class Writing:
    """Of one visitor and one place on the page, as a `gr.State`. It changes: an answer that is being written looks at it to see
    whether it is still wanted, and a second one whether it may begin."""

    turn: object | None = None
    """Of the answer that is being written now."""
    about: str = ""
    """Id of the figure that it is about."""
    refused: bool = False
    """Whether another one was asked for meanwhile."""

    def begin(self, about: str = "") -> object | None:
        """The turn of an answer that begins; None where another one about the same figure is being written. (One about another
        figure has been ended by the figure that came.)"""
        if self.turn is not None and self.about == about:
            self.refused = True
            return None
        self.turn, self.about, self.refused = object(), about, False
        return self.turn

    def holds(self, turn: object) -> bool:
        """Whether the answer with this turn is still the one that is being written."""
        return self.turn is turn

    def end(self, turn: object | None = None) -> None:
        """The answer with this turn has ended; None: whatever is being written is ended by the visitor."""
        if turn is None or self.turn is turn:
            self.turn = None

    def said(self, status: str) -> str:
        """The status line of a growing answer, with the refusal if there was one."""
        return f"{status} {REFUSED}" if self.refused else status


def writing_state() -> gr.State:
    """One for each visitor."""
    return gr.State(Writing())
