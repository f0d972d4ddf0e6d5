"""Regions of a figure that a visitor asks about. In: what the browser says of them. Out: crops with their text.

Values in, values out, no gradio. Boxes come from a browser, so that nothing in them is believed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from llava_graph.errors import InputError, RecordError
from llava_graph.images import encode_png, open_image
from llava_graph.record import Box, Figure, OcrLine, check_box
from llava_graph.region import crop, inner, pixels_in, share_inside
from llava_graph.several_images import NAMES, Part

MAX_REGIONS = 7
"""With the whole figure as many images as one request takes (`serve.protocol.messages.MAX_IMAGES`)."""
SMALL_LETTERS_PX = 24.0
"""Median height of the lines in a region, below which the region is read again by itself. Two to four words more in a hundred
are found then (`python -m benchmarks.bench_regions`); with larger letters as well, but there it matters least."""
SAME_PLACE = 0.5
"""Share of a line's box from which on it stands where another one stands."""
WHOLE = 0.98
"""Share of a line's box inside a region, from which on it is not cut."""

ReadText = Callable[[bytes], Sequence[OcrLine]]
"""From an encoded image to the lines of text in it (`ocr.read_text`)."""


@dataclass(frozen=True)
class Region:
    """A part of the figure that the visitor has drawn."""

    name: str
    """ "A", "B", …"""
    box: Box
    """0..1 of the figure."""


def regions_of(told: Any, figure_id: str) -> tuple[Region, ...]:
    """The regions to ask about. `told`: {"figure": id, "regions": [{"name", "box"}, …]} as the viewer says it.

    Those of another figure (it was just replaced) do not count. Raises InputError for anything else.
    """
    if not isinstance(told, Mapping) or told.get("figure") != figure_id:
        return ()
    regions = told.get("regions")
    if not isinstance(regions, list) or len(regions) > MAX_REGIONS:
        raise _no_region(regions)
    found = tuple(_region(item) for item in regions)
    if len({region.name for region in found}) < len(found):
        raise _no_region(regions)
    return found


def _region(item: Any) -> Region:
    if not isinstance(item, Mapping) or not isinstance(item.get("name"), str) or not isinstance(item.get("box"), list):
        raise _no_region(item)
    name, sides = item["name"], item["box"]
    numbers = [float(side) for side in sides if type(side) in (int, float)]
    if len(name) != 1 or name not in NAMES or len(sides) != 4 or len(numbers) != 4:
        raise _no_region(item)
    box = (numbers[0], numbers[1], numbers[2], numbers[3])
    try:
        check_box(box, "region")
    except RecordError as error:
        raise _no_region(item) from error
    return Region(name, box)


def _no_region(what: Any) -> InputError:
    return InputError(f"this is no region of the figure: {str(what)[:80]}", next_step="Remove it and draw it again.")


def wants_reading(figure: Figure, box: Box, original: bytes | None = None) -> bool:
    """Whether the region is worth being read by itself: what was found in it is small or nothing, or the upload has more
    pixels than the figure that was read. Text that the file itself knows is never read."""
    inside = lines_inside(figure, box)
    if any(line.source == "pdf" for line in inside):
        return False
    if original or not inside:
        return True
    return median(letters_px(line, figure) for line in inside) < SMALL_LETTERS_PX


def lines_inside(figure: Figure, box: Box) -> list[OcrLine]:
    """The lines of which at least half stands in the region, with their places in the whole."""
    return [line for line in figure.ocr if share_inside(line.box, box) >= SAME_PLACE]


def letters_px(line: OcrLine, figure: Figure) -> float:
    """Height of a line's letters: across the direction in which it reads."""
    x0, y0, x1, y1 = line.box
    return (x1 - x0) * figure.width if line.orientation in (90, 270) else (y1 - y0) * figure.height


def cut_out(
    figure: Figure,
    region: Region,
    *,
    read: Figure,
    again: Sequence[OcrLine] | None = None,
    original: bytes | None = None,
) -> Part:
    """The region as a part of `figure` (as the visitor left it), out of `original` pixels where the upload had more.

    `read`: the figure as it was read. `again`: what was read in the region by itself, 0..1 of the region; it takes the place
    of what was found in the whole, but not of what the visitor has changed, added or switched off. Raises InputError.
    """
    part = crop(replace(figure, image=original or figure.image), region.box)
    if again is not None:
        part = replace(
            part, ocr=_merged(again, part.ocr, _cut_lines(figure, region.box), touched(read, figure, region.box))
        )
    return Part(region.name, region.box, part)


def touched(read: Figure, left: Figure, box: Box) -> tuple[Box, ...]:
    """Where in the region (0..1 of it) lines stand that the visitor has changed, added or switched off."""
    changed = [line for line in read.ocr if line not in left.ocr] + [line for line in left.ocr if line not in read.ocr]
    return tuple(inner(line.box, box) for line in changed if share_inside(line.box, box) >= SAME_PLACE)


def _cut_lines(figure: Figure, box: Box) -> list[Box]:
    """Where in the region (0..1 of it) lines stand that its sides cut through."""
    return [inner(line.box, box) for line in figure.ocr if 0 < share_inside(line.box, box) < WHOLE]


def _merged(
    again: Sequence[OcrLine], before: Sequence[OcrLine], cut: Sequence[Box], theirs: Sequence[Box]
) -> tuple[OcrLine, ...]:
    """The better reading of each place: the new one, but not of a line that is cut there or that the visitor had a hand in."""
    new = [line for line in again if not _stands_in(line.box, [*cut, *theirs])]
    found = [line.box for line in new]
    return (*new, *(line for line in before if _stands_in(line.box, theirs) or not _stands_in(line.box, found)))


def _stands_in(box: Box, places: Sequence[Box]) -> bool:
    return any(max(share_inside(box, place), share_inside(place, box)) >= SAME_PLACE for place in places)


def read_region(figure: Figure, region: Region, read: ReadText, original: bytes | None = None) -> tuple[OcrLine, ...]:
    """The lines that `read` finds in the region's own pixels, 0..1 of the region. Raises InputError and what `read` raises."""
    image = original or figure.image
    if image is None:
        raise InputError("the figure has no image", where=figure.id)
    return tuple(read(encode_png(pixels_in(open_image(image, where=figure.id), region.box))))
