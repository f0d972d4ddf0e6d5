"""The one error tree. Every error says what went wrong, where, and what to do next; a command prints it on one line.

LlavaGraphError
  InputError            a value, file or option that a person gave
    RecordError         a figure record with an unknown or wrong field
    ImageError          an image that cannot be opened within our limits
    PaperError          a paper that cannot be read: broken, encrypted, withdrawn, empty
      ArchiveError      an e-print archive that is unsafe or not an archive
    DatasetError        a folder that is not a data set of ours, or a file in it that is broken
    SampleRefused       a training sample that would teach nothing or be cut
    TableRefused        a model's answer that holds no table
  FetchError            the network said no, or nothing
    AccessDenied        arXiv's 403: the whole run stops, nothing is retried
  CheckpointError       a model folder that is incomplete or does not fit
  MissingExtra          an optional package that is not installed
  ServeError            a controller, worker or page that cannot answer; carries FastChat's error code
    KeyRefused          a server that refuses our API key: the whole run stops, nothing is retried
"""

import difflib
from collections.abc import Iterable


class LlavaGraphError(Exception):
    """Base of all errors that this project raises on purpose.

    `what` happened, `where` (a file, a row, an address; may be empty) and `next_step` (what a person can do; may be empty).
    """

    def __init__(self, what: str, *, where: str = "", next_step: str = "") -> None:
        self.what = what
        self.where = where
        self.next_step = next_step
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text.rstrip('.')}. {self.next_step}" if self.next_step else text

    def __reduce__(self) -> tuple:
        """Errors cross process borders (the builder's workers) with all three parts."""
        return _rebuild, (type(self), self.__dict__)


def _rebuild(kind: type[LlavaGraphError], state: dict) -> LlavaGraphError:
    error = kind.__new__(kind)
    error.__dict__.update(state)
    Exception.__init__(error, str(error))
    return error


class InputError(LlavaGraphError):
    """A value, file or option that a person gave cannot be used."""


class RecordError(InputError):
    """A figure record has an unknown field or a wrong value."""


class ImageError(InputError):
    """An image cannot be opened within our limits."""


class PaperError(InputError):
    """A paper cannot be read. `reason` is the short name under which it is counted."""

    def __init__(self, what: str, *, reason: str = "unreadable", where: str = "", next_step: str = "") -> None:
        self.reason = reason
        super().__init__(what, where=where, next_step=next_step)


class ArchiveError(PaperError):
    """An e-print archive is unsafe (traversal, bomb) or no archive at all."""


class DatasetError(InputError):
    """A folder is not a data set of ours, or a file in it is broken."""


class SampleRefused(InputError):
    """A training sample would teach nothing or would be cut. `reason` is the short name under which it is counted."""

    def __init__(self, what: str, *, reason: str, where: str = "", next_step: str = "") -> None:
        self.reason = reason
        super().__init__(what, where=where, next_step=next_step)


class TableRefused(InputError):
    """A model's answer holds no table of a chart. `reason` is the short name under which it is counted."""

    def __init__(self, what: str, *, reason: str, where: str = "", next_step: str = "") -> None:
        self.reason = reason
        super().__init__(what, where=where, next_step=next_step)


class ContextOverflow(InputError):
    """The prompt with its images does not fit the model's context. Nothing is cut off on its own."""


class FetchError(LlavaGraphError):
    """A download failed for good. `reason` is the short name under which it is counted."""

    def __init__(self, what: str, *, reason: str = "fetch-failed", where: str = "", next_step: str = "") -> None:
        self.reason = reason
        super().__init__(what, where=where, next_step=next_step)


class AccessDenied(FetchError):
    """The server forbade access (403). arXiv treats further requests as an attack: the run stops."""


class CheckpointError(LlavaGraphError):
    """A model folder is incomplete, or does not fit what is asked of it."""


class MissingExtra(LlavaGraphError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str, *, needed_for: str) -> None:
        self.package, self.extra = package, extra
        super().__init__(f"{needed_for} needs the package {package!r}", next_step=f"pip install 'llava-graph[{extra}]'")


EXTRA_OF = {
    **dict.fromkeys(("torch", "transformers", "tokenizers", "safetensors", "accelerate"), "model"),
    **dict.fromkeys(("datasets", "peft", "yaml"), "train"),
    **dict.fromkeys(("fastapi", "starlette", "uvicorn", "gradio", "prometheus_client"), "serve"),
    "matplotlib": "charts",
    "paddleocr": "paddle",
    "pytesseract": "tesseract",
    "ray": "ray",
    **dict.fromkeys(("skimage", "sklearn"), "narratives"),
}
"""Package -> the extra of ours that installs it."""


def missing_extra(error: ModuleNotFoundError, *, needed_for: str = "this command") -> MissingExtra | None:
    """The error that names the extra, if the module that was not found is one of an extra's packages."""
    package = (error.name or "").partition(".")[0]
    return MissingExtra(package, EXTRA_OF[package], needed_for=needed_for) if package in EXTRA_OF else None


class ServeError(LlavaGraphError):
    """A request cannot be answered. `code` is FastChat's error code (constants.py `ErrorCode`)."""

    def __init__(self, what: str, *, code: int = 50001, where: str = "", next_step: str = "") -> None:
        self.code = code
        super().__init__(what, where=where, next_step=next_step)


class KeyRefused(ServeError):
    """A server refuses the API key (401, 403). Every further request would be refused too: the run stops."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """'Did you mean 'caption'? Known: …' for an unknown `name`."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return (f"Did you mean {near[0]!r}? " if near else "") + f"Known: {', '.join(known)}"
