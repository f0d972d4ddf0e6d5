"""Small real readers for tests of the pipeline. They read a text file instead of a paper: a line is an order.

figure 3 | caption | a paragraph      one figure
bad-image 4                           a figure whose picture is broken
no-image 5                            a figure without a picture
hang / die / die-once / raise / broken    what papers do to readers
hog 40                                takes 40 times 16 MiB and keeps them
full                                  a disk without room, met while unpacking
"""

import errno
import os
import signal
import time
from pathlib import Path

from PIL import Image, ImageDraw

from llava_graph.errors import PaperError
from llava_graph.images import encode_png
from llava_graph.record import Dropped, OcrLine
from scicap_builder.archive import Unpacked
from scicap_builder.one_paper import Readers
from scicap_builder.reading import FoundFigure, PaperReading


def picture(number: str) -> bytes:
    image = Image.new("RGB", (40, 30), "white")
    ImageDraw.Draw(image).text((2, 2), number, fill="black")
    return encode_png(image)


def read_pdf(path: Path, *, dpi: int = 150) -> PaperReading:
    return _read(path, "pdf")


def read_latex(root: Path, *, dpi: int = 150) -> PaperReading:
    return _read(next(iter(sorted(root.glob("*.tex")))), "latex")


def unpack(path: Path, into: Path) -> Unpacked:
    data = path.read_bytes()
    if data.startswith(b"broken"):
        raise PaperError("no archive", reason="broken-archive")
    name = "paper.pdf" if data.startswith(b"%PDF") else "main.tex"
    (into / name).write_bytes(data)
    return Unpacked(kind="pdf" if name.endswith("pdf") else "tex", root=into, files=(Path(name),))


def read_html(path: Path, *, dpi: int = 150) -> PaperReading:
    return _read(path, "html")


def join(source: PaperReading | None, pdf: PaperReading | None, html: PaperReading | None = None) -> PaperReading:
    source, pdf = source or html, pdf or source or html
    return PaperReading(title=source.title, figures=source.figures, pages=pdf.pages)


def read_text(image: Image.Image, own, rasters, engine: str | None) -> tuple[OcrLine, ...]:
    read = (OcrLine(text=f"{engine} {image.width}", box=(0, 0, 1, 1), source=engine),) if engine else ()
    return (*own, *read)


def broken_engine(image: Image.Image, own, rasters, engine: str | None) -> tuple[OcrLine, ...]:
    if engine:
        raise RuntimeError("the engine fell over")
    return tuple(own)


def stand_ins(read_text=read_text) -> Readers:
    return Readers(
        unpack=unpack, read_latex=read_latex, read_pdf=read_pdf, read_html=read_html, join=join, read_text=read_text
    )


def _misbehave(order: str, number: str, path: Path) -> None:
    """What papers do to readers, if the order is one of these."""
    if order == "sleep":
        time.sleep(float(number))
    elif order == "hang":
        time.sleep(600)
    elif order == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif order == "hog":
        hoard = [bytes([number % 255 + 1]) * 2**24 for number in range(int(number))]
        time.sleep(600)
        del hoard
    elif order == "die-once":  # the kernel ends it for another's hunger
        if not path.with_suffix(".died").exists():
            path.with_suffix(".died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
    elif order == "full":
        raise PaperError("no archive", reason="broken-archive") from OSError(errno.ENOSPC, "No space left on device")
    elif order == "raise":
        raise ZeroDivisionError("a bug of ours")
    elif order == "broken":
        raise PaperError("the file is broken", reason="encrypted")


def _read(path: Path, route: str) -> PaperReading:
    figures: list[FoundFigure] = []
    dropped: list[Dropped] = []
    for line in path.read_text().splitlines():
        order, _, rest = line.partition(" ")
        number, _, words = rest.partition(" | ")
        caption, _, mention = words.partition(" | ")
        _misbehave(order, number, path)
        if order == "drop":
            dropped.append(Dropped(item=f"Figure {number}", reason="no-region"))
        elif order in ("figure", "bad-image", "no-image"):
            image = {"figure": picture(number), "bad-image": b"\x89PNG\r\n\x1a\nxx", "no-image": None}[order]
            figures.append(
                FoundFigure(
                    number=number,
                    label=f"Figure {number}",
                    caption=caption,
                    image=image,
                    page=1,
                    mentions=(mention,) if mention else (),
                    route=route,
                )
            )
    return PaperReading(title=f"Title of {path.name}", figures=tuple(figures), dropped=tuple(dropped), pages=1)
