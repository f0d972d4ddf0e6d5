"""Export, votes and the log. What was agreed to is asked for anew with every step: the browser sends it along."""

import secrets
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import gradio as gr

from llava_graph.errors import InputError
from serve.feedback.lines import Feedback
from serve.web.banner import error_banner
from serve.web.parts import AT_ONCE, WITH_EVERY_CHANGE, PageParts
from serve.web.session import Session
from serve.web.sharing.files import bibtex, shared_file
from serve.web.sharing.links import NO_LINK_OF_UPLOADS, link_of
from serve.web.sharing.recording import Consent, Recorder

EXPORTING: dict[str, Any] = {
    # A page with a large picture takes a second of one core: a few at once, the others wait.
    "concurrency_limit": 4,
    "concurrency_id": "exports",
    "show_progress": "hidden",
    "api_visibility": "private",
}
KEPT, NOT_KEPT = "Thank you: your vote is kept.", "Your vote could not be kept: the server's log cannot be written now."
NOT_AGREED = "Nothing was kept: you have not agreed to it."


def wire_sharing(page: gr.Blocks, parts: PageParts, recorder: Recorder, answers: Sequence[Any]) -> None:
    """`answers`: the events in which a model answers."""
    sharing = parts.sharing
    on_page = set(parts.given.values())

    def show(session: Session) -> dict[str, Any]:
        return shown(session, log=recorder.on)

    def export(values: dict[Any, Any], event: gr.EventData) -> tuple[Any, str]:
        try:
            return asdict(shared_file(parts.on_page(values).now(), str((event._data or {}).get("format")))), ""
        except InputError as error:
            return gr.skip(), error_banner(error)

    def vote(values: dict[Any, Any], event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        session, consent = values[parts.session], Consent.from_page(values[sharing.consent])
        try:
            asked = parts.on_page(values).now()
            answer, feedback = vote_of(event._data)
            kept = recorder.vote(asked, number_of(asked, answer), feedback, consent, address_of(request))
        except InputError as error:
            return shown(session, log=recorder.on, said=str(error))
        told = KEPT if kept else NOT_KEPT if consent.keep else NOT_AGREED
        return shown(session, log=recorder.on, said=told, voted=kept)

    def record(values: dict[Any, Any], request: gr.Request) -> str:
        asked, consent = parts.on_page(values).now(), Consent.from_page(values[sharing.consent])
        last = values[sharing.recorded]
        if not asked.facts or asked.facts[-1].id == last or asked.facts[-1].seconds is None:
            # It is kept already, or it is still being written: another wish was refused meanwhile.
            return str(last)
        recorder.answer(asked, consent, address_of(request))
        return asked.facts[-1].id

    gr.on([page.load, parts.figure.viewer.change], show, parts.session, sharing.bar, **WITH_EVERY_CHANGE)
    sharing.bar.select(export, on_page, [sharing.download, parts.banner], **EXPORTING)
    if recorder.on:
        known = on_page | {sharing.consent, sharing.recorded}
        sharing.bar.submit(vote, known, sharing.bar, **AT_ONCE)
        for answer in answers:
            answer.then(record, known, sharing.recorded, **AT_ONCE)


def shown(session: Session, *, log: bool, said: str = "", voted: bool = False) -> dict[str, Any]:
    """What the row shows (sharing.js)."""
    figure = session.figure
    return {
        "figure": figure.id if figure else "",
        "link": link_of(figure.id) if figure else "",
        "no_link": NO_LINK_OF_UPLOADS,
        "cite": bool(figure and bibtex(figure.paper)),
        "log": log,
        "said": said,
        "voted": voted,
        # The browser draws a value that differs from the one before: the same words twice are two events.
        "step": secrets.token_hex(4),
    }


def number_of(session: Session, answer: str) -> int:
    """The place of the answer with this id, from 0. Raises InputError where it is no longer shown."""
    shown = [facts.id for facts in session.facts]
    if not answer or answer not in shown:
        raise InputError("the answer that this vote is about is no longer shown: nothing was kept")
    return shown.index(answer)


def vote_of(data: Any) -> tuple[str, Feedback]:
    """(id of the answer, what is said about it) of a vote as the browser sends it. Raises InputError."""
    data = data if isinstance(data, dict) else {}
    answer, reasons = data.get("answer"), data.get("reasons") or []
    reasons = reasons if isinstance(reasons, list) else [None]
    texts = [answer, data.get("vote"), data.get("comment") or "", data.get("corrected") or "", *reasons]
    if not all(isinstance(text, str) for text in texts):
        raise InputError("this is no vote of our page", next_step="Reload it")
    feedback = Feedback(vote=texts[1], comment=texts[2], corrected=texts[3], reasons=tuple(dict.fromkeys(reasons)))
    return texts[0], feedback


def address_of(request: gr.Request) -> str | None:
    """Where the visitor comes from; only ever hashed."""
    return request.client.host if request.client else None
