"""Requests for papers, explained figures and reports: JSON in, chat requests of figures out, or ApiError that names the field."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llava_graph.record import Figure
from serve.api.chat_request import ChatRequest
from serve.api.errors import ApiError
from serve.api.fields import known_only, list_of, mapping_of, text_of, wrong

FORMS = ("json", "markdown", "html")
MAX_FIGURES = 100
"""Of one report."""
SHARED = "*"
"""The name of what all figures of a report have in common."""
SAMPLING = ("max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "seed", "repetition_penalty")
"""Fields of a chat request that count here too."""


@dataclass(frozen=True)
class PaperRequest:
    """POST /v1/papers"""

    paper: str

    @classmethod
    def from_json(cls, data: Any) -> "PaperRequest":
        """Raises ApiError."""
        data = mapping_of(data, "the request")
        known_only(data, {"paper"})
        return cls(_paper(data))


@dataclass(frozen=True)
class Item:
    """One figure to explain, as the chat request that asks for it."""

    name: str
    """For messages about it: its id, or its place in the request."""
    chat: ChatRequest

    def meant(self, error: ApiError) -> ApiError:
        """An error of the chat request, in the words of the request that it was made from."""
        return _meant(error, self.name)


@dataclass(frozen=True)
class ExplainRequest:
    """POST /v1/figures/explain: {model, image or figure.paper, figure, question, format, …}"""

    item: Item
    form: str

    @classmethod
    def from_json(cls, data: Any) -> "ExplainRequest":
        """Raises ApiError."""
        data = mapping_of(data, "the request")
        known_only(data, {"model", "image", "figure", "question", "format", *SAMPLING})
        return cls(_item("figure", data, data), _form(data))


@dataclass(frozen=True)
class ReportRequest:
    """POST /v1/figures/report: {model, paper and figures, or images; explain, ocr, format, …}"""

    common: Mapping[str, Any]
    form: str
    paper: str | None = None
    labels: tuple[str, ...] = ()
    """Which figures of the paper; empty: all of them."""
    items: tuple[Item, ...] = ()

    @property
    def model(self) -> str:
        """Which model explains."""
        return str(self.common.get("model", ""))

    @property
    def told(self) -> dict[str, Any]:
        """What was asked for, as plain values for the document."""
        ask = self.common.get("explain")
        level = {"level": str(ask.get("level", "student"))} if isinstance(ask, Mapping) else {}
        return {"model": self.model, "figures": ", ".join(self.labels) or "all", **level}

    @classmethod
    def from_json(cls, data: Any) -> "ReportRequest":
        """Raises ApiError."""
        data = mapping_of(data, "the request")
        known_only(data, {"model", "paper", "figures", "images", "explain", "ocr", "format", *SAMPLING})
        if ("paper" in data) == ("images" in data):
            raise wrong("a report is of a paper or of images: one of the two", "paper")
        common = {name: data[name] for name in ("model", "explain", "ocr", *SAMPLING) if name in data}
        # The fields that all figures share are checked now, not when the paper is open.
        _figure_item(SHARED, {"figure_id": "arxiv:0#fig0"}, common)
        if "paper" in data:
            labels = tuple(
                text_of(label, f"figures[{index}]", 200).strip()
                for index, label in enumerate(list_of(data.get("figures", []), "figures", MAX_FIGURES))
            )
            return cls(common, _form(data), _paper(data), labels)
        if not list_of(data["images"], "images", MAX_FIGURES):
            raise wrong("images is empty: a report has at least one figure", "images")
        items = tuple(
            _item(f"images[{index}]", mapping_of(one, f"images[{index}]"), common)
            for index, one in enumerate(data["images"])
        )
        return cls(common, _form(data), items=items)

    def wants(self, figure: Figure) -> bool:
        """Whether a figure of the paper belongs into the report."""
        from serve.api.paper_figures import same_label

        return not self.labels or any(label == figure.id or same_label(label, figure.label) for label in self.labels)

    def of_figures(self, figures: Sequence[Figure]) -> list[Item]:
        """A paper's figures as items. Raises ApiError when there is none or are too many."""
        if not figures:
            raise wrong("the paper has no such figure", "figures", name="figure_not_found")
        if len(figures) > MAX_FIGURES:
            raise wrong(
                f"the paper has {len(figures)} figures, at most {MAX_FIGURES}", "figures", next_step="Name some"
            )
        return [_figure_item(figure.id, {"figure_id": figure.id}, self.common) for figure in figures]


