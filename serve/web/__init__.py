"""The web page: a figure and a caption in, an explanation out, and then a conversation about it."""

from serve.web.app import create_web
from serve.web.options import WebOptions

__all__ = ["WebOptions", "create_web"]
