"""FastChat's wire protocol: what a client asks of a worker, what comes back, and how a stream is framed.

In: JSON from anybody. Out: frozen, checked values, or ServeError with the code that FastChat's clients know
(`fastchat/constants.py`, `fastchat/serve/base_model_worker.py`, `llava/serve/model_worker.py`).
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image

from llava_graph.errors import ContextOverflow, LlavaGraphError, ServeError
from llava_graph.images import open_image
from serve.protocol.codes import ErrorCode
from serve.protocol.fields import integers, invalid, mapping, number, ranged, stops, strings, text, whole, whole_text

MAX_IMAGES = 8
"""Images in one request; each is decoded in full, so a request is bounded at 8 x 64 megapixels."""
MAX_PROMPT_CHARS = 200_000
"""Far above every context window we serve; it bounds the work of refusing a prompt."""
MAX_NEW_TOKENS = 2**20
"""Tokens of one answer; a larger number is refused, not cut (FastChat's worker cuts at 1024 without a word). FastChat's OpenAI
server sends what is left of the context, at most 2**20, when its client names no number."""
END = b"\0"
"""Ends every chunk of a stream."""


@dataclass(frozen=True, kw_only=True)
class GenerateRequest:
    """The body of /worker_generate_stream and /worker_generate. Either `prompt` or, our extension, `messages`."""

    model: str = ""
    prompt: str = ""
    messages: tuple[dict[str, Any], ...] = ()
    """HF chat messages with {"type": "image"} placeholders; the worker renders them with its model's own template."""
    images: tuple[str, ...] = ()
    """base64 or data URIs."""
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    max_new_tokens: int = 256
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    seed: int | None = None
    """Our extension: the same seed and request give the same answer, where the engine can promise that."""
    echo: bool = True
    """The text begins with the prompt. Never with `messages`."""

    @classmethod
    def from_json(cls, data: Any) -> "GenerateRequest":
        """Raises ServeError 40001 (wrong type) or 40302 (out of range); None means the default, as FastChat sends it."""
        data = {key: value for key, value in mapping(data, "the request").items() if value is not None}
        messages = chat_messages(data["messages"]) if "messages" in data else ()
        prompt = text(data, "prompt")
        if bool(messages) == bool(prompt):
            raise invalid("the request needs either a prompt or messages")
        if len(prompt) > MAX_PROMPT_CHARS:
            raise ServeError(
                f"the prompt has {len(prompt)} characters, at most {MAX_PROMPT_CHARS} are read",
                code=ErrorCode.CONTEXT_OVERFLOW,
                next_step="Shorten it",
            )
        return cls(
            model=text(data, "model"),
            prompt=prompt,
            messages=messages,
            images=strings(data, "images", MAX_IMAGES),
            temperature=ranged(number(data, "temperature", 1.0), "temperature", 0, 10),
            top_p=ranged(number(data, "top_p", 1.0), "top_p", 0, 1),
            top_k=whole(data, "top_k", -1),
            repetition_penalty=ranged(number(data, "repetition_penalty", 1.0), "repetition_penalty", 0.01, 10),
            presence_penalty=ranged(number(data, "presence_penalty", 0.0), "presence_penalty", -2, 2),
            frequency_penalty=ranged(number(data, "frequency_penalty", 0.0), "frequency_penalty", -2, 2),
            max_new_tokens=int(ranged(whole(data, "max_new_tokens", 256), "max_new_tokens", 1, MAX_NEW_TOKENS)),
            stop=stops(data),
            stop_token_ids=integers(data, "stop_token_ids"),
            seed=whole(data, "seed", 0) if "seed" in data else None,
            echo=bool(data.get("echo", True)) and not messages,
        )


@dataclass(frozen=True)
class Usage:
    """Tokens of one answer, image tokens included."""

    prompt_tokens: int
    completion_tokens: int

    def to_json(self) -> dict[str, int]:
        """With the sum, as FastChat and OpenAI write it."""
        total = self.prompt_tokens + self.completion_tokens
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": total,
        }


@dataclass(frozen=True)
class Timings:
    """Where the time of an answer went, in seconds."""

    queue_s: float
    """Until it was its turn; the images are opened and the prompt is counted meanwhile."""
    prefill_s: float
    """From then to the first token."""
    decode_s: float
    """From the first token to the last."""
    tokens_per_s: float
    """Tokens after the first, in `decode_s`; 0 for an answer of one token."""


def chunk(
    text: str, usage: Usage | None = None, finish_reason: str | None = None, timings: Timings | None = None
) -> dict[str, Any]:
    """One step of an answer: the whole text so far. `timings` is our extension, which FastChat's clients pass over."""
    data: dict[str, Any] = {"text": text, "error_code": int(ErrorCode.OK)}
    if usage is not None:
        data["usage"] = usage.to_json()
    data["finish_reason"] = finish_reason
    if timings is not None:
        data["timings"] = {name: round(value, 4) for name, value in asdict(timings).items()}
    return data


