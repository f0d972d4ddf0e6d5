"""Dialogues by a teacher that answers at once: what our own side of the work takes a record, and how much memory.

    python benchmarks/bench_dialogues.py [--records 20000]

Records have pictures of 30 kB (random bytes), 25 words in the figure, a caption, an abstract and a paragraph. Prints records a
second and the most memory so far of: the estimate, the run, the run again (nothing to do), and a run from known answers.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from llava_graph.dataset import write_dataset
from llava_graph.generate import Chunk
from llava_graph.record import Figure, OcrLine, Paper
from scicap_builder.dialogues.estimating import estimate
from scicap_builder.dialogues.writing import DialogueOptions, prepared, write_dialogues

PICTURE_BYTES = 30_000
SAID = "Question: What does this plot show?\nAnswer: The loss falls with the epochs and then stays flat.\n" * 3


class Fast:
    """A teacher without a server."""

    name = "fast"

    def generate_stream(self, *_: object) -> Iterator[Chunk]:
        """At once."""
        yield Chunk(text=SAID, prompt_tokens=1400, completion_tokens=70, finish_reason="stop")


def figures(count: int) -> Iterator[Figure]:
    """Records that differ."""
    words = tuple(OcrLine(text=f"tick {number}", box=(0, 0, 0.1, 0.1)) for number in range(25))
    for number in range(count):
        yield Figure(
            id=f"arxiv:{number}#fig1",
            image=os.urandom(PICTURE_BYTES),
            width=600,
            height=400,
            label="Figure 1",
            caption=f"Loss over epochs {number}. " * 6,
            ocr=words,
            mentions=(f"Figure 1 of {number} shows that the loss falls with the epochs. " * 8,),
            paper=Paper(id=f"arxiv:{number}", title="Learning slowly", abstract="We train for long. " * 80),
            split="validation" if number % 10 == 0 else "train",
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Print the four lines."""
    options = argparse.ArgumentParser()
    options.add_argument("--records", type=int, default=20_000)
    options.add_argument("--at-once", type=int, default=16)
    given = options.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        data, out = Path(name) / "data", Path(name) / "out"
        write_dataset(figures(given.records), data)
        chosen = DialogueOptions(kind="scigraphqa", at_once=given.at_once)
        desk = prepared(data, chosen)
        models = {"teacher": Fast(), "rater": Fast()}
        anew = replace(chosen, overwrite=True)
        work = {
            "estimate": lambda: estimate(data, out, {"teacher": "fast"}, chosen, desk),
            "run": lambda: write_dialogues(data, out, models, chosen, desk),
            "nothing to do": lambda: write_dialogues(data, out, models, chosen, desk),
            "known answers": lambda: write_dialogues(data, out, models, anew, desk),
        }
        for what, step in work.items():
            begun = time.perf_counter()
            step()
            seconds = time.perf_counter() - begun
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{what}: {given.records / seconds:.0f} records/s, {most:.0f} MiB")


if __name__ == "__main__":
    main()
