"""The source of one float -> the picture files it includes, with their places: rows, widths, pages, trims. No I/O."""

import re
from dataclasses import dataclass, replace

from scicap_builder.latex.tokens import VERBATIM, brace_pairs, group_at, option_at

TEXT_WIDTH_BP = 468.0
"""Text width that lengths in cm and the like are measured against: most one-column pages have 430-510."""
MAX_FLOAT_CHARS = 50_000
"""How much of a float is looked at; longer ones hold plot data, which follows the command that draws it."""
MAX_GRAPHICS = 60
"""Pictures in one float; real ones have at most about 50 small ones."""
_COMMANDS = re.compile(
    VERBATIM
    + r"|\\(?P<include>includegraphics|includesvg|epsfbox|epsffile|includepdf|adjincludegraphics|plotone)\*?(?![A-Za-z@])"
    r"|\\(?P<two>plottwo)(?![A-Za-z@])|\\(?P<keyed>epsfig|psfig)\s*\{(?P<keys>[^{}]*(?:\{[^{}]*\}[^{}]*)*)\}"
    r"|\\(?P<aas>fig|leftfig|rightfig|boxedfig)\s*\{(?P<aasfile>[^{}\\]*)\}\s*\{(?P<aaswidth>[^{}]*)\}"
    r"|(?P<row>\\\\|\\newline|\\par\b|\\linebreak|\n[ \t]*\n|\\gridline|\\end\s*\{(?:center|tabular)\})"
    r"|\\begin\s*\{(?P<box>minipage|subfigure|subcaptionblock|subfloat|subtable)\*?\}(?:\s*\[[^\]]*\])*\s*\{(?P<boxwidth>[^{}]*)\}"
    r"|\\end\s*\{(?P<boxend>minipage|subfigure|subcaptionblock|subfloat|subtable)\*?\}"
    r"|(?P<drawn>\\begin\s*\{(?:tikzpicture|pgfpicture|picture|axis|circuitikz|forest|pspicture|algorithmic|"
    r"lstlisting|tikzcd)\*?\}|\\(?:tikz|feynmandiagram|begin\{overpic\})(?![A-Za-z@]))"
)
_LENGTH = re.compile(
    r"([\d.]*)\s*(\\(?:text|line|column|h|page|paper)(?:width|size)|\\columnwidth|cm|mm|in|pt|bp|em|pc|truein|truecm)"
)
_BP = {"cm": 28.346, "mm": 2.8346, "in": 72.0, "pt": 0.99626, "bp": 1.0, "em": 10.0, "pc": 11.955}
_BP |= {"truein": 72.0, "truecm": 28.346}
"""Lengths in bp, the point of PDF and EPS: 1/72 inch. An em is that of 10-pt text."""


@dataclass(frozen=True, slots=True)
class Graphic:
    """One included picture."""

    name: str
    """As written: may lack its folder and extension."""
    width: float = 0.0
    """Share of the text width, 0 when the float does not say."""
    row: int = 0
    """Pictures of one row stand side by side."""
    page: int = 1
    angle: float = 0.0
    """Degrees counter-clockwise."""
    trim: tuple[float, float, float, float] | None = None
    """left, bottom, right, top in bp; only when clipped."""
    viewport: tuple[float, float, float, float] | None = None
    """left, bottom, right, top of what is shown, in bp from the lower left; only when clipped."""
    scale: float = 1.0
    """Of its natural size, where it has no width."""
    height: float = 0.0
    """Share of the text width, 0 when the float does not say."""
    start: int = 0
    """Where it is included, counted from the start of the source."""


