"""The text readers that bench_ocr compares: a figure and its picture in, lines out."""

import importlib.util
import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial

import pypdfium2
from PIL import Image

from benchmarks.true_text import VectorFigure
from llava_graph.record import OcrLine
from ocr import read_text
from ocr.engines import RawLine
from ocr.engines.paddle import MODELS
from ocr.engines.protocol import quad_of
from ocr.read import to_line
from scicap_builder.pdf.inner_text import read_labels
from scicap_builder.pdf.pdfium import OpenPdf
from scicap_builder.pdf.pictures import has_contrast

Reader = Callable[[VectorFigure, Image.Image], Sequence[OcrLine]]


def plain() -> Reader:
    """RapidOCR as its README calls it: all defaults but the number of threads, which is ours."""
    import numpy as np
    from rapidocr import RapidOCR

    one = dict.fromkeys((f"EngineConfig.onnxruntime.{name}_op_num_threads" for name in ("intra", "inter")), 1)
    engine = RapidOCR(params={"Global.log_level": "error", **one})

    def read(_figure: VectorFigure, image: Image.Image) -> list[OcrLine]:
        found = engine(np.asarray(image)[:, :, ::-1])
        if found.boxes is None or found.txts is None:
            return []
        raw = [RawLine(t, quad_of(b), float(s)) for b, t, s in zip(found.boxes, found.txts, found.scores, strict=True)]
        return [line for item in raw if (line := to_line(item, image.size, "plain")) is not None]

    return read


def engine(name: str) -> Reader:
    """One of ours by its name."""
    return lambda _figure, image: read_text(image, name)


def text_layer() -> Reader:
    """What the figure's own PDF knows, as the builder reads it."""

    def read(figure: VectorFigure, image: Image.Image) -> Sequence[OcrLine]:
        with pypdfium2.PdfDocument(figure.pdf) as document:
            page = OpenPdf(document, figure.name).page(1)
            whole = (0.0, 0.0, page.width, page.height)
            return read_labels(page.words, whole, partial(has_contrast, image, whole))

    return read


def _paddle_is_here() -> bool:
    """Installed, with local models: a benchmark downloads nothing."""
    return importlib.util.find_spec("paddleocr") is not None and bool(os.environ.get(MODELS))


READERS: dict[str, Callable[[], Reader]] = {
    "plain": plain,
    "ours": partial(engine, "rapidocr"),
    "fast": partial(engine, "rapidocr-fast"),
    "paddleocr": partial(engine, "paddleocr"),
    "tesseract": partial(engine, "tesseract"),
    "text layer": text_layer,
}
"""Name -> makes the reader. "plain" is RapidOCR with its own defaults, "ours" the same networks as `ocr.read_text` runs them."""


def installed() -> list[str]:
    """The names of those that can run here."""
    missing = {name for name in ("tesseract",) if not shutil.which(name)}
    missing |= set() if _paddle_is_here() else {"paddleocr"}
    return [name for name in READERS if name not in missing]
