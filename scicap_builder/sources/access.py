"""What a data set says of itself, and whether its records may go to another machine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llava_graph.durable import read_json
from llava_graph.errors import DatasetError, InputError
from llava_graph.openai_client import LOOPBACK

MAY_BE_SENT = "Send credentialed data to another machine: its agreement allows it."
"""--may-be-sent"""


def source_options(folder: Path) -> dict[str, Any]:
    """What the build.json of a data set says of it. Raises DatasetError: it is none of ours."""
    if not (folder / "build.json").is_file():
        raise DatasetError("no data set of ours (build.json is missing)", where=str(folder))
    found = read_json(folder / "build.json").get("options", {})
    return found if isinstance(found, dict) else {}


def refuse_leaks(folder: Path, addresses: Iterable[str], *, may_be_sent: bool) -> None:
    """Credentialed data (MIMIC-CXR) stay on this machine unless somebody says that they may be sent. Raises InputError."""
    away = [address for address in addresses if address and urlsplit(address).hostname not in LOOPBACK]
    if away and not may_be_sent and source_options(folder).get("access") == "credentialed":
        raise InputError(
            f"its records are credentialed and would be sent to {away[0]}",
            where=str(folder),
            next_step="Ask a server on this machine, or give --may-be-sent if the data's agreement allows it",
        )
