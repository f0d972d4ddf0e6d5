"""One expanded TeX text -> title, abstract and numbered figures with captions, citing paragraphs and the pictures they include.

Pure: text in, frozen values out.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from llava_graph.record import Dropped, Panel
from scicap_builder.latex.floats import LOOSE, Caption, Float, SubFigure
from scicap_builder.latex.frontmatter import abstract_source, title_source
from scicap_builder.latex.graphics import Graphic, find_graphics
from scicap_builder.latex.paragraphs import split_paragraphs
from scicap_builder.latex.prose import Prose, tidy, to_prose
from scicap_builder.latex.references import NO_REFERENCES, References, Target
from scicap_builder.latex.scopes import Structure
from scicap_builder.latex.structure import find_structure
from scicap_builder.mentions import cited_numbers
from scicap_builder.panels import MIN_PANELS, split_caption

_MAY_CITE = re.compile(r"\\[A-Za-z]*ref(?:range)?\b|[Ff][Ii][Gg]|\\hyperref")
_CAPTION_HEAD = re.compile(
    r"^\s*(?:\\(?:small|footnotesize|scriptsize|normalsize|bf|it|em|sf|rm|bfseries|centering|raggedright)\b\s*)+"
)
_GRAPHICSPATH = re.compile(r"\\graphicspath\s*\{((?:\s*\{[^{}]*\}\s*)+)\}")
_CONTINUED = re.compile(r"(?:\\[A-Za-z]+|[\W_])*cont(?:inued|inuation|'?d)?\b", re.I)
_LOOK_BACK = 3000
"""How far before a \\captionof outside of any float its pictures are looked for, in characters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFigure:
    """One numbered figure as the source has it."""

    number: str
    label: str
    caption: str
    mentions: tuple[str, ...] = ()
    graphics: tuple[Graphic, ...] = ()
    drawn: bool = False
    """Whether TeX itself draws (part of) it: then its files alone are not the figure."""
    panels: tuple[Panel, ...] = ()
    """Sub-figures in reading order; their boxes are not known here."""
    graphic_of_panel: tuple[int, ...] = ()
    """For each panel the one graphic that it shows; empty when panels and graphics are not one to one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourcePaper:
    """One paper as its source has it."""

    title: str
    abstract: str
    figures: tuple[SourceFigure, ...]
    dropped: tuple[Dropped, ...]
    picture_folders: tuple[str, ...]
    """From \\graphicspath."""


@dataclass
class _Seen:
    """A figure while it is put together."""

    captions: list[tuple[Float, Caption]]

    @property
    def first(self) -> Caption:
        return self.captions[0][1]  # all of them belong to one figure, the first gives number and text


def read_paper(text: str, external: Mapping[str, Target] = NO_REFERENCES.targets) -> SourcePaper:
    """Read an expanded paper (see `expand`); `external` are labels of other documents that it refers to (xr)."""
    preamble, body = _halves(text)
    structure = find_structure(body, preamble)
    seen = _figures_of(structure)
    references = References({**external, **_targets(structure, seen)}, structure.names)
    mentions = _mentions(body, structure, seen, references)
    figures = tuple(_finish(body, figure, found, references) for figure, found in zip(seen, mentions, strict=True))
    return SourcePaper(
        title=to_prose(re.sub(r"\\\\|\\newline", " ", title_source(preamble, body)), references).text,
        abstract=_abstract(preamble, body, references),
        figures=figures,
        dropped=_unnumbered(body, structure, seen),
        picture_folders=_picture_folders(text),
    )


def _halves(text: str) -> tuple[str, str]:
    """(preamble, body); a text without \\begin{document} is all body."""
    preamble, begin, body = text.partition(r"\begin{document}")
    if not begin:
        preamble, body = "", text
    return preamble, body.split(r"\end{document}")[0]


def _figures_of(structure: Structure) -> list[_Seen]:
    """Numbered figures in order of appearance; a continued float joins the figure that it continues."""
    seen: list[_Seen] = []
    without_caption: list[Float] = []
    for found in structure.floats:
        captions = [caption for caption in found.numbered if caption.kind == "figure"]
        if not captions:
            without_caption += [found] if found.kind == "figure" else []
            continue
        if seen and not without_caption and (found.continued or _continues(captions[0], seen[-1].first)):
            seen[-1].captions += [(found, caption) for caption in captions]
        else:
            earlier = without_caption if found.continued else []
            seen.append(_Seen([*((part, captions[0]) for part in earlier), (found, captions[0])]))
            seen += [_Seen([(found, caption)]) for caption in captions[1:]]
        without_caption = []
    return seen


def _continues(caption: Caption, earlier: Caption) -> bool:
    """A repeated number whose caption says "(continued)": the counter was set back by hand."""
    same = (caption.name, caption.number) == (earlier.name, earlier.number)
    return same and bool(_CONTINUED.match(caption.source))


def read_targets(text: str) -> dict[str, Target]:
    """What every label of an expanded paper stands for."""
    preamble, body = _halves(text)
    structure = find_structure(body, preamble)
    return _targets(structure, _figures_of(structure))


def _targets(structure: Structure, seen: list[_Seen]) -> dict[str, Target]:
    return structure.targets | _other_targets(structure) | _figure_targets(seen)


def _figure_targets(seen: list[_Seen]) -> dict[str, Target]:
    """Labels of figures and panels; of a label given twice the last one counts, as in LaTeX."""
    targets: dict[str, Target] = {}
    for index, figure in enumerate(seen):
        for _, caption in figure.captions:
            whole = Target(
                "Figure" if caption.kind == "figure" else caption.name, figure.first.number, index, title=caption.source
            )
            targets |= {key.strip(): whole for key in caption.labels}
            targets |= {key.strip(): _sub_target(whole, sub) for sub in caption.subs for key in sub.labels}
    return targets


def _other_targets(structure: Structure) -> dict[str, Target]:
    """Labels of tables, algorithms and other floats."""
    captions = [
        caption
        for found in structure.floats
        for caption in found.captions
        if caption.kind != "figure" and caption.number
    ]
    targets: dict[str, Target] = {}
    for caption in captions:
        whole = Target(caption.name, caption.number, title=caption.source)
        targets |= {key.strip(): whole for key in caption.labels}
        targets |= {key.strip(): _sub_target(whole, sub) for sub in caption.subs for key in sub.labels}
    return targets


def _sub_target(whole: Target, sub: SubFigure) -> Target:
    return replace(whole, number=whole.number + sub.letter, panel=sub.letter.strip("()"), title=sub.source)


def _mentions(body: str, structure: Structure, seen: list[_Seen], references: References) -> list[tuple[str, ...]]:
    """For each figure the paragraphs that cite it, in reading order."""
    spans = [(found.start, found.end) for found in structure.floats if found.end > found.start]
    sources = [source for source in split_paragraphs(body, spans) if _MAY_CITE.search(source)]
    paragraphs = [to_prose(source, references) for source in sources]
    cited = [_figures_by_label(paragraph, references) for paragraph in paragraphs]
    labelled = set().union(*cited) if cited else set()
    found: list[list[str]] = [[] for _ in seen]
    for source, paragraph, by_label in zip(sources, paragraphs, cited, strict=True):
        for index in sorted(by_label | _figures_by_number(source, paragraph, by_label, labelled, seen)):
            if paragraph.text and paragraph.text not in found[index]:
                found[index].append(paragraph.text)
    return [tuple(texts) for texts in found]


def _figures_by_label(paragraph: Prose, references: References) -> set[int]:
    targets = (references.find(key) for key in paragraph.keys)
    return {target.figure for target in targets if target is not None and target.figure is not None}


def _figures_by_number(
    source: str, paragraph: Prose, by_label: set[int], labelled: set[int], seen: list[_Seen]
) -> set[int]:
    """Figures that a paragraph cites by a number: typed ("Fig. 3"), or within a range of labels ("Figs. 2–5").

    Where a paper cites a figure by its label, the same number typed elsewhere is most often a figure of another paper.
    """
    count = Counter(figure.first.number for figure in seen)
    indices = {figure.first.number: index for index, figure in enumerate(seen) if count[figure.first.number] == 1}
    numbers = {indices[number] for number in cited_numbers(paragraph.text) if number in indices} - by_label
    if not numbers:
        return set()
    between = range(min(by_label), max(by_label)) if len(by_label) > 1 else range(0)
    without_labels = to_prose(source).text if paragraph.keys else paragraph.text
    typed = {indices[number] for number in cited_numbers(without_labels) if number in indices}
    return {index for index in numbers if index in between or (index in typed and index not in labelled)}


def _finish(body: str, figure: _Seen, mentions: tuple[str, ...], references: References) -> SourceFigure:
    graphics: list[Graphic] = []
    drawn = False
    for found, caption in figure.captions:
        start, end = _region(body, found, caption)
        more, more_drawn = find_graphics(body[start:end])
        last_row = graphics[-1].row + 1 if graphics else 0
        graphics += [replace(graphic, row=graphic.row + last_row, start=graphic.start + start) for graphic in more]
        drawn = drawn or more_drawn
    subs = [sub for _, caption in figure.captions for sub in caption.subs]
    caption = figure.first
    text = _caption_text(caption.source, references)
    return SourceFigure(
        number=caption.number,
        label=f"{caption.name} {caption.number}",
        caption=text,
        mentions=mentions,
        graphics=tuple(graphics),
        drawn=drawn,
        panels=_panels(subs, text, references),
        graphic_of_panel=_graphic_of_panel(subs, graphics),
    )


def _panels(subs: list[SubFigure], caption: str, references: References) -> tuple[Panel, ...]:
    """The sub-figures of the source, else what the caption tells of panels; one sub-figure alone is a single picture."""
    told = split_caption(caption)
    if len(subs) < MIN_PANELS:
        return told
    panels = [Panel(letter=sub.letter.strip("(). "), caption=_caption_text(sub.source, references)) for sub in subs]
    if any(panel.caption for panel in panels):
        return tuple(panels)
    captions = {panel.letter.lower(): panel.caption for panel in told}
    return tuple(replace(panel, caption=captions.get(panel.letter.lower(), "")) for panel in panels)


def _graphic_of_panel(subs: list[SubFigure], graphics: list[Graphic]) -> tuple[int, ...]:
    """For each sub-figure the index of the picture in it, when each holds one and none stands outside of them."""
    inside = [[i for i, graphic in enumerate(graphics) if sub.start <= graphic.start < sub.end] for sub in subs]
    if len(subs) < MIN_PANELS or len(subs) != len(graphics) or any(len(found) != 1 for found in inside):
        return ()
    order = tuple(found[0] for found in inside)
    return order if len(set(order)) == len(order) else ()


def _caption_text(source: str, references: References) -> str:
    source = re.sub(r"\n[ \t]*\n|\\par\b", " ", _CAPTION_HEAD.sub("", source))
    return to_prose(source, references).text


def _region(body: str, found: Float, caption: Caption) -> tuple[int, int]:
    """The part of the source, as (start, end), whose pictures belong to this caption."""
    if found.environment in LOOSE:
        start = caption.panel_start if caption.panel_start >= 0 else max(0, body.rfind("\n\n", 0, caption.start))
        return max(start, caption.start - _LOOK_BACK), caption.end
    numbered = found.numbered
    if len(numbered) < 2 or caption not in numbered:
        return found.start, found.end
    if caption.panel_start >= 0 and sum(other.panel_start == caption.panel_start for other in numbered) == 1:
        return caption.panel_start, caption.panel_end if caption.panel_end > 0 else found.end
    position = numbered.index(caption)
    if find_graphics(body[found.start : numbered[0].start])[0]:
        return numbered[position - 1].end if position else found.start, caption.start
    return caption.end, numbered[position + 1].start if position + 1 < len(numbered) else found.end


def _abstract(preamble: str, body: str, references: References) -> str:
    source = abstract_source(preamble, body)
    pieces = split_paragraphs(source, ()) if source else []
    return tidy(" ".join(to_prose(piece, references).text for piece in pieces))


def _unnumbered(body: str, structure: Structure, seen: list[_Seen]) -> tuple[Dropped, ...]:
    """Figure floats that have pictures and no number: nothing can cite them."""
    used = {id(found) for figure in seen for found, _ in figure.captions}
    return tuple(
        Dropped(item="unnumbered figure", reason="no-number", detail=found.environment)
        for found in structure.floats
        if found.kind == "figure"
        and not found.numbered
        and id(found) not in used
        and find_graphics(body[found.start : found.end])[0]
    )


def _picture_folders(text: str) -> tuple[str, ...]:
    groups = [group for match in _GRAPHICSPATH.findall(text) for group in re.findall(r"\{([^{}]*)\}", match)]
    return tuple(dict.fromkeys(group.strip() for group in groups))