def _item(name: str, data: Mapping[str, Any], common: Mapping[str, Any]) -> Item:
    """{image, figure, question} and what is common to all -> one chat request."""
    figure = dict(mapping_of(data.get("figure", {}), _field(name, "figure")))
    return _figure_item(name, figure, common, image=data.get("image"), question=data.get("question"))


def _figure_item(
    name: str, figure: dict[str, Any], common: Mapping[str, Any], *, image: Any = None, question: Any = None
) -> Item:
    if question is None:
        figure.setdefault("explain", common.get("explain", True))
    if "ocr" in common:
        figure.setdefault("ocr", common["ocr"])
    parts: list[dict[str, Any]] = [] if image is None else [{"type": "image_url", "image_url": {"url": image}}]
    parts.append({"type": "text", "text": "" if question is None else question})
    body = {field: common[field] for field in ("model", *SAMPLING) if field in common}
    place = _field(name, "image")
    try:
        chat = ChatRequest.from_json({**body, "messages": [{"role": "user", "content": parts}], "figure": figure})
    except ApiError as error:
        raise _meant(error, name) from error
    _check_one_figure(chat, name)
    return Item(name, replace(chat, images=tuple(replace(image, param=place) for image in chat.images)))


def _check_one_figure(chat: ChatRequest, name: str) -> None:
    """An image or a paper's figure, a question or an explanation. Raises ApiError in the words of the request."""
    told, place = chat.figure, _field(name, "image")
    if told is None:
        return
    if not chat.images and not told.from_paper:
        paper = "figure.figure_id, or figure.paper with figure.label"
        raise wrong(f"{place} is missing", place, next_step=f"Send one, or name a paper's figure: {paper}")
    if chat.images and told.from_paper:
        raise wrong(f"{place} and a paper's figure are given", place, next_step="Leave out the one or the other")
    if told.ask and any(part.get("text", "").strip() for part in chat.messages[-1]["content"]):
        explain = _field(name, "figure.explain")
        raise wrong(
            f"{explain} asks for an explanation, and {_field(name, 'question')} asks something else",
            explain,
            next_step="Leave out the one or the other",
        )


def _field(name: str, field: str) -> str:
    """Where a field of an item stands in the request."""
    return field if name == "figure" else f"{name}.{field}"


def _meant(error: ApiError, name: str) -> ApiError:
    """The chat request is ours; the caller wrote an image, a question and a figure."""
    written = error.param or ""
    if written.startswith("messages"):
        meant = _field(name, "image" if "image_url" in written else "question")
    elif name == SHARED:
        meant = written.removeprefix("figure.")
    elif name.startswith("images[") and written.startswith("figure"):
        meant = _field(name, written)
    else:
        return error
    return ApiError(
        error.what.replace(written, meant),
        status=error.status,
        kind=error.kind,
        name=error.name,
        param=meant,
        retry_after=error.retry_after,
        next_step=error.next_step,
    )


def _paper(data: Mapping[str, Any]) -> str:
    if not (paper := text_of(data.get("paper", ""), "paper", 300).strip()):
        raise wrong("paper is missing: an arXiv id or the id of a paper that was opened", "paper")
    return paper


def _form(data: Mapping[str, Any]) -> str:
    form = data.get("format", "json")
    if form not in FORMS:
        raise wrong(f"format must be one of {', '.join(FORMS)}", "format")
    return str(form)
