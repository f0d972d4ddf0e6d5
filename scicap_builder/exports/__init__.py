"""A data set -> the layouts that other tools read; one file a layout. `docs/exports.md` tells each with its limits."""

from scicap_builder.exports.contract import IMAGES, Exported, ExportOptions
from scicap_builder.exports.formats import FORMATS, export

__all__ = ["FORMATS", "IMAGES", "ExportOptions", "Exported", "export"]
