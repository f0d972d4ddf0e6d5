"""OCR engines behind one protocol, chosen by name. An RGB image in, raw lines in image pixels out."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from PIL import Image

from llava_graph.errors import InputError, MissingExtra, did_you_mean

Quad = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]
"""Four corners in px, clockwise as the text reads: top left, top right, bottom right, bottom left."""


@dataclass(frozen=True, slots=True)
class RawLine:
    """One line as an engine gives it."""

    text: str
    quad: Quad
    confidence: float
    """0..1"""


class Engine(Protocol):
    """Reads one image. Sessions are kept for the life of the process; one call at a time and process."""

    name: str

    def __call__(self, image: Image.Image) -> list[RawLine]:
        """All lines found, in any order."""


def engines() -> tuple[str, ...]:
    """The names of the known engines, the default first."""
    return tuple(_FACTORIES)


@cache
def get_engine(name: str) -> Engine:
    """The engine of that name, one per process. Raises InputError (unknown: lists the known) or MissingExtra."""
    if name not in _FACTORIES:
        raise InputError(f"unknown OCR engine {name!r}", next_step=did_you_mean(name, _FACTORIES))
    return _FACTORIES[name]()


class RapidOcr:
    """RapidOCR 3 (PP-OCRv6 small, ONNX): its models travel inside its wheel, so that nothing is downloaded."""

    name = "rapidocr"

    def __init__(self) -> None:
        try:
            from rapidocr import RapidOCR
        except ImportError as error:
            raise MissingExtra("rapidocr", "all", needed_for="the OCR engine rapidocr") from error
        # Longest side 960 px: as exact as the engine's default on charts, at 0.6 of its time (216 text items in 10 charts).
        # One thread: more were no faster, and `--workers N` must not oversubscribe the cores.
        self._engine = RapidOCR(
            params={
                "Global.log_level": "error",
                "Det.limit_type": "max",
                "Det.limit_side_len": 960,
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def __call__(self, image: Image.Image) -> list[RawLine]:
        import numpy as np

        found = self._engine(np.asarray(image)[:, :, ::-1])
        if found.boxes is None or found.txts is None or found.scores is None:
            return []
        return [
            RawLine(text, _quad(box), min(max(float(score), 0.0), 1.0))
            for box, text, score in zip(found.boxes, found.txts, found.scores, strict=True)
        ]


class Tesseract:
    """Tesseract through pytesseract, page segmentation 11 (sparse text), on an image scaled up 2 x."""

    name = "tesseract"
    SCALE = 2

    def __init__(self) -> None:
        try:
            import pytesseract
        except ImportError as error:
            raise MissingExtra("pytesseract", "tesseract", needed_for="the OCR engine tesseract") from error
        try:
            pytesseract.get_tesseract_version()
        except pytesseract.TesseractNotFoundError as error:
            raise InputError(
                "the program tesseract is not installed", next_step="Install it (Debian: apt install tesseract-ocr)"
            ) from error
        self._tesseract = pytesseract

    def __call__(self, image: Image.Image) -> list[RawLine]:
        scaled = image.resize((image.width * self.SCALE, image.height * self.SCALE), Image.Resampling.LANCZOS)
        data = self._tesseract.image_to_data(scaled, config="--psm 11", output_type=self._tesseract.Output.DICT)
        words: dict[tuple[int, int, int], list[int]] = {}
        for index, text in enumerate(data["text"]):
            if text.strip() and float(data["conf"][index]) >= 0:
                words.setdefault(
                    (data["block_num"][index], data["par_num"][index], data["line_num"][index]), []
                ).append(index)
        return [self._line(data, indices) for indices in words.values()]

    def _line(self, data: dict[str, list], indices: list[int]) -> RawLine:
        x0 = min(data["left"][i] for i in indices) / self.SCALE
        y0 = min(data["top"][i] for i in indices) / self.SCALE
        x1 = max(data["left"][i] + data["width"][i] for i in indices) / self.SCALE
        y1 = max(data["top"][i] + data["height"][i] for i in indices) / self.SCALE
        confidence = min(float(data["conf"][i]) for i in indices) / 100
        text = " ".join(data["text"][i].strip() for i in indices)
        return RawLine(text, ((x0, y0), (x1, y0), (x1, y1), (x0, y1)), confidence)


def _quad(box: object) -> Quad:
    corners = [(float(x), float(y)) for x, y in box]  # type: ignore[attr-defined]
    return (corners[0], corners[1], corners[2], corners[3])


_FACTORIES: dict[str, Callable[[], Engine]] = {RapidOcr.name: RapidOcr, Tesseract.name: Tesseract}
