"""What a worker is told about its model -> the engine that answers: a checkpoint in this process or a server elsewhere."""

import logging
from dataclasses import dataclass
from pathlib import Path

from llava_graph.errors import InputError
from serve.engines.engine import BlockingEngine, SchedulingEngine
from serve.engines.upstream.discovery import UpstreamOptions

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EngineChoice:
    """Which model, and where it computes."""

    model_path: Path | None = None
    """A checkpoint; None: the packaged one. With `upstream`: the folder whose config.json says how the model is prompted."""
    device: str | None = None
    upstream: UpstreamOptions | None = None
    upstream_wait_s: float = 0.0
    """How long the server elsewhere may take until it answers."""
    limit: int = 5
    """Answers at once."""
    max_waiting: int = 20


def open_engine(choice: EngineChoice) -> BlockingEngine | SchedulingEngine:
    """Ready to answer. Raises CheckpointError, InputError (no such model there), ServeError (no server there)."""
    if choice.upstream is None:
        from llava_graph.explain import Explainer
        from serve.engines.in_process import ExplainerEngine

        return ExplainerEngine(Explainer(choice.model_path, device=choice.device))
    if choice.device is not None:
        raise InputError("--device is for a model in this process; the upstream server has its own")
    from llava_graph.model.about import about_folder
    from serve.engines.upstream.discovery import discover
    from serve.engines.upstream.engine import UpstreamEngine

    about = about_folder(choice.model_path) if choice.model_path else None
    found = discover(choice.upstream, wait_s=choice.upstream_wait_s, tell=log.warning)
    log.info("%s on a %s server, %d tokens of context", found.model, found.kind, found.context_length)
    return UpstreamEngine(choice.upstream, found, limit=choice.limit, max_waiting=choice.max_waiting, about=about)
