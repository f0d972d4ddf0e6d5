"""arXiv's catalogue in bulk: OAI-PMH's ListRecords, about a thousand papers a request -> a metadata file of JSON lines.

For more than a few thousand papers this is the polite way to their licences: one request each would take days.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

from llava_graph.durable import flush_to_disk, read_json, write_json
from llava_graph.errors import DatasetError, FetchError, InputError
from scicap_builder.fetch.http import PoliteHttp
from scicap_builder.metadata import parse_records


def harvest(
    http: PoliteHttp,
    out: Path,
    *,
    since: str = "",
    until: str = "",
    subject: str = "",
    on_page: Callable[[int], None] = lambda _: None,
) -> int:
    """Write all papers that changed from `since` to `until` (YYYY-MM-DD, inclusive) in a set ("cs", "physics:hep-th").

    A killed harvest goes on at its last page. Returns the number of papers. Raises FetchError, and InputError for a bad date.
    """
    for day in filter(None, (since, until)):
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", day):
            raise InputError(f"a date is written as 2017-06-30, got {day!r}")
    asked = {"metadataPrefix": "arXiv", "from": since, "until": until, "set": subject}
    part, notes = out.with_name(out.name + ".part"), out.with_name(out.name + ".part.json")
    state = _taken_up(part, notes, asked)
    url = f"{http.options.base_url.rstrip('/')}/oai2"
    while True:
        query = {"resumptionToken": state["token"]} if state["token"] else {k: v for k, v in asked.items() if v}
        answer = http.get(f"{url}?{urlencode({'verb': 'ListRecords', **query})}")
        url = (
            answer.url.partition("?")[0] or url
        )  # it has moved once; a redirect for each page would be a second request
        try:
            records, token = parse_records(answer.body)
        except FetchError as error:
            if error.reason == "badResumptionToken":
                notes.unlink(missing_ok=True)
                error.next_step = "The token has aged: run the same command again, it begins anew"
            raise
        with part.open("ab") as file:
            file.truncate(state["bytes"])
            file.writelines(json.dumps(known.row(), ensure_ascii=False).encode() + b"\n" for known in records)
        flush_to_disk(part)
        state = {"asked": asked, "token": token, "bytes": part.stat().st_size, "papers": state["papers"] + len(records)}
        write_json(notes, state)
        on_page(state["papers"])
        if not token:
            part.replace(out)
            notes.unlink()
            return int(state["papers"])


def _taken_up(part: Path, notes: Path, asked: dict[str, str]) -> dict:
    """Where an earlier harvest of the same stopped; otherwise its beginning."""
    try:
        state = read_json(notes) if part.exists() else {}
    except DatasetError:
        state = {}
    if state.get("asked") == asked:
        return dict(state)
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(b"")
    return {"asked": asked, "token": "", "bytes": 0, "papers": 0}
