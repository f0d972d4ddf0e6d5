"""The picture files of one figure -> one PNG or JPEG, composed in reading order on white. May call Ghostscript."""

import io
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from llava_graph.errors import ImageError
from llava_graph.images import encode_png, open_image
from llava_graph.record import Box
from scicap_builder.latex.graphics import TEXT_WIDTH_BP, Graphic

MAX_SIDE_PX = 3000
"""The long side of a delivered picture: readable to the last tick at any model's input size, and a few MB at most."""
GHOSTSCRIPT_SECONDS = 20
"""Real EPS figures take 0.1-0.4 s; one that computes a fractal is stopped."""
MAX_PICTURE_BYTES = 128 * 2**20
GAP_PX = 10
"""White between pictures of one figure."""
_ROW_SHARE = 1.06
"""Pictures whose widths add up to more than the text width break into rows, as TeX breaks them; 6 % for sloppy sums."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Picture:
    """One encoded picture, and where in it each of its parts lies."""

    data: bytes
    boxes: tuple[Box, ...] = ()
    """0..1 of the picture, one for each graphic of the figure; empty for a single one."""


def figure_picture(graphics: Sequence[Graphic], find: Callable[[str], Path | None], dpi: int) -> Picture | None:
    """One picture for all `graphics` of a figure, or None when one of them cannot be had (half a figure is none)."""
    paths = [find(graphic.name) for graphic in graphics]
    if not graphics or any(path is None for path in paths):
        return None
    try:
        if len(graphics) == 1 and not (graphics[0].trim or graphics[0].viewport or graphics[0].angle):
            whole = _as_it_is(paths[0])
            if whole is not None:
                return Picture(whole)
        images = [_load(path, graphic, dpi) for path, graphic in zip(paths, graphics, strict=True) if path]
        if len(images) == 1:
            return Picture(encode_png(images[0]))
        image, boxes = compose(images, graphics, dpi)
        return Picture(encode_png(image), boxes)
    except ImageError as error:
        _log.info("%s", error)
        return None


def _as_it_is(path: Path | None) -> bytes | None:
    """The bytes of a plain PNG or JPEG that needs no change; None for everything else."""
    if path is None:
        return None
    data = _read(path)
    if not data.startswith((b"\x89PNG", b"\xff\xd8")):
        return None
    image = open_image(data, where=str(path))
    with Image.open(io.BytesIO(data)) as raw:
        plain = raw.mode in ("RGB", "L", "P", "1") and "transparency" not in raw.info and raw.size == image.size
    if plain and max(image.size) <= MAX_SIDE_PX:
        return data
    return encode_png(_shrunk(image))


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_PICTURE_BYTES:
            raise ImageError(f"larger than {MAX_PICTURE_BYTES:,} bytes", where=str(path))
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror})", where=str(path)) from error


def _load(path: Path, graphic: Graphic, dpi: int) -> Image.Image:
    """One picture file as an RGB image, turned and trimmed. Raises ImageError."""
    data = _read(path)
    where = str(path)
    if b"%!PS" in data[:64] or data.startswith(b"\xc5\xd0\xd3\xc6"):
        data = _eps_to_pdf(data, where)
    if b"%PDF-" in data[:1024]:
        image = _render_pdf(data, graphic, dpi, where)
    else:
        image = _trimmed(open_image(data, where=where), graphic, 1.0)
    if graphic.angle:
        image = image.rotate(graphic.angle, expand=True, fillcolor="white", resample=Image.Resampling.BICUBIC)
    return _shrunk(image)


def _render_pdf(data: bytes, graphic: Graphic, dpi: int, where: str) -> Image.Image:
    """One page of a PDF. Raises ImageError."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        raise ImageError(f"broken PDF figure ({error})", where=where) from error
    try:
        page = document[min(max(graphic.page, 1), len(document)) - 1]
        width, height = page.get_size()
        scale = min(dpi / 72, MAX_SIDE_PX / max(width, height, 1))
        image = page.render(scale=scale).to_pil().convert("RGB")
    except (pypdfium2.PdfiumError, IndexError, ValueError, MemoryError) as error:
        raise ImageError(f"PDF figure that cannot be rendered ({error})", where=where) from error
    finally:
        document.close()
    return _trimmed(image, graphic, scale)


def _trimmed(image: Image.Image, graphic: Graphic, px_per_bp: float) -> Image.Image:
    """What trim or viewport leave; a remainder too small to be meant is not cut."""
    if graphic.viewport is not None:
        left, bottom, right, top = (round(value * px_per_bp) for value in graphic.viewport)
        box = (left, image.height - top, right, image.height - bottom)
    elif graphic.trim is not None:
        left, bottom, right, top = (round(value * px_per_bp) for value in graphic.trim)
        box = (left, top, image.width - right, image.height - bottom)
    else:
        return image
    box = (max(0, box[0]), max(0, box[1]), min(image.width, box[2]), min(image.height, box[3]))
    return image.crop(box) if box[2] - box[0] >= 8 and box[3] - box[1] >= 8 else image


