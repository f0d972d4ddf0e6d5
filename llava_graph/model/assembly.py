"""What a new LLaVA is made of, as values that are checked before anything is read."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llava_graph.errors import InputError, did_you_mean
from llava_graph.model.preparation import PREPARATIONS, Grids

CONNECTORS = ("linear", "mlp2x_gelu", "scale_invariant")
MLP = re.compile(r"mlp([1-9])x_gelu")

FEATURES = ("patch", "cls_patch")
NUMBER_FORMATS = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """What a new model is made of. Names are folders or owner/name on the hub."""

    language_model: str
    vision_tower: str
    connector: str = "mlp2x_gelu"
    """linear, mlpNx_gelu or scale_invariant."""
    select_layer: int = -2
    """Layer of the vision tower whose output is read; LLaVA reads the last but one."""
    select_feature: str = "patch"
    """patch: without the tower's class token; cls_patch: with it."""
    preparation: str = "pad"
    """pad, square or anyres."""
    grid_pinpoints: Grids = ()
    """(height, width) in px for tiles. Empty: LLaVA 1.6's, scaled to the tower; for scale_invariant PA-LLaVA's."""
    template: str | None = None
    """Jinja source of the chat template. None: ChatML if the language model knows it, else Vicuna's."""
    adapter: str | None = None
    """A trained connector to begin with."""
    im_start_end: bool = False
    """Write <im_start> and <im_end> around each image."""
    new_tokens: tuple[str, ...] = ()
    dtype: str = "auto"
    """Number format of the weights; auto: the language model's."""
    seed: int = 0
    """Of the new connector's weights."""

    def __post_init__(self) -> None:
        if not MLP.fullmatch(self.connector) and self.connector not in CONNECTORS:
            raise InputError(
                f"unknown connector {self.connector!r}", next_step=f"Known: {', '.join(CONNECTORS)}, mlpNx_gelu"
            )
        for what, value, known in (
            ("image preparation", self.preparation, PREPARATIONS),
            ("feature of the vision tower", self.select_feature, FEATURES),
            ("number format", self.dtype, NUMBER_FORMATS),
        ):
            if value not in known:
                raise InputError(f"unknown {what} {value!r}", next_step=did_you_mean(value, known))
        if self.preparation == "anyres" and not self.stock:
            raise InputError(
                f"AnyRes images go through transformers' LLaVA-NeXT, which has no {self.connector} connector",
                next_step="Take linear or mlp2x_gelu, or another image preparation",
            )
        if self.grid_pinpoints and not self.tiles:
            raise InputError("grids are given, but the images are not tiled", next_step="Take anyres")

    def check_layer(self, layers: int) -> None:
        """Raises InputError when a tower of `layers` layers has no `select_layer`; state 0 is before the first layer."""
        if not (1 <= self.select_layer <= layers or -layers <= self.select_layer <= -1):
            raise InputError(
                f"layer {self.select_layer} of the vision tower cannot be read: it has {layers}",
                where=self.vision_tower,
                next_step=f"Give -{layers} to -1, or 1 to {layers} (-2: the last but one)",
            )

    @property
    def stock(self) -> bool:
        """Whether transformers' own classes have such a connector."""
        return self.connector in ("linear", "mlp1x_gelu", "mlp2x_gelu")

    @property
    def tiles(self) -> bool:
        """Whether the model is shown tiles of an image beside the whole."""
        return self.preparation == "anyres" or self.connector == "scale_invariant"

    @property
    def fingerprint(self) -> str:
        """The same for the same parts."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @property
    def about(self) -> dict[str, Any]:
        """What the checkpoint says of itself."""
        parts = {"language_model": self.language_model, "vision_tower": self.vision_tower}
        named = {part: name if not Path(name).exists() else Path(name).resolve().name for part, name in parts.items()}
        return {
            "name": f"llava-{Path(named['language_model']).name}",
            "description": f"{named['language_model']} with {named['vision_tower']} and a {self.connector} connector"
            + ("." if self.adapter else ", which is not trained yet."),
            "assembled": {**named, "connector": self.connector, "fingerprint": self.fingerprint},
        }
