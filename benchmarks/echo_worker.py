"""A worker whose model repeats its prompt: whoever gets another one's words back has found a mix-up.

    python -m benchmarks.echo_worker --controller http://127.0.0.1:21001

Everything but the model is the real worker: HTTP, line, batch, tokens, text.
"""

import argparse
from collections.abc import Sequence

from llava_graph.batched import ENDED, Prompt, Row
from llava_graph.explain import Explainer
from serve.engines.batching.limits import Limits
from serve.engines.in_process import ExplainerEngine
from serve.http.servers import Server, address_of, bind, wait_for_signal
from serve.worker.app import WorkerOptions, create_worker
from serve.worker.heartbeat import Heartbeat

NAME = "echo"


class Echo:
    """Writes the prompt's tokens, a token a step."""

    joins_several: bool = True

    def __init__(self, image_id: int) -> None:
        self._image_id = image_id
        self._left: dict[Row, list[int]] = {}
        self.rows: list[Row] = []

    def admit(self, prompts: Sequence[Prompt], rows: Sequence[Row]) -> list[int]:
        for prompt, row in zip(prompts, rows, strict=True):
            self._left[row] = [token for token in prompt.ids if token != self._image_id and token not in row.ends]
            self.rows.append(row)
        return [self._next(row) for row in rows]

    def step(self) -> list[int]:
        return [self._next(row) for row in self.rows]

    def _next(self, row: Row) -> int:
        return self._left[row].pop(0) if self._left[row] else ENDED

    def remove(self, row: Row) -> None:
        self.rows.remove(row)
        del self._left[row]

    def clear(self) -> None:
        self.rows, self._left = [], {}


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--controller", required=True)
    options = parser.parse_args(argv)
    explainer = Explainer(device="cpu")
    limits = Limits(max_batch_size=16, max_waiting=128)
    engine = ExplainerEngine(explainer, limits, Echo(explainer.model.model.config.image_token_id))
    sock = bind("127.0.0.1", 0)
    beat = Heartbeat(options.controller, address_of(sock), interval=5)
    server = Server(create_worker(engine, WorkerOptions(model_names=(NAME,)), heartbeat=beat), sock, "worker")
    server.start()
    print(f"worker at {server.url}", flush=True)
    wait_for_signal([server])


if __name__ == "__main__":
    main()
