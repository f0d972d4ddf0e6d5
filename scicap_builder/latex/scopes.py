"""What a walk over the text keeps: the environments that are open, and what it has found."""

from dataclasses import dataclass, field

from scicap_builder.latex.floats import LOOSE, Float, SubFigure
from scicap_builder.latex.references import Names, Target


@dataclass
class Scope:
    """One open environment."""

    environment: str
    start: int
    current: Target | None
    float: Float | None = None
    holds_sub: bool = False
    """Whether its caption is a sub-figure's."""
    sub: SubFigure | None = None
    waiting: list[str] = field(default_factory=list)
    """Labels before the caption of a sub-figure."""
    resume: tuple[int, str] | None = None
    """The equation counter and its format outside of subequations."""


@dataclass
class Structure:
    """What the walk found."""

    floats: list[Float] = field(default_factory=list)
    targets: dict[str, Target] = field(default_factory=dict)
    """Labels other than those of figures and panels, which the reader adds when figures have their places."""
    sections: list[int] = field(default_factory=list)
    names: Names = field(default_factory=Names)

    def just_closed_caption(self, scope_start: int) -> Float | None:
        """The \\captionof outside of any float that stands last in the open environment: a label belongs to it."""
        last = self.floats[-1] if self.floats else None
        if last is None or last.environment not in LOOSE or not last.captions:
            return None
        newer_section = bool(self.sections) and self.sections[-1] > last.end
        return last if last.start >= scope_start and not newer_section else None
