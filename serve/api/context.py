"""From a checked request to what the model is given: plain messages as they are, or a figure with its context.

A figure's messages are built by `llava_graph.prompt.build_messages` with the options that the model was trained with: the same
prompt as on the page.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from PIL import Image

from llava_graph import asking
from llava_graph.errors import InputError
from llava_graph.prompt import Message, PromptOptions, build_messages, explain_request
from llava_graph.record import Figure, Turn
from llava_graph.region import crop, enlarged, lines_in, pixels_in
from serve.api.chat_request import ChatRequest
from serve.api.desk import Desk
from serve.api.errors import ApiError
from serve.api.fields import named
from serve.api.figure_request import FigureRequest
from serve.api.paper_figures import Papers, ReadText, labelled
from serve.api.pictures import Pictures
from serve.client import ModelDetails, Sampling, flat_text
from serve.papers import PaperShelf
from serve.web.figure.opening import figure_of


@dataclass(frozen=True)
class Given:
    """What one answer is made from."""

    messages: list[Message]
    images: list[bytes]
    sampling: Sampling
    figure: Figure | None = None
    """As the prompt used it; None for a request without the extension."""
    question: str = ""
    """What was asked of the figure, without its context."""

    @property
    def first(self) -> Message:
        """The first user turn: image, context and question."""
        return next(message for message in self.messages if message["role"] == "user")

    @property
    def prompt(self) -> str:
        """It, word for word."""
        return flat_text(self.first, "<image>\n")

    @property
    def text(self) -> str:
        """What stands beside the image."""
        return words(self.first)


class Kitchen:
    """Prepares requests: opens images, finds a paper's figures, reads text, builds messages."""

    def __init__(
        self, pictures: Pictures, images: Desk, reading: Desk, read: ReadText, shelf: PaperShelf | None
    ) -> None:
        self.papers = Papers(shelf, reading, read)
        self._pictures = pictures
        self._images = images
        self._reading = reading
        self._read = read

    async def prepare(self, request: ChatRequest, details: ModelDetails | None) -> Given:
        """`details`: what the model is; only a figure needs it. Raises ApiError, and what an unreadable paper raises."""
        pictures = await self._pictures.open(request.images)
        if request.figure is None or details is None:
            images = [await self._images.do(partial(sent, picture)) for picture in pictures]
            return Given(list(request.messages), images, request.sampling)
        figure = await self._figure(request.figure, pictures)
        options = shown_options(details.prompt, request.figure)
        # A megabyte of paragraphs takes a third of a second to fit into a prompt: not in the event loop.
        written = partial(figure_messages, request, figure, options, instructions=details.instructions)
        messages, question, tokens = await self._images.do(written)
        sampling = request.sampling
        if tokens and not request.max_tokens_given:
            sampling = replace(sampling, max_new_tokens=tokens)
        image = figure.image if isinstance(figure.image, bytes) else b""
        return Given(messages, [image] if image else [], sampling, figure, question)

    async def _figure(self, told: FigureRequest, pictures: Sequence[Image.Image]) -> Figure:
        if told.from_paper:
            if pictures:
                raise ApiError("the figure comes from the paper, and then the messages hold no image", param="messages")
            figure = await self._of_paper(told)
        else:
            if len(pictures) != 1:
                raise ApiError(
                    f"with figure the messages hold one image, not {len(pictures)}",
                    param="messages",
                    next_step="Or name a paper: figure.paper with figure.label",
                )
            figure = await self._images.do(lambda: uploaded(pictures[0], told))
            return await self._read_in(figure) if told.ocr in (None, True) else figure
        figure = with_words(figure, told)
        if region := told.region:
            figure = await self._images.do(lambda: named("figure.region", lambda: crop(figure, region)))
        return figure

    async def _read_in(self, figure: Figure) -> Figure:
        image = figure.image
        lines = await self._reading.do(lambda: self._read(image)) if isinstance(image, bytes) else ()
        return replace(figure, ocr=tuple(lines))

    async def _of_paper(self, told: FigureRequest) -> Figure:
        figure_id = told.figure_id or ""
        if told.paper is not None:
            figures = (await self.papers.open(told.paper)).figures
            figure_id = figure_id or labelled(figures, told.label or "").id
        figure = await self.papers.figure(figure_id)
        # Lines of the caller's take the place of ours: then nothing is read.
        return await self.papers.with_text(figure) if told.ocr in (None, True) else figure


def uploaded(picture: Image.Image, told: FigureRequest) -> Figure:
    """An image of the request, or the region of it, as a record. A region is cut out of the original pixels."""
    region = told.region
    if region is None:
        return with_words(figure_of(picture), told)
    part = named("figure.region", lambda: enlarged(pixels_in(picture, region)))
    figure = with_words(figure_of(part), told)
    return replace(figure, ocr=lines_in(figure.ocr, region))


def sent(picture: Image.Image) -> bytes:
    """What a worker is sent of an image without context."""
    image = figure_of(picture).image
    return image if isinstance(image, bytes) else b""


def with_words(figure: Figure, told: FigureRequest) -> Figure:
    """The record with what the caller says of it; what they do not speak of stays."""
    paper = figure.paper
    if told.title is not None or told.abstract is not None:
        paper = replace(
            paper,
            title=paper.title if told.title is None else told.title,
            abstract=paper.abstract if told.abstract is None else told.abstract,
        )
    return replace(
        figure,
        paper=paper,
        caption=figure.caption if told.caption is None else told.caption,
        kind=figure.kind if told.kind is None else told.kind,
        mentions=figure.mentions if told.mentions is None else told.mentions,
        ocr=figure.ocr if told.ocr is None or told.ocr is True else told.ocr or (),
    )


def shown_options(trained: PromptOptions, told: FigureRequest) -> PromptOptions:
    """The model's own options, and beside them what the caller wants it to see."""
    return replace(
        trained,
        mentions=trained.mentions or bool(told.mentions),
        title=trained.title or bool(told.title),
        abstract=trained.abstract or bool(told.abstract),
        ocr=trained.ocr and told.ocr is not False,
    )


def figure_messages(
    request: ChatRequest, figure: Figure, options: PromptOptions, *, instructions: bool
) -> tuple[list[Message], str, int | None]:
    """(messages, the question, tokens of the answer if its length was asked for). Raises ApiError."""
    told = request.figure
    system = [message for message in request.messages if message["role"] == "system"]
    said = [message for message in request.messages if message["role"] != "system"]
    turns = [Turn(role=message["role"], text=words(message)) for message in said]
    # An image without words asked for an explanation.
    asked = explain_request(figure.id, options)
    history = [
        replace(turn, text=asked) if turn.role == "user" and not turn.text.strip() else turn for turn in turns[:-1]
    ]
    question, tokens = turns[-1].text.strip(), None
    if told is not None and told.ask is not None:
        if question:
            raise ApiError(
                "figure.explain asks for an explanation, and the last message asks something else",
                param="figure.explain",
                next_step="Leave the text of the last message empty, or figure.explain out",
            )
        question, tokens = asking.request(told.ask, figure, options, instructions=instructions)
    try:
        messages = build_messages(figure, question or asked, options, history=history)
    except InputError as error:
        raise ApiError(error.what, param="messages", name="invalid_value", next_step=error.next_step) from error
    return [*system, *messages], question or asked, tokens


def words(message: Message) -> str:
    """A message's text without its images."""
    return flat_text({"content": [part for part in message["content"] if part["type"] == "text"]}, "")
