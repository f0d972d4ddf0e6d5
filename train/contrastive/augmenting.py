"""Images of a contrastive run as each epoch shows them. In: a PIL image and a source of chance. Out: a square PIL image.

RandomResizedCrop, flip and RandAugment (Cubuk et al. 2020) with the operations and strengths of ALBEF's and BLIP's pretraining,
done by Pillow alone.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageEnhance, ImageOps

OPERATIONS = 2
"""Of RandAugment, for each image (N)."""
CHANCE = 0.5
"""That each of them is done at all."""
MAX_LEVEL = 10
GREY = (128, 128, 128)
"""Where a shear, shift or turn shows nothing of the image."""
SIDED = re.compile(r"\b(left|right)\b", re.IGNORECASE)
"""Words of a caption that a flipped image would make untrue."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far an epoch's image may be from the original."""

    smallest_crop: float = 0.5
    """Share of the image's area that a crop has at least, 0..1; 1 leaves the whole image, squashed."""
    level: int = 5
    """Strength of RandAugment, 0..10 (M); 0: none of it."""
    flip: bool = True

    def show(self, image: Image.Image, caption: str, side: int, resample: int, chance: random.Random) -> Image.Image:
        """`image` as a square of `side` px."""
        box = _crop(image.size, self.smallest_crop, chance)
        shown = image.resize((side, side), resample=Image.Resampling(resample), box=box)
        if self.flip and chance.random() < 0.5 and not SIDED.search(caption):
            shown = ImageOps.mirror(shown)
        if not self.level:
            return shown
        for operation in chance.choices(list(CHANGES.values()), k=OPERATIONS):
            if chance.random() < CHANCE:
                shown = operation(shown, self.level / MAX_LEVEL * chance.choice((-1, 1)))
        return shown


def _crop(size: tuple[int, int], smallest: float, chance: random.Random) -> tuple[float, float, float, float]:
    """A box of `smallest` … 1 of the area and 3:4 … 4:3 in its sides, as torchvision's RandomResizedCrop draws it."""
    width, height = size
    for _ in range(10 if smallest < 1 else 0):
        area = width * height * chance.uniform(smallest, 1)
        ratio = math.exp(chance.uniform(math.log(3 / 4), math.log(4 / 3)))
        wide, high = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if wide <= width and high <= height:
            left, top = chance.uniform(0, width - wide), chance.uniform(0, height - high)
            return left, top, left + wide, top + high
    return 0, 0, width, height


def _affine(image: Image.Image, *numbers: float) -> Image.Image:
    return image.transform(
        image.size, Image.Transform.AFFINE, numbers, resample=Image.Resampling.BILINEAR, fillcolor=GREY
    )


def _enhance(
    kind: type[ImageEnhance.Brightness | ImageEnhance.Sharpness],
) -> Callable[[Image.Image, float], Image.Image]:
    return lambda image, level: kind(image).enhance(abs(level) * 1.8 + 0.1)


CHANGES: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "identity": lambda image, _: image,
    "autocontrast": lambda image, _: ImageOps.autocontrast(image),
    "brightness": _enhance(ImageEnhance.Brightness),
    "sharpness": _enhance(ImageEnhance.Sharpness),
    "equalize": lambda image, _: ImageOps.equalize(image),
    "shear-x": lambda image, level: _affine(image, 1, 0.3 * level, 0, 0, 1, 0),
    "shear-y": lambda image, level: _affine(image, 1, 0, 0, 0.3 * level, 1, 0),
    "translate-x": lambda image, level: _affine(image, 1, 0, 10 * level, 0, 1, 0),
    "translate-y": lambda image, level: _affine(image, 1, 0, 0, 0, 1, 10 * level),
    "rotate": lambda image, level: image.rotate(30 * level, resample=Image.Resampling.BILINEAR, fillcolor=GREY),
}
"""Operation -> what it does at a level of -1 … 1: shears up to 0.3, shifts to 10 px, turns to 30 degrees, brightness and
sharpness 0.1 … 1.9 times."""
