"""Opening and encoding images under limits. In: bytes, a path or a PIL image from anybody. Out: an RGB image, or ImageError."""

import io
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from llava_graph.errors import ImageError

MIN_SIDE_PX = 8
"""Below this nothing can be seen; a 1 x 1 image has crashed model servers (CVE-2026-22773)."""
MAX_PIXELS = 64_000_000
"""64 megapixels decode to 192 MB; PIL's own bomb limit is 89."""
MAX_BYTES = 64 * 2**20
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""What we decode. No SVG, EPS or PDF: those are programs, not pixels."""
SMALLER = "Scale it down or crop the figure out of the page"
SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations under which width and height change places."""


def open_image(source: bytes | Path | str | Image.Image, *, where: str = "") -> Image.Image:
    """An RGB image, turned upright by its EXIF tag, transparency on white.

    Raises ImageError: not an image, unknown format, truncated, a side under MIN_SIDE_PX, more than MAX_PIXELS (refused
    from the header, before any pixel is decoded) or more than MAX_BYTES.
    """
    if isinstance(source, Image.Image):
        check_size(source.size, where)
        return to_rgb(source)
    if isinstance(source, str | Path):
        where = where or str(source)
        source = _read(Path(source), where)
    if len(source) > MAX_BYTES:
        raise ImageError(
            f"the image has {len(source) / 2**20:.0f} MB, at most {MAX_BYTES // 2**20} are read",
            where=where,
            next_step=SMALLER,
        )
    with _decoding(where), Image.open(io.BytesIO(source), formats=FORMATS) as image:
        check_size(image.size, where)
        image.load()
        return to_rgb(ImageOps.exif_transpose(image))


def check_size(size: tuple[int, int], where: str = "") -> None:
    """Refuse (width, height) in px that is too small to see or too large to decode. Raises ImageError."""
    width, height = size
    if min(width, height) < MIN_SIDE_PX:
        raise ImageError(
            f"the image is {width} x {height} px, at least {MIN_SIDE_PX} a side are needed",
            where=where,
            next_step="Take a larger one",
        )
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"the image is {width} x {height} px, more than {MAX_PIXELS // 10**6} megapixels",
            where=where,
            next_step=SMALLER,
        )


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode -> RGB; transparent pixels become white, as on paper."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(paper, layer).convert("RGB")
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        # 16-bit greyscale (radiographs): scale to what is there instead of clipping at 255.
        grey = np.asarray(image, dtype=np.float32)
        low, high = float(grey.min()), float(grey.max())
        return Image.fromarray(((grey - low) * (255 / max(high - low, 1))).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def encode_png(image: Image.Image) -> bytes:
    """Lossless bytes of an image."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=False)
    return buffer.getvalue()


def image_size(data: bytes, *, where: str = "") -> tuple[int, int]:
    """(width, height) in px from the header alone. Raises ImageError."""
    with _decoding(where), Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return image.size


def upright_size(source: bytes | Path | Image.Image, *, where: str = "") -> tuple[int, int]:
    """(width, height) in px of what `open_image` gives, from the header alone. Raises ImageError, but not for broken pixels."""
    if isinstance(source, Image.Image):
        return source.size
    if isinstance(source, Path):
        where = where or str(source)
        with _reading(where):
            if not stat.S_ISREG(source.stat().st_mode):
                raise ImageError("no such file", where=where)
    opened = source if isinstance(source, Path) else io.BytesIO(source)
    with _decoding(where), Image.open(opened, formats=FORMATS) as image:
        check_size(image.size, where)
        # A PNG that has no EXIF before its pixels would be decoded in search of it.
        exif = image.getexif() if image.format != "PNG" or "exif" in image.info else {}
        turned = exif.get(ExifTags.Base.Orientation, 1) in SIDEWAYS
        return image.size[::-1] if turned else image.size


def is_there(path: Path) -> bool:
    """Whether it is a file that we may see; False too for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _read(path: Path, where: str) -> bytes:
    with _reading(where):
        if path.stat().st_size > MAX_BYTES:
            raise ImageError(f"the file has more than {MAX_BYTES // 2**20} MB", where=where, next_step=SMALLER)
        return path.read_bytes()


@contextmanager
def _reading(where: str) -> Iterator[None]:
    """What the system says of a file -> ImageError."""
    try:
        yield
    except FileNotFoundError as error:
        raise ImageError("no such file", where=where) from error
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror})", where=where) from error
    except ValueError as error:  # a zero byte, half a character: no file is called so
        raise ImageError("no such file, nor can there be one of that name", where=where) from error


@contextmanager
def _decoding(where: str) -> Iterator[None]:
    """PIL's many exceptions -> ImageError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UnidentifiedImageError as error:
        raise ImageError(f"not an image we read ({', '.join(FORMATS)})", where=where) from error
    except Image.DecompressionBombError as error:
        what = f"the image has more than {MAX_PIXELS // 10**6} megapixels"
        raise ImageError(what, where=where, next_step=SMALLER) from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError) as error:
        if isinstance(error, ImageError):
            raise
        next_step = "Save or download it again"
        raise ImageError(f"the image is broken or cut off ({error})", where=where, next_step=next_step) from error
