"""One HTML file that needs nothing else: the frame, the look and the policy that all our written pages share."""

import base64
import hashlib
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import jinja2

from llava_graph.printable import printable


def standalone_page(template: str, *, style: str, script: str, generator: str, **values: Any) -> Iterator[str]:
    """The page in pieces of text. `template` is Jinja source that extends "frame.html.jinja"; what it shows is escaped,
    and control characters, which HTML forbids, are left out.

    `style` and `script` come after what all pages share. `generator` says what wrote the page.
    """
    script = _file("base.js") + script
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.DictLoader({name: _file(name) for name in ("frame.html.jinja", "macros.html.jinja")}),
    )
    pieces = environment.from_string(template).generate(
        **values,
        style=_file("base.css") + style,
        script=script,
        # Only our own script may run, whatever a caption says.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        generator=generator,
    )
    return map(printable, pieces)


def arxiv_page(paper_id: str) -> str:
    """arXiv's page of a paper ("arxiv:1706.03762v7"); empty for others."""
    return f"https://arxiv.org/abs/{paper_id[6:]}" if re.fullmatch(r"arxiv:[\w./-]+", paper_id) else ""


def _file(name: str) -> str:
    return (files("llava_graph.standalone") / name).read_text(encoding="utf-8")
