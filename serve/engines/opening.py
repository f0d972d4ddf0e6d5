"""What a worker is told about its model -> the engine that answers: a checkpoint in this process or a server elsewhere."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llava_graph.errors import InputError
from llava_graph.model.quantize import bits_of
from serve.engines.batching.limits import Limits
from serve.engines.engine import Engine
from serve.engines.upstream.discovery import UpstreamOptions

__all__ = ["EngineChoice", "bits_of", "open_engine"]
log = logging.getLogger(__name__)

OPTIONS = {"device": "--device", "dtype": "--dtype", "bits": "--load-4bit or --load-8bit", "model_base": "--model-base"}
"""Of `EngineChoice`, as the commands call them."""


@dataclass(frozen=True, kw_only=True)
class EngineChoice:
    """Which model, and where it computes."""

    model_path: Path | None = None
    """A checkpoint; None: the packaged one. With `upstream`: the folder whose config.json says how the model is prompted."""
    model_base: Path | None = None
    """Of an adapter; None: the one that it names."""
    device: str | None = None
    dtype: str | None = None
    bits: Literal[4, 8] | None = None
    """Of the language model's weights; None: as they are."""
    upstream: UpstreamOptions | None = None
    upstream_wait_s: float = 0.0
    """How long the server elsewhere may take until it answers."""
    limits: Limits = Limits()
    """How much is computed at once; of a server elsewhere: how many requests are open there, and how many wait here."""


def open_engine(choice: EngineChoice) -> Engine:
    """Ready to answer. Raises CheckpointError, InputError (no such model there), ServeError (no server there)."""
    if choice.upstream is None:
        from llava_graph.explain import Explainer
        from llava_graph.model.load import load
        from serve.engines.in_process import ExplainerEngine

        model = load(
            choice.model_path, base=choice.model_base, device=choice.device, dtype=choice.dtype, bits=choice.bits
        )
        return ExplainerEngine(Explainer(model=model), choice.limits)
    for name in ("device", "dtype", "bits", "model_base"):
        if getattr(choice, name) is not None:
            raise InputError(f"{OPTIONS[name]} is for a model in this process; the upstream server has its own")
    from llava_graph.model.about import about_folder
    from serve.engines.upstream.discovery import discover
    from serve.engines.upstream.engine import UpstreamEngine

    about = about_folder(choice.model_path) if choice.model_path else None
    found = discover(choice.upstream, wait_s=choice.upstream_wait_s, tell=log.warning)
    log.info("%s (%s), %d tokens of context", found.model, found.kind, found.context_length)
    return UpstreamEngine(choice.upstream, found, limits=choice.limits, about=about)
