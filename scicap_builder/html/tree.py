"""Bytes of an HTML page -> a tree of elements, read by lxml under limits: no network, no scripts, no entities of its own."""

import re
from typing import Any

from lxml import etree  # type: ignore[import-untyped]

from llava_graph.errors import PaperError

MAX_BYTES = 64 * 2**20
"""The longest papers on arXiv (theses with thousands of formulas) are 10-20 MB of HTML."""
MAX_DEPTH = 200
"""Elements within elements that are read; LaTeXML's own nesting stays under 40, MathML included."""

Element = Any
"""An lxml element: lxml has no types of its own."""


def parse(data: bytes, where: str = "") -> Element:
    """The root of the page. Raises PaperError: html-too-large, broken-html, not-latexml (no class of LaTeXML in it)."""
    if len(data) > MAX_BYTES:
        raise PaperError(f"the HTML has more than {MAX_BYTES // 2**20} MB", reason="html-too-large", where=where)
    try:
        data.decode("utf-8")
        encoding = "utf-8"
    except UnicodeDecodeError:
        encoding = None  # what the page says of itself
    parser = etree.HTMLParser(
        encoding=encoding, no_network=True, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.LxmlError, ValueError) as error:
        raise PaperError(f"the HTML cannot be read ({error})", reason="broken-html", where=where) from error
    if root is None or not any("ltx_" in value for value in root.xpath("//@class")):
        raise PaperError(
            "this is not a paper as LaTeXML writes it",
            reason="not-latexml",
            where=where,
            next_step="Known: the pages of arxiv.org/html and ar5iv",
        )
    return root


def classes(element: Element) -> frozenset[str]:
    """The class names of an element."""
    return frozenset((element.get("class") or "").split())


def tag(element: Element) -> str:
    """The element's name in lower case; empty for what is no element."""
    return element.tag.lower() if isinstance(element.tag, str) else ""


def fragment(address: str) -> str:
    """The part of a link that names a place: "https://arxiv.org/html/1706.03762v7#S3.F1" -> "S3.F1"."""
    return re.sub(r"^[^#]*#?", "", address, count=1)
