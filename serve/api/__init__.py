"""The OpenAI-compatible API: chat about figures with any OpenAI client.

request -> gate.py (key, origin, rate) -> chat_request.py, figure_request.py (checked) -> pictures.py, context.py (prepared)
-> answers.py (asked) -> chat.py (one answer, or events)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serve.api.app import create_api
    from serve.api.keys import ApiKey, configured_keys
    from serve.api.options import ApiOptions

__all__ = ["ApiKey", "ApiOptions", "configured_keys", "create_api"]

_DOORS = {"ApiKey": "keys", "ApiOptions": "options", "configured_keys": "keys", "create_api": "app"}


def __getattr__(name: str) -> Any:
    """Opened when asked for: the command's options are known without what the API is built of."""
    if name not in _DOORS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"serve.api.{_DOORS[name]}"), name)
