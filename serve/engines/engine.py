"""What computes the answers of a worker. In: a checked request. Out: the growing answer.

`Engine` is the seam: a checkpoint in this process (`serve.engines.in_process`), a server elsewhere (`serve.engines.upstream`).
It takes every request and decides itself what is computed when, and how many wait.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from llava_graph.errors import ServeError
from llava_graph.prompt import PromptOptions
from serve.protocol.codes import ErrorCode
from serve.protocol.conversation import Conversation
from serve.protocol.messages import GenerateRequest, Timings, Usage


@dataclass(frozen=True)
class Step:
    """The answer so far."""

    text: str
    """All of it, without the prompt."""
    usage: Usage | None = None
    finish_reason: str | None = None
    """None until the last step; then "stop" (the model ended, or a stop string came) or "length"."""
    timings: Timings | None = None
    """With the last step, from engines that measure."""


class Estimate(int):
    """A number of tokens by rule of thumb: nobody was there who could count them."""


class Engine(Protocol):
    """A model that answers. Its methods are called from several threads and event loops at once."""

    name: str
    """What the model is called when nobody gives it another name."""
    about: str
    """What it is, in a sentence for the people on the page."""
    chat_template: str
    """Jinja source."""
    prompt: PromptOptions
    """What its training showed beside the figure, and how."""
    instructions: bool
    """Whether it does what it is asked; False where its training knew nothing but to explain figures."""
    max_images: int
    """Images that one conversation may show."""
    context_length: int
    """tokens, prompt and answer together"""

    def render(self, messages: Sequence[dict[str, Any]]) -> str:
        """The prompt of a conversation, open for the answer."""

    def count_tokens(self, prompt: str) -> int:
        """Tokens of a rendered prompt; an image placeholder counts as the image's tokens. Perhaps an Estimate."""

    @property
    def queue_length(self) -> int:
        """Requests that are being answered or wait, as FastChat counts them."""

    @property
    def waiting(self) -> int:
        """Those of them whose answer has not begun."""

    def stream(self, request: GenerateRequest) -> AsyncGenerator[Step]:
        """Answer `request`; closing the generator ends the computation soon. A slow reader gets the newest text, not all.

        Raises ServeError 42903 (too many wait, or it waited too long), 40303 (no room for an answer), 50002 (out of
        memory), ImageError and InputError for what cannot be used, and whatever the model raises.
        """

    def close(self) -> None:
        """End what is being computed; every answer that is not complete ends with ServeError 50001."""


@runtime_checkable
class RemoteEngine(Engine, Protocol):
    """A model elsewhere: it may be away while the worker is there."""

    conversation: Conversation
    """How FastChat's clients write a prompt for it; the chat template itself is not known here."""

    async def check(self) -> None:
        """Raises ServeError 50006 when the model cannot be reached; then the worker is offered to nobody."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a computation needed more memory than there is: CUDA's, Python's, or that of torch's allocator on a CPU."""
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)


def out_of_memory() -> ServeError:
    """What the one who asked hears of it."""
    return ServeError(
        "the model ran out of memory on this request",
        code=ErrorCode.CUDA_OUT_OF_MEMORY,
        next_step="Try a smaller image or fewer tokens, or start the worker with a lower --max-batch-size",
    )
