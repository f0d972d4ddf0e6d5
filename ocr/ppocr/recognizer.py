"""What a line says: pictures of single lines in, characters with their places out. CTC as in PP-OCR (Shi et al., CRNN, 2015)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ocr.ppocr.detector import Pixels

Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""(n, 3, 48, W) in -1..1 -> (n, T, characters) in 0..1."""
LINE_PX = 48
"""Height of a line in the network."""
WIDEST_PX = 3200
LEAST_PX = 48
BATCH_PX = 2400
"""Widths of the lines that go through the network together: about 100 MB."""
PADDED = 1.15
"""Lines go together when none is padded to more than this many times its width: padding costs as much as text."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The characters of a line, how sure each is (0..1), and where its middle is (0..1 of the line's width)."""

    text: str
    sure: tuple[float, ...]
    places: tuple[float, ...]

    @property
    def confidence(self) -> float:
        """The mean over the characters; 0 where there is none."""
        return sum(self.sure) / len(self.sure) if self.sure else 0.0


def recognize(lines: Sequence[Pixels], network: Network, characters: Sequence[str]) -> list[Reading]:
    """One reading a line, in their order. `characters`: what each output but the first (blank) stands for."""
    widths = [min(WIDEST_PX, max(8, round(LINE_PX * line.shape[1] / line.shape[0]))) for line in lines]
    readings: dict[int, Reading] = {}
    for batch in _batches(widths):
        width = max(LEAST_PX, -(-max(widths[i] for i in batch) // 8) * 8)
        pixels = np.zeros((len(batch), 3, LINE_PX, width), np.float32)
        for row, index in enumerate(batch):
            scaled = cv2.resize(lines[index], (widths[index], LINE_PX))
            pixels[row, :, :, : widths[index]] = scaled.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
        for index, probabilities in zip(batch, network(pixels), strict=True):
            readings[index] = _decode(probabilities, characters, width / widths[index])
    return [readings[index] for index in range(len(lines))]


def _batches(widths: Sequence[int]) -> list[list[int]]:
    batches: list[list[int]] = []
    for index in sorted(range(len(widths)), key=lambda i: widths[i]):
        if batches:
            least = max(LEAST_PX, widths[batches[-1][0]])
            if widths[index] <= PADDED * least and widths[index] * (len(batches[-1]) + 1) <= BATCH_PX:
                batches[-1].append(index)
                continue
        batches.append([index])
    return batches


def _decode(probabilities: NDArray[np.float32], characters: Sequence[str], padded: float) -> Reading:
    """The likeliest output of each column; repeats and blanks (0) are no characters."""
    best = probabilities.argmax(axis=1)
    kept = np.flatnonzero((best != 0) & (best != np.concatenate(([0], best[:-1]))))
    return Reading(
        "".join(characters[best[i] - 1] for i in kept),
        tuple(float(probabilities[i, best[i]]) for i in kept),
        tuple(float(min(1.0, (i + 0.5) / len(best) * padded)) for i in kept),
    )
