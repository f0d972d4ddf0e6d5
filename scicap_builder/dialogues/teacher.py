"""Asking: a request in, an answer out; what was asked before comes from the file, what fails in passing is tried again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from llava_graph.errors import KeyRefused, LlavaGraphError, SampleRefused, ServeError
from llava_graph.explain import Answerer
from llava_graph.images import encode_png
from llava_graph.openai_wire import CONTEXT_OVERFLOW, INTERNAL, INVALID_MODEL, OVERLOADED
from llava_graph.prompt import about_tokens
from scicap_builder.dialogues.answers import Answer, Answers, Request, key_of
from scicap_builder.dialogues.costs import Purse, tokens_of

if TYPE_CHECKING:
    from PIL import Image

_log = logging.getLogger(__name__)

TRIES_WAIT_S = (2.0, 8.0, 30.0, 60.0)
"""Five tries as Quilt-LLaVA's generator makes (backoff, max_tries 5); busy servers are waited for by the client before that."""
GONE_AFTER = 5
"""Requests in a row that fail for good: the server is gone, the run stops."""
FAILED, REFUSES = "server-fails", "server-refuses"
FILTERED = ("content_filter", "content management policy", "content policy")
"""How servers say that they refuse the words (Azure answers 400)."""


class Stopped(Exception):
    """No error: the run is being stopped."""


class Teacher:
    """The models of a run. Threads share it; two that ask the same at the same time pay once."""

    def __init__(
        self,
        models: Mapping[str, Answerer],
        answers: Answers,
        purse: Purse,
        stopping: threading.Event,
        *,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """`models`: role -> who answers. `wait` sleeps between tries; by default until `stopping`."""
        self._models, self._answers, self._purse, self._stopping = models, answers, purse, stopping
        self._cancelled = threading.Event()
        self._wait = wait or stopping.wait
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[Answer]] = {}
        self._failed_in_a_row = 0
        self._told = False
        self.failure: ServeError | None = None
        """The last request that failed for good."""
        self.asked = 0
        """Requests that were answered in this run."""
        self.broken_off = 0
        """Tries that a server did not end: it may have counted them."""
        self.ended_by: LlavaGraphError | None = None
        """What ended the run: a refused key, a server that is gone, a budget."""

    def stop(self, *, cancel: bool) -> None:
        """No further requests. Answers under way are paid for and come to their end, unless they are to be cancelled."""
        self._stopping.set()
        if cancel:
            self._cancelled.set()

    def ask(self, item: str, request: Request, images: Sequence[Image.Image] = ()) -> Answer:
        """The answer. Raises SampleRefused (refused, context-overflow, server-refuses, server-fails), ServeError when the
        server is gone, BudgetSpent, Stopped.
        """
        model = self._models[request.role]
        key = key_of(request, model.name, [encode_png(image) for image in images])
        with self._lock:
            known = self._answers.get(key)
            other = self._under_way.get(key)
            if known is None and other is None:
                mine = self._under_way[key] = Future()
        if known is not None:
            return known
        if other is not None:
            return other.result()
        try:
            answer = self._tried(model, request, images)
            self._answers.add(key, answer, item=item, request=request, model=model.name)
            mine.set_result(answer)
        except BaseException as error:
            if isinstance(error, LlavaGraphError) and not isinstance(error, SampleRefused):
                self.ended_by = self.ended_by or error
                self.stop(cancel=False)
            mine.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._under_way[key]
        return answer

    def _tried(self, model: Answerer, request: Request, images: Sequence[Image.Image]) -> Answer:
        for pause in (*TRIES_WAIT_S, None):
            if self._stopping.is_set():
                raise Stopped
            try:
                answer = self._once(model, request, images)
            except ServeError as error:
                if isinstance(error, KeyRefused) or error.code == INVALID_MODEL:
                    raise
                if pause is None or error.code not in (INTERNAL, OVERLOADED):
                    raise self._failed(error) from error
                self._tell(error, pause)
                self._wait(pause)
            else:
                with self._lock:
                    self._failed_in_a_row, self._told = 0, False
                    self.asked += 1
                return answer
        raise Stopped

    def _tell(self, error: ServeError, pause: float) -> None:
        """Why nothing moves, once until the server answers again."""
        with self._lock:
            told, self._told = self._told, True
        if not told:
            _log.warning("%s: asked again in %g s", error, pause)

    def _failed(self, error: ServeError) -> LlavaGraphError:
        """A request that has failed for good costs its record; several in a row end the run."""
        told = str(error)
        if any(words in told.lower() for words in FILTERED):
            return SampleRefused(told, reason="refused")
        if error.code == CONTEXT_OVERFLOW:
            return SampleRefused(told, reason="context-overflow")
        with self._lock:
            self.failure = error
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= GONE_AFTER:
                return error
        passing = error.code in (INTERNAL, OVERLOADED)
        return SampleRefused(told, reason=FAILED if passing else REFUSES)

    def _once(self, model: Answerer, request: Request, images: Sequence[Image.Image]) -> Answer:
        sizes = [image.size for image in images]
        tokens_in = tokens_of(request.messages, sizes)
        reserved = self._purse.reserve(request.role, tokens_in, request.generation.max_new_tokens)
        cost = 0.0
        own = threading.Event()
        text, finish, prompt_tokens, completion_tokens = "", "", 0, 0
        try:
            for chunk in model.generate_stream(list(request.messages), list(images), request.generation, own):
                text += chunk.text
                finish = chunk.finish_reason or finish
                prompt_tokens, completion_tokens = chunk.prompt_tokens, chunk.completion_tokens
                if self._cancelled.is_set():
                    own.set()
            if finish == "cancelled":
                raise Stopped
            told = bool(prompt_tokens or completion_tokens)
            answer = Answer(
                text=text,
                finish_reason=finish,
                prompt_tokens=prompt_tokens if told else tokens_in,
                completion_tokens=completion_tokens if told else about_tokens(text),
                told=told,
            )
            cost = self._purse.prices[request.role].cost(answer.prompt_tokens, answer.completion_tokens)
            return answer
        except ServeError:
            if text:
                cost = self._purse.prices[request.role].cost(tokens_in, about_tokens(text))
                with self._lock:
                    self.broken_off += 1
            raise
        finally:
            self._purse.settle(reserved, cost)
