"""The web page: a figure and a caption in, an explanation out, and then a conversation about it."""

from serve.web.app import WebOptions, create_web

__all__ = ["WebOptions", "create_web"]
