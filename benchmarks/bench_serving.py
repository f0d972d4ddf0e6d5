"""Serving the packaged model: answers together against one at a time, and many streams at once (docs/benchmarks.md).

    python -m benchmarks serving      or      python benchmarks/bench_serving.py --seconds 20

1. The same greedy requests, all submitted at once, to an engine that writes answers together and to one that does not, in turns;
   tokens a second, and whether every answer is that of the model alone.
2. 64 clients through the HTTP of a controller and a worker, each in its own process, for --seconds: every answer must be that of
   the model alone. Then the same with a model that repeats its prompt, where every request carries a number of its own.
"""

import argparse
import asyncio
import secrets
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks import echo_worker
from benchmarks.serving_items import LONGEST, Asked, requests
from benchmarks.serving_load import Seen, load, process, registered, threads
from llava_graph.explain import Explainer
from serve.engines.batching.limits import Limits
from serve.engines.in_process import ExplainerEngine
from serve.protocol.messages import GenerateRequest, data_uri


def main(argv: Sequence[str] = ()) -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300, help="of the load; the echo takes a tenth of it")
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--requests", type=int, default=64, help="different ones")
    parser.add_argument("--rounds", type=int, default=2, help="of the comparison; 0 leaves it out")
    parser.add_argument("--max-batch-size", type=int, default=16)
    options = parser.parse_args(argv)
    explainer = Explainer(device="cpu")
    asked = requests(explainer, options.requests)
    distinct = len({one.reference for one in asked})
    print(f"{threads()}; {len(asked)} requests, {distinct} different answers", flush=True)
    if options.rounds:
        compare(explainer, asked, options.rounds, options.max_batch_size)
    if options.seconds:
        under_load(asked, options.streams, options.seconds, options.max_batch_size)


def compare(explainer: Explainer, asked: Sequence[Asked], rounds: int, size: int) -> None:
    """Tokens a second together and alone, in turns."""
    alone = ExplainerEngine(explainer, Limits(max_batch_size=1, max_waiting=len(asked), max_queue_s=1e6))
    together = ExplainerEngine(explainer, Limits(max_batch_size=size, max_waiting=len(asked), max_queue_s=1e6))
    engines = {"one at a time": alone, f"together, up to {size}": together}
    by_clock: dict[str, list[float]] = {name: [] for name in engines}
    by_cpu: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(rounds):
        for name, engine in engines.items():
            cpu = time.process_time()
            tokens, seconds, wrong = asyncio.run(_all_at_once(engine, asked))
            cpu = time.process_time() - cpu
            by_clock[name].append(tokens / seconds)
            by_cpu[name].append(tokens / cpu)
            print(
                f"{name}: {tokens} tokens, {tokens / seconds:.0f} a second, {tokens / cpu:.0f} a CPU second; "
                f"{wrong} other answers"
            )
    for what, speeds in (("by the clock", by_clock), ("by CPU time, whatever else runs on the machine", by_cpu)):
        ratios = [other / one for one, other in zip(*speeds.values(), strict=True)]
        rounds_said = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"together / one at a time {what}: {statistics.median(ratios):.2f} (rounds: {rounds_said})", flush=True)
    alone.close()
    together.close()


async def _all_at_once(engine: ExplainerEngine, asked: Sequence[Asked]) -> tuple[int, float, int]:
    begun = time.monotonic()
    answers = await asyncio.gather(*(_read(engine, one) for one in asked))
    seconds = time.monotonic() - begun
    wrong = sum(text != one.reference for one, (text, _) in zip(asked, answers, strict=True))
    return sum(tokens for _, tokens in answers), seconds, wrong


async def _read(engine: ExplainerEngine, asked: Asked) -> tuple[str, int]:
    request = GenerateRequest(
        messages=tuple(asked.messages), images=(data_uri(asked.image),), temperature=0, max_new_tokens=LONGEST
    )
    *_, last = [step async for step in engine.stream(request)]
    return last.text, last.usage.completion_tokens if last.usage else 0


def under_load(asked: Sequence[Asked], streams: int, seconds: float, size: int) -> None:
    """Many streams through real processes."""
    with ExitStack() as stack:
        controller, _ = stack.enter_context(process("serve.cli", "controller", "--port", "0", "--log-level", "error"))
        common = ("serve.cli", "worker", "--port", "0", "--controller", controller, "--log-level", "error")
        limits = ("--max-batch-size", str(size), "--max-waiting", str(streams))
        _, pid = stack.enter_context(process(*common, *limits, "--model-names", "packaged"))
        _, echo_pid = stack.enter_context(process("benchmarks.echo_worker", "--controller", controller))

        async def run() -> tuple[Seen, Seen]:
            for name in ("packaged", echo_worker.NAME):
                await registered(controller, name)
            print(f"\n{streams} streams for {seconds:.0f} s, up to {size} answers at once", flush=True)
            real = await load(controller, "packaged", pid, asked, streams=streams, seconds=seconds)
            print(real.report(), flush=True)
            nonces = [_with_nonce(one) for one in asked for _ in range(40)]
            return real, await load(
                controller, echo_worker.NAME, echo_pid, nonces, streams=streams, seconds=max(5, seconds / 10)
            )

        _, echo = asyncio.run(run())
        print(f"\n{streams} streams to a model that repeats its prompt\n{echo.report()}", flush=True)


def _with_nonce(asked: Asked) -> Asked:
    """The same figure with a question that nobody else asks, and what its prompt repeats."""
    nonce = secrets.token_hex(8)
    content = [{"type": "image"}, {"type": "text", "text": f"What does {nonce} show?"}]
    message = {"role": "user", "content": content}
    return Asked([message], asked.image, f"user\n\nWhat does {nonce} show?\nassistant\n")


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
