"""FastChat's wire protocol between workers and controllers: registrations and status. JSON in, frozen, checked values out."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from llava_graph.errors import InputError
from serve.protocol.fields import invalid, mapping, number, text, whole

PENDING = "X-LLaVA-Graph-Pending"
"""Header of our controller's answer to a worker that it cannot reach yet. The body is null, as FastChat's always is."""
CONTROLLER = "X-LLaVA-Graph-Controller"
"""Header of our controller's answers to workers: its id, which it draws at its start. FastChat's has none."""


MAX_NAMES, MAX_NAME_CHARS = 256, 256
"""Of models that one worker, or one controller as a worker, serves. Names stand in pages, logs and labels."""


def _is_name(value: Any) -> bool:
    """One that stands in a path (/v1/models/NAME) as it is: clients take `.` and `..` out of those."""
    well_formed = isinstance(value, str) and 0 < len(value) <= MAX_NAME_CHARS and value.isprintable()
    return well_formed and not {".", ".."} & set(value.split("/"))


def checked_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names that a person gave. Raises InputError."""
    if len(names) > MAX_NAMES:
        raise InputError(f"{len(names)} names of models are too many; at most {MAX_NAMES}")
    for name in names:
        if not _is_name(name):
            raise InputError(
                f"{name[:80]!r} cannot be a model's name: up to {MAX_NAME_CHARS} printable characters, without /./ and /../",
                next_step="Give another one with --model-names",
            )
    return tuple(names)


MAX_ROUTES, MAX_PATH = 256, 8
"""Of one controller's status; controllers in a row."""


@dataclass(frozen=True)
class Route:
    """Models that a controller serves, and through which controllers."""

    path: tuple[str, ...]
    """Ids of the controllers between it and the worker, the nearest first; empty: its own workers."""
    model_names: tuple[str, ...]
    speed: float
    queue_length: int


@dataclass(frozen=True)
class WorkerStatus:
    """What a worker says about itself: /worker_get_status. A controller of ours, which may be one too, adds who it is."""

    model_names: tuple[str, ...]
    speed: float = 1
    queue_length: int = 0
    controller: str = ""
    """Id of a controller of ours."""
    routes: tuple[Route, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As FastChat writes it; what a controller of ours adds, FastChat's passes over."""
        told = {"model_names": list(self.model_names), "speed": self.speed, "queue_length": self.queue_length}
        if not self.controller:
            return told
        return told | {"controller": self.controller, "routes": [asdict(route) for route in self.routes]}

    def without(self, asker: str) -> "WorkerStatus":
        """A controller's word without what it has through the controller `asker`: two of them would keep dead models alive.

        Raises ServeError 40001 when nothing is left.
        """
        if not self.controller:
            return self
        routes = tuple(route for route in self.routes if asker not in route.path and len(route.path) < MAX_PATH)
        if not routes:
            raise invalid("the controller serves nothing that it does not have from here")
        names = {name for route in routes for name in route.model_names}
        return WorkerStatus(
            tuple(name for name in self.model_names if name in names),
            sum(route.speed for route in routes),
            sum(route.queue_length for route in routes),
            self.controller,
            routes,
        )

    @classmethod
    def from_json(cls, data: Any) -> "WorkerStatus":
        """Raises ServeError 40001 for anything but {model_names, speed, queue_length}."""
        data = mapping(data, "worker_status")
        names = data.get("model_names")
        if not isinstance(names, list) or not names or not all(map(_is_name, names)) or len(names) > MAX_NAMES:
            raise invalid(f"worker_status.model_names must be a list of 1 to {MAX_NAMES} names")
        speed = number(data, "speed", 1.0)
        if speed <= 0:
            raise invalid(f"worker_status.speed must be above 0, got {speed:g}")
        speed = int(speed) if speed == int(speed) else speed
        controller = text(data, "controller")[:MAX_NAME_CHARS]
        routes = data.get("routes", []) if controller else []
        if not isinstance(routes, list) or len(routes) > MAX_ROUTES:
            raise invalid(f"worker_status.routes must be a list of at most {MAX_ROUTES}")
        return cls(tuple(names), speed, whole(data, "queue_length", 0), controller, tuple(map(_route, routes)))


def _route(data: Any) -> Route:
    data = mapping(data, "worker_status.routes")
    path, names = data.get("path"), data.get("model_names")
    for listed in (path, names):
        if not isinstance(listed, list) or not all(map(_is_name, listed)) or len(listed) > MAX_NAMES:
            raise invalid("worker_status.routes hold lists of names")
    if (speed := number(data, "speed", 1.0)) <= 0:
        raise invalid(f"worker_status.routes: speed must be above 0, got {speed:g}")
    return Route(tuple(path), tuple(names), speed, whole(data, "queue_length", 0))


@dataclass(frozen=True)
class Registration:
    """The body of /register_worker."""

    worker_name: str
    check_heart_beat: bool = True
    worker_status: WorkerStatus | None = None
    """None: the controller asks the worker."""
    multimodal: bool = False

    @classmethod
    def from_json(cls, data: Any) -> "Registration":
        """Raises ServeError 40001."""
        data = mapping(data, "the registration")
        status = data.get("worker_status")
        return cls(
            worker_address(data.get("worker_name")),
            bool(data.get("check_heart_beat", True)),
            WorkerStatus.from_json(status) if status else None,
            bool(data.get("multimodal", False)),
        )


def worker_address(value: Any) -> str:
    """A worker's base URL without the final slash. Raises ServeError 40001 for anything but http(s)://host[:port][/path]."""
    well_formed = isinstance(value, str) and re.fullmatch(r"https?://[^\s/?#@\\]+(/[^\s?#\\]*)?", value)
    try:
        if well_formed and urlsplit(value).hostname and urlsplit(value).port != 0:
            return str(value).rstrip("/")
    except ValueError:  # a port beyond 65535, half a bracket
        pass
    raise invalid(f"worker_name must be the worker's address, such as http://127.0.0.1:21002, got {str(value)[:80]!r}")