def _shrunk(image: Image.Image) -> Image.Image:
    if max(image.size) > MAX_SIDE_PX:
        image.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX), Image.Resampling.LANCZOS)
    return image


def _eps_to_pdf(data: bytes, where: str) -> bytes:
    """EPS -> PDF by Ghostscript, cropped to its bounding box, keeping its text. Raises ImageError where it is not installed."""
    program = shutil.which("gs")
    if program is None:
        raise ImageError(
            "an EPS figure needs Ghostscript", where=where, next_step="Install ghostscript, or give the paper's PDF too"
        )
    with tempfile.TemporaryDirectory(prefix="eps-") as folder:
        source, target = Path(folder) / "in.eps", Path(folder) / "out.pdf"
        source.write_bytes(data)
        command = [
            program,
            "-q",
            "-dSAFER",
            "-dBATCH",
            "-dNOPAUSE",
            "-dEPSCrop",
            "-sDEVICE=pdfwrite",
            f"-sOutputFile={target}",
            str(source),
        ]
        # SAFER lets a program read, write and delete all of the temporary directory: it gets one of its own.
        own = {"TMPDIR": folder, "TEMP": folder, "TMP": folder, "HOME": folder, "PATH": os.environ.get("PATH", "")}
        try:
            subprocess.run(
                command,
                check=True,
                timeout=GHOSTSCRIPT_SECONDS,
                cwd=folder,
                env=own,
                capture_output=True,
                stdin=subprocess.DEVNULL,
            )
            return target.read_bytes()
        except subprocess.TimeoutExpired as error:
            raise ImageError(f"EPS figure takes longer than {GHOSTSCRIPT_SECONDS} s", where=where) from error
        except (subprocess.CalledProcessError, OSError) as error:
            raise ImageError("EPS figure that Ghostscript cannot read", where=where) from error


def compose(
    images: Sequence[Image.Image], graphics: Sequence[Graphic], dpi: int
) -> tuple[Image.Image, tuple[Box, ...]]:
    """Several pictures on white: rows from top to bottom, each from left to right, at the widths that the paper gives them.

    Also returns where each of them lies, 0..1 of the whole.
    """
    shares = [_width_share(image, graphic, dpi) for image, graphic in zip(images, graphics, strict=True)]
    px_per_share = min(max(image.width / share for image, share in zip(images, shares, strict=True)), MAX_SIDE_PX)
    rows: list[list[Image.Image]] = []
    filled, last_row = 0.0, None
    for image, graphic, share in zip(images, graphics, shares, strict=True):
        if not rows or graphic.row != last_row or filled + share > _ROW_SHARE:
            rows.append([])
            filled = 0.0
        width = max(8, round(share * px_per_share))
        rows[-1].append(image.resize((width, max(8, round(image.height * width / image.width)))))
        filled, last_row = filled + share, graphic.row
    whole, boxes = _stack(rows)
    return _shrunk(whole), boxes


def _width_share(image: Image.Image, graphic: Graphic, dpi: int) -> float:
    """How much of the text width a picture takes: as the paper says, else by its height, else by its natural size."""
    if graphic.width > 0.02:
        return min(graphic.width, 1.0)
    if graphic.height > 0.02:
        return min(1.0, max(0.05, graphic.height * image.width / image.height))
    return min(1.0, max(0.05, graphic.scale * image.width * 72 / dpi / TEXT_WIDTH_BP))


def _stack(rows: Sequence[Sequence[Image.Image]]) -> tuple[Image.Image, tuple[Box, ...]]:
    widths = [sum(image.width for image in row) + GAP_PX * (len(row) - 1) for row in rows]
    heights = [max(image.height for image in row) for row in rows]
    canvas = Image.new("RGB", (max(widths), sum(heights) + GAP_PX * (len(rows) - 1)), "white")
    boxes: list[Box] = []
    top = 0
    for row, width, height in zip(rows, widths, heights, strict=True):
        left = (canvas.width - width) // 2
        for image in row:
            upper = top + (height - image.height) // 2
            canvas.paste(image, (left, upper))
            edges = (left, upper, left + image.width, upper + image.height)
            sides = (canvas.width, canvas.height) * 2
            boxes.append(_box(*(edge / side for edge, side in zip(edges, sides, strict=True))))
            left += image.width + GAP_PX
        top += height + GAP_PX
    return canvas, tuple(boxes)


def _box(left: float, top: float, right: float, bottom: float) -> Box:
    return round(left, 4), round(top, 4), round(min(1.0, right), 4), round(min(1.0, bottom), 4)
