"""A figure with what models said about it, and a paper of such figures: what export, report, command line and API hand on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from llava_graph.evidence import Sentence
from llava_graph.evidence.judging import judged
from llava_graph.evidence.sources import sources_of
from llava_graph.record import Box, Dropped, Figure, Paper, check_box

VERSIONS = ("llava-graph", "transformers", "torch")
"""Packages whose version can change an answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedRegion:
    """A part of the figure that a question was about."""

    name: str
    """ "A", "B", … as the question calls it."""
    box: Box
    """0..1 of the figure."""

    def __post_init__(self) -> None:
        check_box(self.box, "region")


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One question and what a model answered."""

    question: str
    """As it was sent; without the context that stood before the first one."""
    text: str
    model: str = ""
    about: str = ""
    """What the model says it is."""
    finish_reason: str = ""
    """ "stop", "length" (cut at the longest answer), "cancelled", or empty where it is not known."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds: float | None = None
    regions: tuple[AskedRegion, ...] = ()
    """What the question was about; empty: the whole figure, or `ExplainedFigure.region`."""
    sentences: tuple[Sentence, ...] = ()
    """What bears each sentence out, see `llava_graph.evidence`; the writers look for it where it is empty (`with_evidence`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExplainedFigure:
    """A figure and the conversation about it. Without answers it is a figure that nobody has explained yet."""

    figure: Figure
    """With the caption, OCR and mentions that the model was given."""
    answers: tuple[Answer, ...] = ()
    prompt: str = ""
    """The text that stood beside the image in the first turn, word for word: context and question."""
    region: Box | None = None
    """The part of the figure that was asked about throughout; None: all of it."""
    source: str = ""
    """The file, paper or data set that was opened, as it was named."""
    created: str = ""
    """ISO 8601, UTC."""
    versions: tuple[str, ...] = ()
    """ "llava-graph 0.1.0", …"""

    def __post_init__(self) -> None:
        if self.region is not None:
            check_box(self.region, "region")

    @property
    def text(self) -> str:
        """The last answer; empty if there is none."""
        return self.answers[-1].text if self.answers else ""

    @property
    def models(self) -> tuple[Answer, ...]:
        """The first answer of each model, for its name and what it says of itself."""
        return tuple({answer.model: answer for answer in reversed(self.answers)}.values())[::-1]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExplainedPaper:
    """Explained figures of one paper, or of a folder of papers; explained + dropped = seen."""

    paper: Paper = Paper()
    """Its title may be that of a folder."""
    figures: tuple[ExplainedFigure, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    """What was seen and is not explained, and why."""
    options: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    """What was asked for, by name: the reader's level, whether the text in the figure was used, …"""

    @property
    def papers(self) -> tuple[Paper, ...]:
        """The papers of the figures, in order of appearance; a figure of no paper has `Paper()`."""
        return tuple({explained.figure.paper.id: explained.figure.paper for explained in self.figures}.values())

    @property
    def models(self) -> tuple[Answer, ...]:
        """The first answer of each model."""
        return tuple({answer.model: answer for one in reversed(self.figures) for answer in one.models[::-1]}.values())[
            ::-1
        ]


Explained = ExplainedFigure | ExplainedPaper


def as_paper(explained: Explained) -> ExplainedPaper:
    """A single figure as a paper of one."""
    if isinstance(explained, ExplainedPaper):
        return explained
    return ExplainedPaper(paper=explained.figure.paper, figures=(explained,))


def with_evidence(explained: ExplainedFigure) -> ExplainedFigure:
    """With the evidence for every answer that has none yet; as it is where there is no text to look in."""
    sources = sources_of(explained.figure)
    if not (sources.prose or sources.inside):
        return explained
    answers = (
        answer if answer.sentences else replace(answer, sentences=judged(answer.text, sources))
        for answer in explained.answers
    )
    return replace(explained, answers=tuple(answers))


def now() -> str:
    """The time for `created`."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions(names: Sequence[str] = VERSIONS) -> tuple[str, ...]:
    """The installed versions of packages."""
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return tuple(found)
