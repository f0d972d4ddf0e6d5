"""A folder of unpacked sources -> its files by name, and the file that is the paper. The only place that opens TeX files.

Only files that a walk of the folder has listed are ever opened: no name in a paper can lead out of it.
"""

import json
import os
import posixpath
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from scicap_builder.latex.tokens import strip_comments

MAX_TEXT_BYTES = 8 * 2**20
"""TeX files above 8 MiB hold tables of plot data, not text."""
MAX_LISTED = 20_000
PICTURES = (".pdf", ".png", ".jpg", ".jpeg", ".eps", ".ps", ".gif", ".bmp", ".tif", ".tiff")
"""In this order a picture without extension is looked for, as pdfTeX does; EPS last, for it needs Ghostscript."""
_TEX_SUFFIXES = (".tex", ".ltx", ".latex", ".txt", ".tex.txt", "")
_SECONDARY = re.compile(
    r"(?:^|[_\-./ ])(?:old|_old|cover|letter|rebuttal|response|reply|supp|supplement\w*|supplementary|appendix|si|diff|poster|"
    r"slides|talk|backup|copy|template|highlights|title_?page|test|defs?|macros?)(?:[_\-. ]|\d*$)",
    re.I,
)
_MAIN_NAMES = re.compile(r"^(?:main|ms|paper|article|manuscript|root|arxiv|draft)(?:[_\-. ].*)?$", re.I)
_SUPPLEMENT = re.compile(
    r"(?:^|[_\-. ])(?:supp|supplement\w*|supporting\w*|si|esm|appendix|appendices)(?:[_\-. ]|\d*$)", re.I
)
"""Names of documents that go with a paper and are papers of their own."""
_CLASS = re.compile(r"\\document(?:class|style)\s*(?:\[[^\]]*\])?\s*\{([^}]*)\}")
_NO_PAPERS = frozenset(("letter", "standalone", "beamer", "subfiles", "tikzposter"))
"""Classes of documents that are no papers."""
_INCLUDES = re.compile(r"\\(?:input|include|subfile|import\s*\{[^}]*\})\s*\{?\s*([^\s{}\\]+)")


@dataclass(frozen=True)
class Sources:
    """The files of one submission."""

    root: Path

    @cached_property
    def names(self) -> dict[str, str]:
        """Relative POSIX name -> the same; and lower-case name -> name, for papers written on other systems."""
        found: dict[str, str] = {}
        for folder, folders, files in os.walk(self.root, followlinks=False):
            folders[:] = sorted(name for name in folders if name not in ("anc", "__MACOSX", ".git"))
            for file in sorted(files):
                path = Path(folder) / file
                if not file.startswith("._") and not path.is_symlink() and len(found) < MAX_LISTED:
                    found[path.relative_to(self.root).as_posix()] = ""
        lower = {name.lower(): name for name in reversed(found)}
        return lower | {name: name for name in found}

    @property
    def files(self) -> list[str]:
        """All names as they are, sorted by depth and name."""
        return sorted({*self.names.values()}, key=lambda name: (name.count("/"), name))

    def text(self, name: str) -> str:
        """A listed file's text; UTF-8, else Latin-1. Too large or unreadable files are empty."""
        path = self.root / name
        try:
            data = path.read_bytes() if path.stat().st_size <= MAX_TEXT_BYTES else b""
        except OSError:
            return ""
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            return data.decode("latin-1")

    def find(self, name: str, folders: tuple[str, ...], extensions: tuple[str, ...]) -> str | None:
        """The listed file that `name` means, looked for in `folders` with each extension; never one outside the root."""
        name = name.strip().replace("\\", "/").replace("//", "/")
        for folder in folders:
            path = posixpath.normpath(posixpath.join(folder, name))
            while path.startswith("../"):
                path = path[3:]
            for extension in extensions:
                found = self.names.get(path + extension) or self.names.get((path + extension).lower())
                if found:
                    return found
        return None

    def picture(self, name: str, folders: tuple[str, ...]) -> str | None:
        """The picture file that \\includegraphics means: also with another extension, or converted from EPS."""
        stem, extension = posixpath.splitext(name)
        if extension.lower() in PICTURES:
            exact = self.find(name, folders, ("",))
            eps = exact is not None and extension.lower() in (".eps", ".ps")
            other = self.find(stem, folders, ("-eps-converted-to.pdf", *PICTURES[:4])) if eps or exact is None else None
            return other or exact or self.find(stem, folders, PICTURES)
        return self.find(name, folders, (*PICTURES, "-eps-converted-to.pdf"))


