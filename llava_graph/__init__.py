"""The floor under every room: figure record, prompt, model, explanation. Loads no torch until a model is asked for."""

from typing import TYPE_CHECKING, Any

from llava_graph.dataset import read_dataset, write_dataset
from llava_graph.prompt import build_messages
from llava_graph.record import Figure

if TYPE_CHECKING:
    from llava_graph.explain import Explainer

__all__ = ["Explainer", "Figure", "build_messages", "read_dataset", "write_dataset"]


def __getattr__(name: str) -> Any:
    if name == "Explainer":
        from llava_graph.explain import Explainer

        return Explainer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
