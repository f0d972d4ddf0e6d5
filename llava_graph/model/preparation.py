"""How images are prepared. In: a vision tower and the kind of preparation. Out: a processor that travels with the checkpoint.

pad: to a square with the tower's mean colour, then scaled; square: scaled, whatever the shape; anyres: the whole image
and tiles of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llava_graph.chat import IMAGE_TOKEN
from llava_graph.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from transformers import LlavaProcessor, PreTrainedTokenizerBase

    from llava_graph.model.towers import VisionTower

PREPARATIONS = ("pad", "square", "anyres")

LLAVA_GRIDS = ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3))
"""(rows, columns) of tiles in LLaVA 1.6 (336 px: 336 x 672 up to 1008 x 336)."""

PA_LLAVA_GRIDS = tuple(
    (rows, tiles // rows) for tiles in range(4, 9) for rows in range(1, tiles + 1) if tiles % rows == 0
)
"""PA-LLaVA's 15 grids for the scale-invariant connector: every rectangle of four to eight tiles, 1 x 4 to 8 x 1."""

Grids = tuple[tuple[int, int], ...]


def build_processor(
    tower: VisionTower,
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    *,
    preparation: str,
    strategy: str,
    grids: Grids = (),
) -> LlavaProcessor:
    """LlavaProcessor, or LlavaNextProcessor for AnyRes, without torchvision. `grids` (height, width) in px make tiles.

    `strategy` is the model's `vision_feature_select_strategy`.
    """
    from transformers import LlavaNextProcessor, LlavaProcessor
    from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
    from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

    side = {"height": tower.image_size, "width": tower.image_size}
    common: dict[str, Any] = {
        "size": side,
        "crop_size": side,  # nothing is cropped; processors read the number of image tokens from it
        "do_center_crop": False,
        "image_mean": list(tower.mean),
        "image_std": list(tower.std),
        "resample": tower.resample,
    }
    if grids:
        images = LlavaNextImageProcessorPil(image_grid_pinpoints=[list(grid) for grid in grids], **common)
    else:
        images = LlavaImageProcessorPil(do_pad=preparation == "pad", **common)
    kind = LlavaNextProcessor if preparation == "anyres" else LlavaProcessor
    return kind(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=tower.patch_size,
        vision_feature_select_strategy=strategy,
        num_additional_image_tokens=tower.class_tokens,
        chat_template=template,
        image_token=IMAGE_TOKEN,
    )


def grids_in_pixels(tiles: Sequence[tuple[int, int]], side: int) -> Grids:
    """(rows, columns) of tiles of `side` px -> (height, width) in px."""
    return tuple((rows * side, columns * side) for rows, columns in tiles)


def check_grids(grids: Grids, side: int) -> Grids:
    """The grids. Raises InputError when one is no whole number of the tower's images."""
    for grid in grids:
        if len(grid) != 2 or any(length < side or length % side for length in grid):
            raise InputError(
                f"the grid {grid} cannot be cut into the tower's images of {side} px",
                next_step=f"Take multiples of {side}, such as ({side}, {2 * side})",
            )
    return grids


def change_preparation(image_processor: Any, preparation: str) -> None:
    """Let an opened LLaVA checkpoint pad or stretch its images, in place. Raises InputError for what needs another model."""
    if preparation not in PREPARATIONS:
        raise InputError(
            f"unknown image preparation {preparation!r}", next_step=did_you_mean(preparation, PREPARATIONS)
        )
    tiles = hasattr(image_processor, "image_grid_pinpoints")
    if preparation == "anyres" and tiles:
        return
    if preparation == "anyres" or not hasattr(image_processor, "pad_to_square"):
        raise InputError(
            "a checkpoint keeps its tiles" if tiles else f"this checkpoint was not built for {preparation!r} images",
            next_step="Assemble a new model from a language model and a vision tower (--vision_tower)",
        )
    image_processor.do_pad = preparation == "pad"
    if preparation == "square":
        side = int(image_processor.crop_size["height"])
        image_processor.size = type(image_processor.size)(height=side, width=side)
        image_processor.do_center_crop = False