def find_main(sources: Sources) -> str | None:
    """The file that is the paper: what 00README says, else the likeliest of those that are documents."""
    named = named_by_readme(sources)
    if named:
        return named[0]
    texts = {
        name: strip_comments(sources.text(name))
        for name in sources.files
        if name.lower().endswith(_TEX_SUFFIXES[:4]) or "." not in name
    }
    included = {_stem(match) for text in texts.values() for match in _INCLUDES.findall(text)}
    documents = [name for name, text in texts.items() if _CLASS.search(text)]
    candidates = documents or [name for name, text in texts.items() if r"\begin{document}" in text or r"\bye" in text]
    candidates = candidates or [
        name for name in texts if name.lower().endswith((".tex", ".ltx", ".latex")) and texts[name].strip()
    ]
    if not candidates:
        return None
    return max(candidates, key=lambda name: (_score(name, texts, sources, included), -name.count("/"), name))


def _score(name: str, texts: dict[str, str], sources: Sources, included: set[str]) -> float:
    """How much a file looks like the paper: its name, its traces of compilation, and how much real matter it pulls in."""
    text = texts[name]
    stem = posixpath.splitext(posixpath.basename(name))[0]
    base = posixpath.splitext(name)[0]
    whole = _with_inputs(name, texts, sources)
    pictures = set(re.findall(r"\\includegraphics\*?\s*(?:\[[^\]]*\])?\s*\{([^}]*)\}", whole))
    folder = posixpath.dirname(name)
    present = sum(bool(sources.picture(picture, (folder, ""))) for picture in sorted(pictures)[:100])
    document_class = _CLASS.search(text)
    kind = document_class[1] if document_class else ""
    score = min(present, 20) + min(len(whole) / 5000, 20)
    score += 15 * (r"\begin{document}" in whole) + 5 * (r"\title" in whole) + 5 * ("abstract" in whole.lower())
    score += 12 * any(
        f"{base}{end}" in sources.names for end in (".bbl", ".fls", ".fdb_latexmk", ".log", ".aux", ".out")
    )
    score += 8 * bool(_MAIN_NAMES.match(stem)) - 20 * bool(_SECONDARY.search(stem)) - 10 * stem.startswith(("_", "."))
    score -= 25 * (kind in _NO_PAPERS) + 25 * kind.startswith("../")
    return score - 15 * (stem.lower() in included) - 2 * name.count("/")


def _with_inputs(name: str, texts: dict[str, str], sources: Sources) -> str:
    """A document's text with the files it names, one level of nesting at a time, each once."""
    seen, queue, parts = {name}, [name], []
    while queue and len(seen) < 200:
        current = queue.pop(0)
        parts.append(texts.get(current, ""))
        for found in _INCLUDES.findall(parts[-1]):
            target = sources.find(found, (posixpath.dirname(name), ""), (".tex", "", ".ltx", ".txt"))
            if target and target not in seen:
                seen.add(target)
                queue.append(target)
    return "\n".join(parts)


def _stem(name: str) -> str:
    return posixpath.splitext(posixpath.basename(name))[0].lower()


def named_by_readme(sources: Sources) -> list[str]:
    """What arXiv's 00README calls top level: `file.tex toplevelfile` lines, or newer forms; all make the paper."""
    for name in sources.files:
        if not posixpath.basename(name).lower().startswith("00readme") or "/" in name:
            continue
        found = [sources.find(listed, ("",), ("", ".tex")) for listed in _readme_names(sources.text(name))]
        mains = [main for main in found if main and main.lower().endswith((".tex", ".ltx", ".latex", ".txt"))]
        if mains:
            return list(dict.fromkeys(mains))
    return []


def supplements(sources: Sources, main: str) -> list[str]:
    """Documents beside `main` that are called a supplement, supporting information or appendix and that no file includes."""
    named = [name for name in sources.files if _SUPPLEMENT.search(posixpath.splitext(posixpath.basename(name))[0])]
    candidates = [name for name in named if name != main and name.lower().endswith((".tex", ".ltx", ".latex"))]
    if not candidates:
        return []
    texts = {name: strip_comments(sources.text(name)) for name in candidates}
    included = {_stem(found) for found in _INCLUDES.findall(_all_tex(sources))}
    return [
        name
        for name, text in texts.items()
        if (match := _CLASS.search(text)) and match[1] not in _NO_PAPERS and _stem(name) not in included
    ]


def _all_tex(sources: Sources) -> str:
    return "\n".join(strip_comments(sources.text(name)) for name in sources.files if name.lower().endswith(".tex"))


def _readme_names(text: str) -> list[str]:
    try:
        listed = json.loads(text).get("sources", [])
        return [
            entry["filename"]
            for entry in listed
            if isinstance(entry, dict) and entry.get("usage") == "toplevel" and "filename" in entry
        ]
    except (ValueError, AttributeError, TypeError):
        pass
    yaml = re.findall(r"filename:\s*[\"']?([^\s\"']+)[\"']?\s*\n\s*usage:\s*[\"']?toplevel", text)
    yaml += re.findall(r"usage:\s*[\"']?toplevel[\"']?\s*\n\s*(?:-\s*)?filename:\s*[\"']?([^\s\"']+)", text)
    return yaml + re.findall(r"^(\S+)\s+toplevelfile", text, re.M)
