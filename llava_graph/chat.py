"""Messages -> token ids and labels through a Jinja chat template, the same one in training and in serving (DESIGN §4).

Labels are the assistant spans. They are found by rendering the conversation's prefixes, so that the prompt's ids are by
construction a prefix of the training sample's; where a tokenizer would break that, the sample is refused.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import Any, Protocol

from jinja2.exceptions import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llava_graph.errors import InputError, SampleRefused, did_you_mean
from llava_graph.prompt import Message

IGNORE_INDEX = -100
"""The label of a position that teaches nothing (torch's cross entropy ignores it)."""
IMAGE_TOKEN = "<image>"  # noqa: S105


class Tokenizer(Protocol):
    """What we use of a Hugging Face tokenizer."""

    bos_token: str | None
    eos_token: str | None
    bos_token_id: int | None
    all_special_tokens: list[str]

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> Any:
        """-> mapping with `input_ids`"""

    def convert_tokens_to_ids(self, tokens: str) -> int:
        """The id of one token."""


@dataclass(frozen=True, slots=True)
class EncodedSample:
    """One training sample. `labels` is as long as `input_ids` and holds -100 outside the answers."""

    input_ids: list[int]
    labels: list[int]
    answer_cut: bool
    """Whether the last answer was longer than the room that was left."""
    turns_cut: bool = False
    """Whether later turns found no room and are left out."""


def template_names() -> tuple[str, ...]:
    """The chat templates shipped, by name."""
    return tuple(
        sorted(file.name.removesuffix(".jinja") for file in _folder().iterdir() if file.name.endswith(".jinja"))
    )


def load_template(name: str) -> str:
    """The Jinja source of a shipped template. Raises InputError that lists the known names."""
    if name not in template_names():
        raise InputError(f"unknown chat template {name!r}", next_step=did_you_mean(name, template_names()))
    return (_folder() / f"{name}.jinja").read_text(encoding="utf-8")


def _folder() -> Any:
    return files("llava_graph") / "templates"


def render(
    messages: Sequence[Message], template: str, *, add_generation_prompt: bool, bos_token: str = "", eos_token: str = ""
) -> str:
    """The conversation as one string. `template` is Jinja source and runs in a sandbox, as in every other engine."""
    try:
        return _compiled(template).render(
            messages=messages, add_generation_prompt=add_generation_prompt, bos_token=bos_token, eos_token=eos_token
        )
    except TemplateError as error:
        raise InputError(f"the chat template cannot render this conversation ({error})") from error


@lru_cache(maxsize=32)
def _compiled(template: str) -> Any:
    # The settings of transformers' `_compile_jinja_template`, so that a checkpoint's template means the same here.
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.globals["raise_exception"] = _raise_exception
    try:
        return environment.from_string(template)
    except TemplateError as error:
        raise InputError(f"the chat template is no valid Jinja ({error})") from error


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def neutralise(messages: Sequence[Message], special_tokens: Iterable[str]) -> list[Message]:
    """The messages with every special token inside a text part broken up: a caption that says "<image>" stays text."""
    specials = sorted({*special_tokens, IMAGE_TOKEN}, key=len, reverse=True)

    def clean(text: str) -> str:
        for token in specials:
            if len(token) > 1 and token in text:
                text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    def clean_part(part: dict[str, Any]) -> dict[str, Any]:
        return {**part, "text": clean(part["text"])} if part.get("type") == "text" else part

    return [
        {
            **message,
            "content": clean(message["content"])
            if isinstance(message["content"], str)
            else [clean_part(part) for part in message["content"]],
        }
        for message in messages
    ]


def count_images(messages: Sequence[Message]) -> int:
    """Image parts in all messages."""
    return sum(
        part.get("type") == "image"
        for message in messages
        if not isinstance(message["content"], str)
        for part in message["content"]
    )


ImageTokens = int | Sequence[int]
"""Tokens that each image takes: one number for all, or a number an image, in the order of their places."""


def encode_prompt(
    messages: Sequence[Message], tokenizer: Tokenizer, template: str, image_tokens: ImageTokens
) -> list[int]:
    """Ids of the conversation up to where the assistant begins; each image stands as `image_tokens` image ids."""
    clean = neutralise(messages, tokenizer.all_special_tokens)
    text = _render(clean, template, tokenizer, open_turn=True)
    ids = _ids(text, tokenizer)
    return [ids[place] for place in _expand(ids, tokenizer, image_tokens, count_images(messages))]


def encode_text(prompt: str, tokenizer: Tokenizer, image_tokens: ImageTokens, images: int) -> list[int]:
    """Ids of a prompt that is already rendered (FastChat's protocol sends such). Raises InputError if images do not match."""
    ids = _ids(prompt, tokenizer)
    return [ids[place] for place in _expand(ids, tokenizer, image_tokens, images)]


def encode_sample(
    messages: Sequence[Message], tokenizer: Tokenizer, template: str, image_tokens: ImageTokens, max_length: int
) -> EncodedSample:
    """Ids and labels of a conversation with its answers.

    Raises SampleRefused (reasons: no-target, prompt-too-long, image-cut, token-boundary) instead of masking or cutting in
    silence. Only the end of an answer may be cut at `max_length` (tokens, images included); later turns that do not fit are
    left out. `labels[0]` is never a target: nothing stands before it, and in a packed row that would be a stranger's end.
    """
    clean = neutralise(messages, tokenizer.all_special_tokens)
    whole = _ids(_render(clean, template, tokenizer, open_turn=False), tokenizer)
    labels = [IGNORE_INDEX] * len(whole)
    for start, end in _assistant_spans(clean, whole, tokenizer, template):
        labels[start:end] = whole[start:end]
    places = _expand(whole, tokenizer, image_tokens, count_images(messages))
    labels = [labels[place] for place in places]
    labels[:1] = [IGNORE_INDEX]
    fitted = fit_length([whole[place] for place in places], labels, max_length)
    image_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    if any(whole[place] == image_id for place in places[len(fitted.input_ids) :]):
        raise SampleRefused(
            f"an image of a later turn does not fit into {max_length} tokens",
            reason="image-cut",
            next_step="Raise --model_max_length",
        )
    return fitted


def answer_borders(
    messages: Sequence[Message], rendered: Callable[[Sequence[Message], bool], str], end_tokens: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Of every answer, the text before it and the text up to its end token, both from the conversation's beginning.

    `rendered(messages, open_turn)` is the conversation as one text. Raises SampleRefused (reason: template) where an
    answer is opened otherwise than it is written.
    """
    ends = sorted(end_tokens, key=len, reverse=True)
    whole = rendered(messages, False)
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before, after = rendered(messages[:index], True), rendered(messages[: index + 1], False)
        if not after.startswith(before):
            raise SampleRefused(
                "the chat template does not open an answer the way it writes one",
                reason="template",
                next_step="Compare add_generation_prompt with the assistant turn",
            )
        after = before + _up_to_end_token(after[len(before) :], ends)
        yield before, after if whole.startswith(after) else _rewritten(whole, before, after, ends)


def _rewritten(whole: str, before: str, after: str, end_tokens: Sequence[str]) -> str:
    """Up to the answer's end, where it is written otherwise once a question follows (Qwen 3 takes empty thoughts away)."""
    end = next((token for token in end_tokens if after.endswith(token)), "")
    place = whole.find(end, len(before)) if end and whole.startswith(before) else -1
    if place < 0:
        raise SampleRefused("the chat template writes a turn otherwise once another follows", reason="template")
    return whole[: place + len(end)]


def _assistant_spans(
    messages: Sequence[Message], whole: list[int], tokenizer: Tokenizer, template: str
) -> Iterator[tuple[int, int]]:
    """(start, end) in `whole` of every answer with its end token."""

    def rendered(part: Sequence[Message], open_turn: bool) -> str:
        return _render(part, template, tokenizer, open_turn=open_turn)

    for before, after in answer_borders(messages, rendered, tokenizer.all_special_tokens):
        start, end = (len(checked_prefix(_ids(text, tokenizer), whole)) for text in (before, after))
        if start < end:
            yield start, end


def _up_to_end_token(answer: str, end_tokens: Sequence[str]) -> str:
    """What a template writes after the end token (ChatML's newline) is no target."""
    ends = [position + len(token) for token in end_tokens if (position := answer.rfind(token)) >= 0]
    return answer[: max(ends)] if ends else answer


def checked_prefix(ids: list[int], whole: list[int]) -> list[int]:
    """`ids`, which `whole` must begin with. Raises SampleRefused (reason: token-boundary)."""
    if whole[: len(ids)] != ids:
        raise SampleRefused(
            "the tokenizer joins the end of the prompt with the beginning of the answer into one token",
            reason="token-boundary",
            next_step="Use a chat template that ends the prompt with a special token or a space",
        )
    return ids


def fit_length(ids: list[int], labels: list[int], max_length: int) -> EncodedSample:
    """Cut to `max_length`; the cut may fall into an answer, never into a question before a kept answer.

    Raises SampleRefused (reasons: no-target, prompt-too-long).
    """
    if all(label == IGNORE_INDEX for label in labels):
        raise SampleRefused("the sample has no answer to learn", reason="no-target")
    if len(ids) <= max_length:
        return EncodedSample(ids, labels, answer_cut=False)
    kept = max_length
    inside_answer = labels[kept - 1] != IGNORE_INDEX and labels[kept] != IGNORE_INDEX
    while kept and labels[kept - 1] == IGNORE_INDEX:
        kept -= 1
    if not kept:
        raise SampleRefused(
            f"the prompt alone is longer than {max_length} tokens",
            reason="prompt-too-long",
            next_step="Raise --model_max_length or lower the context budget",
        )
    later = any(before == IGNORE_INDEX != label for before, label in pairwise(labels[kept:]))
    return EncodedSample(ids[:kept], labels[:kept], answer_cut=inside_answer, turns_cut=later)


def _render(messages: Sequence[Message], template: str, tokenizer: Tokenizer, *, open_turn: bool) -> str:
    return render(
        messages,
        template,
        add_generation_prompt=open_turn,
        bos_token=tokenizer.bos_token or "",
        eos_token=tokenizer.eos_token or "",
    )


def _ids(text: str, tokenizer: Tokenizer) -> list[int]:
    """Token ids; the beginning-of-text token stands once, whether template or tokenizer writes it."""
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    if _adds_bos(tokenizer) and ids[:1] != [tokenizer.bos_token_id]:
        return [tokenizer.bos_token_id, *ids]
    return ids


def _adds_bos(tokenizer: Tokenizer) -> bool:
    first = tokenizer("a", add_special_tokens=True)["input_ids"][:1]
    return tokenizer.bos_token_id is not None and list(first) == [tokenizer.bos_token_id]


def _expand(ids: list[int], tokenizer: Tokenizer, image_tokens: ImageTokens, images: int) -> list[int]:
    """Places in `ids`, that of an image id as often as its image has tokens. Raises InputError unless there is one for each."""
    image_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    found = ids.count(image_id)
    counts = [image_tokens] * images if isinstance(image_tokens, int) else list(image_tokens)
    if found != images or len(counts) != images:
        raise InputError(f"the prompt has {found} image placeholder(s) for {len(counts)} image(s)")
    left = iter(counts)
    return [place for place, one in enumerate(ids) for _ in range(next(left) if one == image_id else 1)]
