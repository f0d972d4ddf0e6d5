"""Which models are served now, and one line about the chosen one."""

import html
from dataclasses import dataclass

from llava_graph.errors import ServeError
from serve.client import ModelClient
from serve.web.banner import error_banner

NO_MODEL = ServeError("no model is running", next_step="Start one: llava-graph-serve worker (or: make demo)")


@dataclass(frozen=True)
class Models:
    """Which models there are and what the chosen one is."""

    names: tuple[str, ...]
    chosen: str
    line: str
    banner: str = ""


async def find_models(client: ModelClient, wanted: str = "") -> Models:
    """The models that are served now; `wanted` stays chosen if it is among them."""
    try:
        names = tuple(await client.models())
        chosen = wanted if wanted in names else next(iter(names), "")
        details = await client.details(chosen) if chosen else None
    except ServeError as error:
        return Models((), "", model_line("", ""), error_banner(error))
    if details is None:
        return Models((), "", model_line("", ""), error_banner(NO_MODEL))
    return Models(names, chosen, model_line(details.name, details.about))


def model_line(name: str, about: str) -> str:
    """The model's name and what it is."""
    if not name:
        return '<span class="model none">no model is running</span>'
    told = f'<span class="about">{html.escape(about)}</span>' if about else ""
    return f'<span class="model">{html.escape(name)}</span>{told}'
