"""From papers and published data sets to figure records: fetch, read, write a data set."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scicap_builder.one_paper import open_paper
    from scicap_builder.pipeline import build
    from scicap_builder.sources import SOURCES

__all__ = ["SOURCES", "build", "open_paper"]


def __getattr__(name: str) -> Any:
    """The public names load what they need when they are asked for."""
    if name == "build":
        from scicap_builder.pipeline import build

        return build
    if name == "open_paper":
        from scicap_builder.one_paper import open_paper

        return open_paper
    if name == "SOURCES":
        from scicap_builder.sources import SOURCES

        return SOURCES
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