def error_chunk(error: LlavaGraphError) -> dict[str, Any]:
    """The last step of a failed answer: the real reason and its code. Errors that are no ServeError are bad requests."""
    code = ErrorCode.CONTEXT_OVERFLOW if isinstance(error, ContextOverflow) else ErrorCode.VALIDATION_TYPE_ERROR
    code = ErrorCode(error.code) if isinstance(error, ServeError) else code
    return {"text": str(error), "error_code": int(code)}


def frame(data: Mapping[str, Any]) -> bytes:
    """JSON and the end mark."""
    return json.dumps(data).encode() + END


class Unframer:
    r"""Bytes as they arrive -> whole chunks. The rest waits for more; more than `limit` bytes without an end is refused."""

    def __init__(self, limit: int = 8 * 2**20) -> None:
        self.limit = limit
        self.rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The chunks that `data` completes, without their end marks. Raises ServeError for a chunk beyond the limit."""
        *whole_chunks, self.rest = (self.rest + data).split(END)
        if len(self.rest) > self.limit:
            raise ServeError(
                "the worker's answer is no FastChat stream: no end of chunk", code=ErrorCode.INTERNAL_ERROR
            )
        return [piece for piece in whole_chunks if piece]


_DATA_URI = re.compile(r"data:image/[\w.+-]+(?:;[\w-]+=[\w.-]+)*;base64,", re.IGNORECASE)


def image_bytes(image: str, position: int) -> bytes:
    """A client's image string -> its bytes. It is base64 or a data URI; it never becomes a path or a URL that we open."""
    name = f"images[{position}]"
    found = _DATA_URI.match(image)
    encoded = image[found.end() :] if found else image
    if not found and image[:5].lower() == "data:":
        raise ServeError(
            f"is a data URI that holds {_held(image)}",
            code=ErrorCode.VALIDATION_TYPE_ERROR,
            where=name,
            next_step="Write data:image/png;base64,…",
        )
    if re.match(r"[a-zA-Z][\w+.-]*:", encoded):
        raise ServeError(
            "is an address, and addresses are not fetched",
            code=ErrorCode.VALIDATION_TYPE_ERROR,
            where=name,
            next_step="Send the image itself, as base64 or a data URI",
        )
    try:
        return base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ServeError("is not base64", code=ErrorCode.VALIDATION_TYPE_ERROR, where=name) from error


def _held(uri: str) -> str:
    """What a data URI holds that we do not read."""
    kind = uri[5:].partition(",")[0].partition(";")[0].strip().lower()[:80]
    if kind.startswith("image/"):
        return "an image, but not as base64"
    return f"{kind!r}, no image" if kind else "nothing that it names as an image"


def open_images(request: GenerateRequest) -> list[Image.Image]:
    """The images of a request, decoded. Raises ImageError that names the image."""
    return [
        open_image(image_bytes(image, index), where=f"images[{index}]") for index, image in enumerate(request.images)
    ]


def data_uri(png: bytes) -> str:
    """A PNG as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


_IMAGE_RUN = re.compile(r"((?:\$\$<image>\$\$)+)((?:<image>\n?)*)")


def plain_placeholders(prompt: str) -> str:
    r"""FastChat's `$$<image>$$` -> LLaVA's `<image>`.

    Its OpenAI server writes both for one image (`$$<image>$$<image>\nWhat …`): then they count once.
    """

    def one_kind(match: re.Match[str]) -> str:
        count = match[1].count("<image>")
        return match[2] if match[2].count("<image>") == count else "<image>\n" * count + match[2]

    return _IMAGE_RUN.sub(one_kind, prompt)


def count_placeholders(request: GenerateRequest) -> int:
    """Image placeholders in the prompt or the messages."""
    if request.messages:
        return sum(part["type"] == "image" for message in request.messages for part in message["content"])
    return plain_placeholders(request.prompt).count("<image>")


def chat_messages(value: Any) -> tuple[dict[str, Any], ...]:
    """HF chat messages, checked down to their parts. Raises ServeError 40001."""
    if not isinstance(value, list) or not value:
        raise invalid("messages must be a list of messages")
    checked = []
    for index, item in enumerate(value):
        where = f"messages[{index}]"
        message = mapping(item, where)
        if message.get("role") not in ("system", "user", "assistant"):
            raise invalid(f"{where}.role must be system, user or assistant, got {message.get('role')!r}")
        content = message.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not isinstance(parts, list) or not parts:
            raise invalid(f"{where}.content must be text or a list of parts")
        checked.append({"role": message["role"], "content": [_part(part, where) for part in parts]})
    if checked[-1]["role"] != "user":
        raise invalid("the last message must be the user's")
    if sum(len(p.get("text", "")) for m in checked for p in m["content"]) > MAX_PROMPT_CHARS:
        raise ServeError(
            f"the messages have more than {MAX_PROMPT_CHARS} characters",
            code=ErrorCode.CONTEXT_OVERFLOW,
            next_step="Shorten them",
        )
    return tuple(checked)


def _part(part: Any, where: str) -> dict[str, str]:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "image" and set(part) == {"type"}:
        return {"type": "image"}
    if kind == "text" and isinstance(part.get("text"), str):
        return {"type": "text", "text": whole_text(part["text"], f"{where}.content")}
    raise invalid(
        f'{where}.content holds {{"type": "text", "text": …}} and {{"type": "image"}}; the pixels go in images'
    )