def find_graphics(source: str) -> tuple[list[Graphic], bool]:
    """The pictures in one float, and whether something is drawn by TeX itself (TikZ and the like)."""
    source = source[:MAX_FLOAT_CHARS]
    pairs = brace_pairs(source)
    found: list[Graphic] = []
    drawn = False
    row = 0
    boxes: list[float] = []
    for match in _COMMANDS.finditer(source):
        if len(found) >= MAX_GRAPHICS:
            break
        if match["drawn"] or match["verbatim"]:
            drawn = True
        elif match["row"]:
            row += not boxes
        elif match["box"]:
            boxes.append(_share(match["boxwidth"]))
        elif match["boxend"]:
            boxes[-1:] = []
        elif match.lastgroup != "bar":
            scale = boxes[-1] if boxes and boxes[-1] else 1.0
            found += [_scaled(graphic, row, scale, match.start()) for graphic in _graphics(match, source, pairs)]
    return found, drawn


def _scaled(graphic: Graphic, row: int, box: float, start: int) -> Graphic:
    """A width within a minipage is a share of the minipage; a picture whose size is not given fills it."""
    fills = box if box != 1.0 and not graphic.height and graphic.scale == 1.0 else 0.0
    width = graphic.width * box if graphic.width else fills
    return replace(graphic, width=round(min(width, 2.0), 4), row=row, start=start)


def _graphics(match: re.Match[str], source: str, pairs: dict[int, int]) -> list[Graphic]:
    if match["keyed"]:
        name = re.search(r"(?:file|figure)\s*=\s*\{?([^,{}]+)", match["keys"])
        return [_graphic(name[1], match["keys"])] if name else []
    if match["aas"]:
        return [_graphic(match["aasfile"], "width=" + match["aaswidth"])]
    names: list[str] = []
    options: list[str] = []
    at = match.end()
    while len(options) < 2 and (
        option := option_at(source, at, pairs)
    ):  # \\includegraphics[llx,lly][urx,ury]{…} of old
        options.append(option[0])
        at = option[1]
    keys = options[0] if len(options) == 1 else ""
    for _ in range(2 if match["two"] else 1):
        group = group_at(source, at, pairs)
        if group:
            names.append(group[0])
            at = group[1]
    return [_graphic(name, "width=0.5\\textwidth" if match["two"] else keys) for name in names]


def _graphic(name: str, options: str) -> Graphic:
    values = {key: value.strip().strip("{}") for key, value in re.findall(r"(\w+)\s*=\s*(\{[^{}]*\}|[^,]*)", options)}
    name = (
        re.sub(r"\\(?:string|detokenize|space)\s*", "", name)
        .replace("{", "")
        .replace("}", "")
        .strip()
        .strip('"')
        .strip()
    )
    page = values.get("page", "1")
    clipped = bool(re.search(r"\bclip\b(?!\s*=\s*false)", options))
    return Graphic(
        name,
        width=_share(values["width"]) if "width" in values else 0.0,
        page=int(page) if page.isdecimal() else 1,
        angle=_number(values.get("angle", "0")),
        trim=_trim(values.get("trim", "")) if clipped else None,
        viewport=_trim(values.get("viewport", "")) if clipped else None,
        scale=_number(values.get("scale", "1")) or 1.0,
        height=_share(values["height"]) if "height" in values else 0.0,
    )


def _share(length: str) -> float:
    """A TeX length as a share of the text width."""
    match = _LENGTH.search(length)
    if match is None:
        return 0.0
    value = _number(match[1]) if match[1] else 1.0
    return value * _BP[match[2]] / TEXT_WIDTH_BP if match[2] in _BP else value


def _number(text: str) -> float:
    match = re.match(r"\s*(-?\d*\.?\d+)", text)
    return float(match[1]) if match and len(match[1]) < 10 else 0.0


def _trim(text: str) -> tuple[float, float, float, float] | None:
    """Four lengths; without a unit they are bp. Shares of the picture (`.1\\width`) are not known here."""
    if "\\" in text:
        return None
    numbers = re.findall(r"(-?\d*\.?\d+)\s*(cm|mm|in|pt|bp)?", text)
    if len(numbers) != 4:
        return None
    left, bottom, right, top = (_number(value) * _BP.get(unit, 1.0) for value, unit in numbers)
    return left, bottom, right, top
