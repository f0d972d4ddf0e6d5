"""The files of a data set that lie on the Hugging Face hub, into a folder that `import` reads.

In: a source. Out: its files, and a ledger with a line a file. What is there whole is not asked for again, half a file goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from llava_graph.errors import AccessDenied, FetchError, InputError, MissingExtra
from scicap_builder.progress import tell
from scicap_builder.sources.contract import Source
from scicap_builder.sources.ledger import Ledger

LEDGER = "download.ledger.jsonl"
SAVED = "saved"
GIVES_UP_AFTER = 5
"""Files in a row that could not be had: the hub is down, not the files."""
NOT_DATA = (".gitattributes", ".gitignore")


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of the repository."""

    name: str
    size: int
    """Bytes; -1 where the hub does not say."""


@dataclass(kw_only=True)
class Downloaded:
    """What a run came to."""

    revision: str
    files: int
    there: int
    """Of these, whole on disk before."""
    counts: Counter[str] = field(default_factory=Counter)
    """what became of the others -> how many"""


def repository(source: Source) -> str:
    """`owner/name` on the hub. Raises InputError where the data set is published elsewhere."""
    if not source.hub:
        raise InputError(
            f"{source.name} does not lie on the hub", next_step=f"Its publishers give it out at {source.home}"
        )
    return source.hub


def listed(source: Source, only: Sequence[str] = (), *, endpoint: str | None = None) -> tuple[str, list[HubFile]]:
    """(revision, the files whose names match one of `only`; all without one), by name.

    Raises MissingExtra, AccessDenied (terms to accept, no token), FetchError, InputError (nothing matches).
    """
    name = repository(source)
    api, errors = _hub()
    try:
        found = api(endpoint=endpoint).dataset_info(name, files_metadata=True)
    except Exception as error:
        raise _told(error, errors, source) from error
    names = [(one.rfilename, -1 if one.size is None else int(one.size)) for one in found.siblings or ()]
    files = sorted(
        (HubFile(file, size) for file, size in names if _is_data(file) and (not only or _matches(file, only))),
        key=lambda file: file.name,
    )
    if not files:
        there = ", ".join(sorted(file for file, _ in names)[:8])
        raise InputError(f"no file of {name} matches {', '.join(only) or 'data'}", next_step=f"There are: {there}")
    return str(found.sha), files


def download(source: Source, root: Path, only: Sequence[str] = (), *, endpoint: str | None = None) -> Downloaded:
    """Fetch the files of `source` into `root`; a file that cannot be had costs itself and is asked for by the next run.

    Raises as `listed` does, and FetchError after five files in a row without an answer.
    """
    revision, files = listed(source, only, endpoint=endpoint)
    root.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(root / LEDGER)
    known = {line["file"]: line for line in ledger.lines() if isinstance(line.get("file"), str)}
    whole = {file.name for file in files if _is_whole(root, file, known.get(file.name), revision)}
    done = Downloaded(revision=revision, files=len(files), there=len(whole))
    silent = 0
    for number, file in enumerate(files):
        tell(f"files ({done.counts[SAVED]} fetched)", number, len(files))
        if file.name in whole:
            continue
        try:
            _fetch(source, root, file.name, revision, endpoint, anew=file.name in known)
        except AccessDenied:
            raise
        except FetchError as error:
            done.counts[error.reason] += 1
            ledger.add({"file": file.name, "status": error.reason, "bytes": 0, "revision": revision})
            silent += 1
            if silent >= GIVES_UP_AFTER:
                error.next_step = "Run the same command again later; what is there stays"
                raise
            continue
        silent = 0
        done.counts[SAVED] += 1
        size = (root / file.name).stat().st_size
        ledger.add({"file": file.name, "status": SAVED, "bytes": size, "revision": revision})
    return done


def _fetch(source: Source, root: Path, file: str, revision: str, endpoint: str | None, *, anew: bool) -> None:
    """`anew`: what lies there under that name is not what was fetched."""
    from huggingface_hub import hf_hub_download

    try:
        hf_hub_download(
            repository(source),
            file,
            repo_type="dataset",
            revision=revision,
            local_dir=root,
            endpoint=endpoint,
            force_download=anew and (root / file).exists(),
        )
    except Exception as error:
        raise _told(error, _hub()[1], source) from error


def _told(error: Exception, errors: Any, source: Source) -> Exception:
    """The hub's error as ours; one of ours, or of the machine's, as it is."""
    said = " ".join(str(error).split())[:200]
    if isinstance(error, errors.GatedRepoError) or getattr(getattr(error, "response", None), "status_code", 0) in (
        401,
        403,
    ):
        return AccessDenied(
            f"the hub gives {source.hub} to those who have accepted its terms",
            where=source.home,
            next_step="Accept them there, and set HF_TOKEN",
        )
    if isinstance(error, errors.HfHubHTTPError | errors.LocalEntryNotFoundError | ConnectionError):
        return FetchError(f"the hub did not give it ({said})", where=source.hub, reason="no-answer")
    if type(error).__module__.split(".")[0] in ("httpx", "requests", "httpcore", "httpx2"):
        return FetchError(f"the hub cannot be reached ({said})", where=source.hub, reason="no-answer")
    return error


def _hub() -> tuple[Any, Any]:
    try:
        from huggingface_hub import HfApi, errors
    except ImportError as error:
        raise MissingExtra("huggingface_hub", "train", needed_for="the hub's files") from error
    return HfApi, errors


def _is_data(file: str) -> bool:
    """Whether it is no file of the repository's own; names that lead out of the folder are none of ours."""
    path = PurePosixPath(file)
    return path.name not in NOT_DATA and not path.is_absolute() and ".." not in path.parts and path.parts[0] != ".cache"


def _matches(file: str, only: Sequence[str]) -> bool:
    return any(fnmatch(file, pattern) or fnmatch(PurePosixPath(file).name, pattern) for pattern in only)


def _is_whole(root: Path, file: HubFile, line: dict[str, Any] | None, revision: str) -> bool:
    """Fetched before, of this revision, and as long as it was then."""
    path = root / file.name
    if line is None or line.get("status") != SAVED or line.get("revision") != revision or not path.is_file():
        return False
    return path.stat().st_size == line.get("bytes")
