"""Tesseract through pytesseract."""

from typing import Any

from PIL import Image

from llava_graph.errors import InputError, MissingExtra
from ocr.engines.protocol import RawLine


class Tesseract:
    """Page segmentation 11 (sparse text), on an image scaled up 2 x where that stays within MOST_PX."""

    name = "tesseract"
    SCALE = 2
    MOST_PX = 24e6
    """Larger images are not scaled up, or scaled down to it: Tesseract takes some 20 bytes a px."""
    LEAST_SIDE = 40
    """px; below it Tesseract refuses images."""

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
        scale = min(self.SCALE, (self.MOST_PX / (image.width * image.height)) ** 0.5)
        size = [max(self.LEAST_SIDE, round(side * scale)) for side in image.size]
        scaled = image.resize((size[0], size[1]), Image.Resampling.LANCZOS)
        data = self._tesseract.image_to_data(scaled, config="--psm 11", output_type=self._tesseract.Output.DICT)
        words: dict[tuple[int, int, int], list[int]] = {}
        for index, text in enumerate(data["text"]):
            if text.strip() and float(data["conf"][index]) >= 0:
                key = (data["block_num"][index], data["par_num"][index], data["line_num"][index])
                words.setdefault(key, []).append(index)
        across, down = image.width / size[0], image.height / size[1]
        return [_line(data, indices, (across, down)) for indices in words.values()]


def _line(data: dict[str, list[Any]], indices: list[int], factors: tuple[float, float]) -> RawLine:
    x0 = min(data["left"][i] for i in indices) * factors[0]
    y0 = min(data["top"][i] for i in indices) * factors[1]
    x1 = max(data["left"][i] + data["width"][i] for i in indices) * factors[0]
    y1 = max(data["top"][i] + data["height"][i] for i in indices) * factors[1]
    confidence = min(max(min(float(data["conf"][i]) for i in indices) / 100, 0.0), 1.0)
    text = " ".join(data["text"][i].strip() for i in indices)
    return RawLine(text, ((x0, y0), (x1, y0), (x1, y1), (x0, y1)), confidence)
