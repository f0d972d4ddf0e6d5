"""Whether a chat template and a tokenizer belong together. In: both. Out: warnings; what would spoil every sample is an error.

The most repeated bug of LLaVA's forks: a template whose marks the tokenizer does not know. Nothing fails, and nothing is learnt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from llava_graph.chat import IMAGE_TOKEN, Tokenizer, answer_borders, encode_sample, render
from llava_graph.errors import InputError, SampleRefused
from llava_graph.prompt import Message, text_message

MARK = re.compile(r"<\|[^<>|\s]{1,40}\|>|</?s>|<(?:start|end)_of_[a-z]+>|<(?:im|image)_(?:start|end)>")
"""What looks like one token to whoever wrote the template."""
QUESTION, ANSWER = "What is shown", "A rising curve"
OTHER_TEMPLATE = "Choose another --chat_template"

Rendered = Callable[[Sequence[Message], bool], str]


def check_template(template: str, tokenizer: Tokenizer) -> list[str]:
    """Warnings about a template of ours or of a LLaVA checkpoint.

    Raises InputError where no sample could be learnt: the template cannot be rendered, has no place for an image that the
    tokenizer knows, writes no end after an answer, or the tokenizer joins prompt and answer.
    """

    def rendered(messages: Sequence[Message], open_turn: bool) -> str:
        return render(
            messages,
            template,
            add_generation_prompt=open_turn,
            bos_token=tokenizer.bos_token or "",
            eos_token=tokenizer.eos_token or "",
        )

    messages = probe()
    messages[0]["content"].insert(0, {"type": "image"})
    shown = rendered(messages, False)
    image_id, marks = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN), shown.count(IMAGE_TOKEN)
    if marks != 1:
        raise InputError(f"the chat template writes {marks} {IMAGE_TOKEN} for one image", next_step=OTHER_TEMPLATE)
    if list(tokenizer(IMAGE_TOKEN, add_special_tokens=False)["input_ids"]) != [image_id]:
        raise InputError(f"{IMAGE_TOKEN} is no token of this tokenizer", next_step="Take the tokenizer of a LLaVA")
    warnings = check_rendering(rendered, tokenizer, tokenizer.all_special_tokens)
    try:
        encode_sample(messages, tokenizer, template, 1, 10**6)
    except SampleRefused as error:
        raise InputError(
            f"the chat template does not fit the tokenizer: {error.what}", next_step=error.next_step
        ) from error
    return warnings


def check_rendering(rendered: Rendered, tokenizer: Any, special_tokens: Iterable[str]) -> list[str]:
    """Warnings about marks that are no tokens and answers that end otherwise. Raises InputError where an answer has no end."""
    specials = set(special_tokens)
    messages = probe()
    warnings = []
    for mark in dict.fromkeys(MARK.findall(rendered(messages, False))):
        pieces = len(tokenizer(mark, add_special_tokens=False)["input_ids"])
        if pieces > 1:
            warnings.append(
                f"the chat template writes {mark!r}, which this tokenizer splits into {pieces} tokens (--new_tokens {mark!r} "
                "makes it one)"
            )
    ends = []
    for before, after in answer_borders(messages, rendered, specials):
        ends.append(after[len(before) :].strip(" ").removeprefix(ANSWER))
    if not ends or not all(ends):
        raise InputError(
            "the chat template writes no end after an answer: the model would not learn to stop",
            next_step=OTHER_TEMPLATE if tokenizer.eos_token else "The tokenizer has no eos_token; give it one",
        )
    if not any(ends[0].endswith(token) for token in specials):
        warnings.append(
            f"the chat template ends an answer with {ends[0]!r}, no special token: whoever asks the model must stop there"
        )
    return warnings


def probe() -> list[Message]:
    """Two questions with their answers."""
    turns = (("user", QUESTION), ("assistant", ANSWER)) * 2
    return [text_message(role, text) for role, text in turns]
