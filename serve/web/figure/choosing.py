"""Which figure a visitor wants. Choices come from the browser numbered, may overtake each other, and the last one counts."""

from collections.abc import Callable
from dataclasses import dataclass, field

from serve.web.figure.opening import Reading

Number = tuple[int, int]
"""The browser's count of choices; and, for what the browser does not count (the gallery), the place behind it."""


@dataclass(frozen=True)
class Wanted:
    """The figure that a visitor has asked for: one of the three."""

    upload: str = ""
    """Path of an uploaded picture."""
    name: str = ""
    """What the visitor calls its file."""
    example: int | None = None
    """Number of a packaged example."""
    of_paper: str = ""
    """Id of a figure of a paper on the shelf."""
    number: Number = (0, 0)


@dataclass
class Choices:
    """One visitor's choices. Changes in place: steps that run side by side have to see each other. One event loop uses it."""

    newest: Wanted = field(default_factory=Wanted)
    begun: Number = (0, 0)
    """The choice that was opened last, or is being opened."""
    on_page: Number = (0, 0)
    """The choice that is shown."""
    unread: Callable[[], Reading] | None = None
    """Reads the text of the shown figure; None when somebody does it, or nothing is to be read."""
    reading: bool = False
    """The text of the shown figure is not there yet."""

    def take(self, wanted: Wanted) -> None:
        """A choice that has arrived; an older one than the newest is passed over."""
        if wanted.number > self.newest.number:
            self.newest = wanted

    def behind(self) -> Number:
        """The number of a choice that the browser has not counted."""
        return self.newest.number[0], self.newest.number[1] + 1

    def begin(self) -> Wanted | None:
        """What is to be opened now; None if another step does it or has done it."""
        if self.begun == self.newest.number:
            return None
        self.begun = self.newest.number
        return self.newest

    def show(self, wanted: Wanted, rest: Callable[[], Reading] | None) -> None:
        """`wanted` is what the page shows now. `rest`: what reads its text."""
        self.on_page, self.unread, self.reading = wanted.number, rest, rest is not None
