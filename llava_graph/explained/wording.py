"""What Markdown and HTML say alike of a figure, a paper and an answer."""

from llava_graph.asking import MEDICAL_NOTE, is_medical
from llava_graph.evidence.shown import Chip
from llava_graph.explained.records import Answer, ExplainedPaper
from llava_graph.licences import licence_name
from llava_graph.record import Figure, Paper

__all__ = [
    "EVIDENCE",
    "MEDICAL_NOTE",
    "RIGHTS",
    "WARNING",
    "alt_text",
    "document_title",
    "effort",
    "ending",
    "figure_title",
    "is_medical",
    "licence_name",
    "licence_of",
    "paper_title",
    "place_of",
    "summary",
]

WARNING = "A model wrote the explanations. It can be wrong: check what it says against the figure and the paper."
EVIDENCE = (
    "Behind a sentence stands what of the caption, the paragraphs and the text in the figure has its words; words are compared, "
    "not meanings. What stands nowhere in them is marked: it may come from the image, or from nowhere."
)
RIGHTS = "Captions, paragraphs and pictures belong to their authors, under the licence that stands with them."
MAX_ALT_CHARS = 160
"""Screen readers read an alternative text in one go; the whole caption stands beside the picture."""
_ENDINGS = {"length": "cut at the longest answer allowed", "cancelled": "stopped before its end"}


def figure_title(figure: Figure) -> str:
    """ "Figure 10", or its id where the paper gives no label; the id of an upload is only a hash."""
    return figure.label or ("Uploaded figure" if figure.source == "upload" else figure.id)


def paper_title(paper: Paper) -> str:
    """The paper's title, else its id; empty for none."""
    return paper.title or paper.id


def document_title(document: ExplainedPaper) -> str:
    """What the whole is called."""
    return paper_title(document.paper) or (figure_title(document.figures[0].figure) if document.figures else "Figures")


def alt_text(figure: Figure) -> str:
    """A picture in words, for those who do not see it: its label, its kind and how its caption begins."""
    caption = " ".join(figure.caption.split())
    if len(caption) > MAX_ALT_CHARS:
        caption = caption[:MAX_ALT_CHARS].rsplit(" ", 1)[0] + " …"
    kind = f" ({figure.kind})" if figure.kind else ""
    return f"{figure_title(figure)}{kind}: {caption}" if caption else f"{figure_title(figure)}{kind}"


def licence_of(figure: Figure) -> str:
    """The short name of the licence that the figure stands under; "unknown" where none is given."""
    return licence_name(figure.licence or figure.paper.licence)


def place_of(chip: Chip) -> str:
    """Where on its figure's part of the page a chip leads."""
    return {"caption": "caption", "paragraph": f"p{chip.index + 1}", "table": "table"}.get(chip.source, "text")


def ending(answer: Answer) -> str:
    """Why an answer is not whole; empty if it is."""
    return _ENDINGS.get(answer.finish_reason, "")


def effort(answer: Answer) -> str:
    """ "12 tokens in 3.1 s", as far as it is known."""
    tokens = "" if answer.completion_tokens is None else f"{answer.completion_tokens:,} tokens"
    seconds = "" if answer.seconds is None else f"{answer.seconds:.1f} s"
    return " in ".join(part for part in (tokens, seconds) if part)


def summary(document: ExplainedPaper) -> str:
    """ "3 figures explained, 1 left out"."""
    explained = sum(bool(figure.answers) for figure in document.figures)
    counted = f"{explained} figure{'s' if explained != 1 else ''} explained"
    return f"{counted}, {len(document.dropped)} left out" if document.dropped else counted
