"""What a walk over the text finds: floats, their captions, and the names of the environments that hold them."""

from dataclasses import dataclass, field

FIGURES = frozenset(
    [
        "figure",
        "wrapfigure",
        "SCfigure",
        "sidewaysfigure",
        "teaserfigure",
        "floatingfigure",
        "marginfigure",
        "figurehere",
        "rotfigure",
        "fullfigure",
        "largefigure",
        "widefigure",
        "suppfigure",
        "figwindow",
        "smartdiagram",
        "mdframedfigure",
        "cutout",
        "marginfig",
        "wrapfig",
    ]
)
TABLES = frozenset(
    [
        "table",
        "wraptable",
        "SCtable",
        "sidewaystable",
        "longtable",
        "margintable",
        "supertabular",
        "xltabular",
        "deluxetable",
        "longtabu",
        "ThreePartTable",
        "floatingtable",
        "talltblr",
        "longtblr",
        "suptable",
    ]
)
OTHER_FLOATS = {
    "algorithm": "Algorithm", "algorithm2e": "Algorithm", "listing": "Listing", "scheme": "Scheme",
    "chart": "Chart", "graph": "Graph", "program": "Program", "boxfloat": "Box", "video": "Video",
    "floatalgo": "Algorithm", "code": "Listing",
}  # fmt: skip
SUB_ENVIRONMENTS = frozenset(["subfigure", "subtable", "subfigures", "subfloat", "subcaptionblock", "subcaptiongroup"])
SUB_COMMANDS = frozenset(
    ["subfigure", "subfloat", "subcaptionbox", "subcaption", "subtable", "subfig", "phantomsubcaption"]
)
PANELS = frozenset(
    ["minipage", "center", "centering", "flushleft", "flushright", "tabular", "subcaptionblock", "floatrow"]
)
"""Environments within a float that can hold one picture and its own caption."""

LOOSE = frozenset(("captionof", "figcaption", "tabcaption", "caption", "fcaption"))
"""Caption commands that can stand outside of any float; they name the float that is made for them."""


@dataclass
class SubFigure:
    """One part of a float with a caption (or at least a letter) of its own."""

    letter: str
    """As \\thesubfigure prints it: "a", "(b)"; empty when the float gives none."""
    source: str = ""
    """Its caption, still as TeX."""
    labels: list[str] = field(default_factory=list)
    start: int = -1
    end: int = -1
    """Where it stands in the text; -1 where no group or environment bounds it."""


@dataclass
class Caption:
    """One caption as it stands in the text."""

    kind: str
    """ "figure", "table", …"""
    source: str
    start: int
    end: int
    number: str = ""
    """As printed; empty for \\caption* and for captions of panels."""
    name: str = ""
    """ "Figure", or what the paper calls it."""
    panel_start: int = -1
    """Where the innermost minipage around it starts; -1 when it stands in the float itself."""
    panel_end: int = -1
    labels: list[str] = field(default_factory=list)
    subs: list[SubFigure] = field(default_factory=list)


@dataclass
class Float:
    """One floating environment, or a \\captionof outside of any."""

    kind: str
    environment: str
    start: int
    end: int = -1
    captions: list[Caption] = field(default_factory=list)
    waiting_labels: list[str] = field(default_factory=list)
    """Labels before the first caption."""
    waiting_subs: list[SubFigure] = field(default_factory=list)
    """Sub-figures before the first caption."""
    fixed_number: str = ""
    """What \\figurenum (AASTeX) says."""
    continued: bool = False
    """Whether \\ContinuedFloat stands in it: it continues the float before."""

    @property
    def numbered(self) -> list[Caption]:
        """Captions that carry a number."""
        return [caption for caption in self.captions if caption.number]

    @property
    def subs(self) -> list[SubFigure]:
        """All sub-figures so far."""
        return self.waiting_subs + [sub for caption in self.captions for sub in caption.subs]

    def add_label(self, key: str) -> None:
        """A label that names the figure: of the last caption, or of the first to come."""
        (self.numbered[-1].labels if self.numbered else self.waiting_labels).append(key)

    def add_sub(self, sub: SubFigure) -> None:
        """A sub-figure: of the last caption, or of the first to come."""
        (self.numbered[-1].subs if self.numbered else self.waiting_subs).append(sub)


def float_kind(environment: str) -> str:
    """ "figure", "table" or another kind of float; empty when the environment is none."""
    bare = environment.rstrip("*")
    if bare in FIGURES:
        return "figure"
    if bare in TABLES:
        return "table"
    return bare if bare in OTHER_FLOATS else ""
