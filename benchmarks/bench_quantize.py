"""What 8 and 4 bits cost and save where weights are most of the memory: `python -m benchmarks.bench_quantize [--questions 3]`.

A LLaVA of random weights (0.37 billion, the widths of Qwen3-0.6B), stored in bfloat16 and then quantized, is asked about the
figures of the package on one CPU thread: each variant in a process of its own, all in turn, so many rounds. Answers mean
nothing; `llava-graph quantize --check` tells of those.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from llava_graph.chat import load_template
from llava_graph.commands.memory import apart, size
from llava_graph.commands.scores import table
from llava_graph.model.build import ModelShape, build_model, build_processor, save_checkpoint
from llava_graph.model.quantizing import quantize_checkpoint
from llava_graph.model.quantizing.costs import Measured, measure
from llava_graph.model.tokenizer import IM_END, train_tokenizer

SHAPE = ModelShape(
    image_size=336, patch_size=21, vision_width=384, vision_layers=8, vision_heads=6,
    width=1024, layers=28, heads=16, kv_heads=8, mlp_width=3072, vocab_size=4096,
)  # fmt: skip
TEXTS = ("The figure shows the accuracy of three models over the number of epochs; the loss falls.",) * 50


def build(out: Path) -> Path:
    """The checkpoint, in bfloat16."""
    import torch

    tokenizer = train_tokenizer(TEXTS, vocab_size=SHAPE.vocab_size, end_of_turn=IM_END, max_length=SHAPE.context_length)
    model = build_model(SHAPE, tokenizer).to(torch.bfloat16)
    model.generation_config.eos_token_id = [tokenizer.eos_token_id]
    model.config.about = {"name": "random", "description": "Random weights."}
    save_checkpoint(model, build_processor(SHAPE, tokenizer, load_template("chatml")), out)
    return out


def row(name: str, rounds: Sequence[dict[str, Any]], first: Sequence[dict[str, Any]]) -> list[str]:
    """A variant's medians over the rounds, with what is left of the first variant's."""

    def cell(read: Any, told: Any) -> str:
        mine, theirs = (median(read(found) for found in each) for each in (rounds, first))
        return f"{told(mine)} ({mine / theirs - 1:+.0%})" if rounds is not first else told(mine)

    return [
        name,
        cell(lambda found: found["static"]["weights"], size),
        cell(lambda found: found["static"]["in_use_after_an_answer"], size),
        cell(lambda found: found["static"]["peak_while_loading"], size),
        cell(lambda found: found["dynamic"]["peak_above"]["median"], size),
        cell(lambda found: found["time"]["first_token_s"]["median"], "{:.2f}".format),
        cell(lambda found: found["time"]["tokens_per_s"]["median"], "{:.2f}".format),
        cell(lambda found: found["time"]["cpu_s"]["median"], "{:.2f}".format),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Build, quantize, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=3)
    parser.add_argument("--max-new-tokens", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="llava-graph-") as folder:
        full = build(Path(folder) / "full")
        variants: dict[str, dict[str, Any]] = {
            "float32": {"model": str(full)},
            "bfloat16": {"model": str(full), "dtype": "bfloat16"},
        }
        for bits in (8, 4):
            made = quantize_checkpoint(full, Path(folder) / f"in-{bits}", bits=bits, device="cpu")  # type: ignore[arg-type]
            variants[f"{bits} bits"] = {"model": str(made)}
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in variants}
        common = {"questions": asked.questions, "max_new_tokens": asked.max_new_tokens, "device": "cpu", "threads": 1}
        for _ in range(asked.rounds):
            for name, choice in variants.items():
                found[name].append(apart(measure, Measured(**choice, **common), name))
    head = ["", "weights", "in use", "peak while loading", "a question above", "s to 1st token", "tokens/s", "CPU s"]
    print(table([head, *(row(name, rounds, found["float32"]) for name, rounds in found.items())]))
    print(
        f"\n{asked.questions} questions, {asked.max_new_tokens} tokens each, {asked.rounds} rounds in turn, one thread"
    )


if __name__ == "__main__":
    main()
