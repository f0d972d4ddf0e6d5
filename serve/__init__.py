"""Serving: FastChat's controller and worker, and the web page. HTTP is the only way between them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serve.controller import create_controller
    from serve.web import create_web
    from serve.worker import create_worker

__all__ = ["create_controller", "create_web", "create_worker"]


def __getattr__(name: str) -> Any:
    """The three doors, opened when asked for: without the extra [serve] the command can still say what is missing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"serve.{name.removeprefix('create_')}"), name)
