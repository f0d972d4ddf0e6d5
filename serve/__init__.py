"""Serving: FastChat's controller and worker, and the web page. HTTP is the only way between them."""

from serve.controller import create_controller
from serve.web import create_web
from serve.worker import create_worker

__all__ = ["create_controller", "create_web", "create_worker"]
