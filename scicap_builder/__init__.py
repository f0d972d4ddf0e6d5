"""From papers to figure records: fetch, read, write a data set."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scicap_builder.one_paper import open_paper
    from scicap_builder.pipeline import build

__all__ = ["build", "open_paper"]


def __getattr__(name: str) -> Any:
    """The public names load what they need when they are asked for."""
    if name == "build":
        from scicap_builder.pipeline import build

        return build
    if name == "open_paper":
        from scicap_builder.one_paper import open_paper

        return open_paper
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
