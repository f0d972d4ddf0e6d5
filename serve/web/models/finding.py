"""Which models are served now, and one line about the chosen one."""

import asyncio
import html
from dataclasses import dataclass

from llava_graph.errors import ServeError
from serve.client import ModelClient, ModelDetails
from serve.web.banner import error_banner

NO_MODEL = ServeError(
    "no model is running at the moment", next_step="Start one: llava-graph-serve worker (or: make demo)"
)


MOST_ASKED = 24
"""Models that are asked what they are when the page opens; the others are told by their names."""


@dataclass(frozen=True)
class Models:
    """Which models there are and what the chosen one is."""

    names: tuple[str, ...]
    chosen: str
    line: str
    banner: str = ""
    cards: str = ""
    """What each of them is, as HTML."""


async def find_models(client: ModelClient, wanted: str = "", *, last: str = "") -> Models:
    """The models that are served now; `wanted` stays chosen if it is among them, else the first that answers is.

    `last`: a model that is there for something else (it reads tables) and explains only if it is asked to.
    """
    try:
        names = tuple(sorted(await client.models(), key=lambda name: (name == last, name)))
        if not names:
            raise NO_MODEL
        known = await asyncio.gather(*(_details(client, name) for name in names[:MOST_ASKED]))
        answering = [details.name for details in known if details]
        chosen = wanted if wanted in names else next(iter(answering), names[0])
        # One that does not answer says why.
        details = next((details for details in known if details and details.name == chosen), None)
        details = details or await client.details(chosen)
    except ServeError as error:
        return Models((), "", model_line("", ""), error_banner(error))
    found = dict(zip(names, known, strict=False))
    cards = "".join(_card(name, found.get(name)) for name in names) if len(names) > 1 else ""
    line = model_line(details.name, details.about)
    return Models(names, chosen, line, cards=f'<dl class="models">{cards}</dl>' if cards else "")


async def _details(client: ModelClient, name: str) -> ModelDetails | None:
    try:
        return await client.details(name)
    except ServeError:
        return None


def _card(name: str, details: ModelDetails | None) -> str:
    """One model: its name, what it says of itself, what it can."""
    told = html.escape(". ".join(facts_of(details))) if details else "does not answer now"
    return f"<dt>{html.escape(name)}</dt><dd>{told}</dd>"


def facts_of(details: ModelDetails) -> tuple[str, ...]:
    """What a reader chooses by."""
    facts = [details.about.rstrip(".")] if details.about else []
    facts += [f"Context of {details.context_length:,} tokens"] if details.context_length else []
    facts += [
        "Follows level and length" if details.instructions else "Explains in its own way: level and length do nothing"
    ]
    facts += [
        f"Sees up to {details.max_images} images at once" if details.max_images > 1 else "Sees one image at a time"
    ]
    return tuple(facts)


def model_line(name: str, about: str) -> str:
    """The model's name and what it is."""
    if not name:
        return '<span class="model none">no model is running</span>'
    told = f'<span class="about">{html.escape(about)}</span>' if about else ""
    return f'<span class="model">{html.escape(name)}</span>{told}'
