"""The default engine: the networks in RapidOCR's wheel (PP-OCRv6 small), run with ONNX Runtime the way figures need it."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from llava_graph.errors import InputError, MissingExtra
from ocr.engines.protocol import RawLine, quad_of

if TYPE_CHECKING:
    from ocr.ppocr import Line, Reader

THREADS = "LLAVA_GRAPH_OCR_THREADS"
"""Environment: threads of one session. 1 by default, so that `--workers N` uses N cores and not N times all of them."""


class RapidOcr:
    """PP-OCR in ONNX files: those in RapidOCR's wheel, so that nothing is downloaded, or those in `model_dir`."""

    name = "rapidocr"
    fast = False

    def __init__(self, model_dir: Path | None = None) -> None:
        self._reader = _reader(model_dir)

    def __call__(self, image: Image.Image) -> list[RawLine]:
        return [_raw(line) for line in self._reader.read(image, fast=self.fast)]


class RapidOcrFast(RapidOcr):
    """The same at a quarter of the time or less: one coarse look at the image."""

    name = "rapidocr-fast"
    fast = True


def threads() -> int:
    """Threads that one session may use. Raises InputError."""
    value = os.environ.get(THREADS, "1")
    if not value.isdigit() or int(value) < 1:
        raise InputError(f"{THREADS} must be a number from 1 on, got {value!r}")
    return int(value)


@cache
def _reader(model_dir: Path | None) -> "Reader":
    """One pair of sessions a process, whichever setting uses it."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra("onnxruntime", "all", needed_for="the OCR engine rapidocr") from error
    from ocr.ppocr import Reader

    folder = model_dir or _wheel_folder()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads()
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False  # it would keep the memory of the largest image for ever
    networks = [
        onnxruntime.InferenceSession(str(_model(folder, kind)), options, providers=["CPUExecutionProvider"])
        for kind in ("det", "rec")
    ]
    characters = networks[1].get_modelmeta().custom_metadata_map.get("character", "").splitlines()
    if not characters:
        raise InputError(
            "the recognition model lists no characters", where=str(folder), next_step="Use RapidOCR's files"
        )
    return Reader(_runner(networks[0]), _runner(networks[1]), (*characters, " "))


def _wheel_folder() -> Path:
    try:
        import rapidocr
    except ImportError as error:
        raise MissingExtra("rapidocr", "all", needed_for="the OCR engine rapidocr") from error
    return Path(rapidocr.__file__).parent / "models"


def _model(folder: Path, kind: str) -> Path:
    """The one ONNX file in `folder` whose name tells that it detects ("det") or recognizes ("rec")."""
    found = sorted(folder.glob(f"*_{kind}_*.onnx"))
    if not found:
        raise InputError(f"there is no model *_{kind}_*.onnx", where=str(folder))
    return found[-1]


def _runner(session: Any) -> Callable[[Any], Any]:
    name = session.get_inputs()[0].name
    return lambda pixels: session.run(None, {name: pixels})[0]


def _raw(line: "Line") -> RawLine:
    turned = round(-line.slant.angle / 90) * 90 % 360
    return RawLine(line.text, quad_of(line.slant.corners(line.box)), min(max(line.confidence, 0.0), 1.0), turned)
