"""What a walk over the text keeps: the environments that are open, and what it has found."""

from dataclasses import dataclass, field

from scicap_builder.latex.floats import Float, SubFigure
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
