"""Serving: FastChat's controller and worker, the OpenAI-compatible API and the web page. HTTP is the only way between them."""

TYPE_CHECKING = False
"""Not that of `typing`: the command waits for Ctrl-C (`serve.__main__`) before that is imported."""

if TYPE_CHECKING:
    from serve.api.app import create_api
    from serve.controller.app import create_controller
    from serve.web import create_web
    from serve.worker.app import create_worker

__all__ = ["create_api", "create_controller", "create_web", "create_worker"]

_DOORS = {
    "create_api": "serve.api.app",
    "create_controller": "serve.controller.app",
    "create_web": "serve.web",
    "create_worker": "serve.worker.app",
}


def __getattr__(name: str) -> object:
    """The doors, opened when asked for: without the extra [serve] the command can still say what is missing."""
    if name not in _DOORS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_DOORS[name]), name)
