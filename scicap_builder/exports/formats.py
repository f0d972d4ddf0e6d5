"""The layouts by name, and `export`, which writes one."""

from collections.abc import Callable
from pathlib import Path

from llava_graph.dataset import read_dataset
from llava_graph.errors import InputError, did_you_mean
from scicap_builder.exports.contract import Exported, ExportOptions, Tally
from scicap_builder.exports.imagefolder import to_imagefolder
from scicap_builder.exports.llava_json import to_llava_json
from scicap_builder.exports.native import to_jsonl
from scicap_builder.exports.pdffigures2 import to_pdffigures2
from scicap_builder.exports.scicap import to_scicap
from scicap_builder.exports.scicap_challenge import to_scicap_challenge

Write = Callable[[Path, Path, ExportOptions, Tally], None]
"""(data set, place to write, options, counts to fill)"""

FORMATS: dict[str, Write] = {
    "jsonl": to_jsonl,
    "llava-json": to_llava_json,
    "imagefolder": to_imagefolder,
    "scicap": to_scicap,
    "scicap-challenge": to_scicap_challenge,
    "pdffigures2": to_pdffigures2,
}
DEFAULT_OPTIONS = ExportOptions()


def export(folder: Path | str, out: Path | str, form: str, options: ExportOptions = DEFAULT_OPTIONS) -> Exported:
    """Write the data set `folder` to `out` as `form`, one of FORMATS.

    Raises InputError (unknown format, `out` exists, no folder of PDFs where the format needs one) and DatasetError.
    """
    if form not in FORMATS:
        raise InputError(f"unknown format {form!r}", next_step=did_you_mean(form, FORMATS))
    out = Path(out)
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise InputError("it exists already", where=str(out), next_step="Give another place, or delete it")
    next(read_dataset(folder, images=False), None)  # what is no data set is refused before anything is written
    tally = Tally()
    FORMATS[form](Path(folder), out, options, tally)
    return tally.at(out)
