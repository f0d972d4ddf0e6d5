"""OCR engines behind one protocol, chosen by name."""

import threading
from collections.abc import Callable
from pathlib import Path

from llava_graph.errors import InputError, did_you_mean
from ocr.engines.paddle import PaddleOcr
from ocr.engines.protocol import Engine, Quad, RawLine
from ocr.engines.rapid import RapidOcr, RapidOcrFast
from ocr.engines.tesseract import Tesseract

__all__ = ["Engine", "Quad", "RawLine", "engines", "get_engine"]

_FACTORIES: dict[str, Callable[..., Engine]] = {
    RapidOcr.name: RapidOcr,
    RapidOcrFast.name: RapidOcrFast,
    PaddleOcr.name: PaddleOcr,
    Tesseract.name: Tesseract,
}
WITH_MODELS = (RapidOcr.name, RapidOcrFast.name, PaddleOcr.name)
"""Engines that take a folder of models."""
_made: dict[tuple[str, Path | None], Engine] = {}
_one_at_a_time = threading.Lock()


def engines() -> tuple[str, ...]:
    """The names of the known engines, the default first."""
    return tuple(_FACTORIES)


def get_engine(name: str, model_dir: Path | str | None = None) -> Engine:
    """The engine of that name (and of that folder of models), one per process.

    Raises InputError (an unknown name: lists the known; an engine without models; a folder that holds none) or MissingExtra.
    """
    if name not in _FACTORIES:
        raise InputError(f"unknown OCR engine {name!r}", next_step=did_you_mean(name, _FACTORIES))
    if model_dir is not None and name not in WITH_MODELS:
        raise InputError(f"the engine {name} takes no folder of models", next_step=f"Use {' or '.join(WITH_MODELS)}")
    key = (name, Path(model_dir) if model_dir is not None else None)
    with _one_at_a_time:
        if key not in _made:
            _made[key] = _FACTORIES[name](key[1]) if key[1] is not None else _FACTORIES[name]()
        return _made[key]
