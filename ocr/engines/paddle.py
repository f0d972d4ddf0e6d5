"""PaddleOCR 3.x: its own download of models, or local folders."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from llava_graph.errors import InputError, MissingExtra
from ocr.engines.protocol import RawLine, quad_of
from ocr.engines.rapid import threads

MODELS = "LLAVA_GRAPH_PADDLE_MODELS"
"""Environment: a folder with the folders `det` and `rec` of models."""
KINDS = {"det": "text_detection", "rec": "text_recognition"}


class PaddleOcr:
    """Models in `model_dir` (or in $LLAVA_GRAPH_PADDLE_MODELS): the folders `det` and `rec`, each with an `inference.yml` and
    either ONNX or Paddle files. Without a folder PaddleOCR downloads its own at the first use."""

    name = "paddleocr"

    def __init__(self, model_dir: Path | None = None, **options: Any) -> None:
        """`options` go to `paddleocr.PaddleOCR` as they are. Raises MissingExtra, and InputError for a folder without models."""
        try:
            from paddleocr import PaddleOCR
        except ImportError as error:
            raise MissingExtra("paddleocr", "paddle", needed_for="the OCR engine paddleocr") from error
        folder = model_dir or (Path(os.environ[MODELS]) if os.environ.get(MODELS) else None)
        settings: dict[str, Any] = {
            "use_doc_orientation_classify": False,
            "use_doc_unwarping": False,
            "use_textline_orientation": folder is None,
            "device": "cpu",
            "cpu_threads": threads(),
        }
        if folder is not None:
            settings |= local_models(folder)
        self._engine = PaddleOCR(**(settings | options))

    def __call__(self, image: Image.Image) -> list[RawLine]:
        import numpy as np

        return [line for page in self._engine.predict(np.asarray(image)[:, :, ::-1]) for line in lines_of(page)]


def local_models(folder: Path) -> dict[str, str]:
    """The arguments of `paddleocr.PaddleOCR` for the models in `folder`. Raises InputError."""
    found: dict[str, str] = {}
    for kind, argument in KINDS.items():
        config = folder / kind / "inference.yml"
        if not config.exists():
            raise InputError(
                "there is no inference.yml", where=str(folder / kind), next_step="See docs/ocr.md, PaddleOCR"
            )
        name = re.search(r"^\s*model_name:\s*(\S+)", config.read_text(encoding="utf-8"), re.MULTILINE)
        if name is None:
            raise InputError("inference.yml names no model", where=str(config))
        found |= {f"{argument}_model_name": name[1].strip("'\""), f"{argument}_model_dir": str(folder / kind)}
    if all((folder / kind / "inference.onnx").exists() for kind in KINDS):
        found["engine"] = "onnxruntime"
    return found


def lines_of(page: Mapping[str, Any]) -> list[RawLine]:
    """The lines in PaddleOCR's result for one image: `rec_texts`, `rec_scores` and `rec_polys` (4 corners each, px)."""
    rows: Sequence[tuple[str, float, Any]] = list(
        zip(page["rec_texts"], page["rec_scores"], page["rec_polys"], strict=True)
    )
    return [RawLine(t, quad_of(p), min(max(float(s), 0.0), 1.0)) for t, s, p in rows if t.strip()]
