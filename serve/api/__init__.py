"""The OpenAI-compatible API: chat about figures with any OpenAI client.

request -> gate.py (key, origin, rate) -> chat_request.py, figure_request.py (checked) -> pictures.py, context.py (prepared)
-> answers.py (asked) -> chat.py (one answer, or events)
"""

from serve.api.app import create_api
from serve.api.keys import ApiKey, configured_keys
from serve.api.options import ApiOptions

__all__ = ["ApiKey", "ApiOptions", "configured_keys", "create_api"]
