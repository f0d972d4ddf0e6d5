"""`llava-graph quantize`: a checkpoint whose language model is packed in 8 or 4 bits, and how well its answers agree."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, cast

import typer
from rich.progress import Progress

from llava_graph.command import stderr
from llava_graph.commands import asked
from llava_graph.commands.evaluating import tell_lost
from llava_graph.commands.scores import table
from llava_graph.errors import InputError, did_you_mean

DTYPES = ("float32", "float16", "bfloat16")
CHECK = "The check"
Bits = Literal[4, 8]

Checkpoint = Annotated[
    str | None, typer.Argument(help="A checkpoint folder, or owner/name on the hub. Default: the packaged model.")
]
Dtype = Annotated[
    str | None, typer.Option(help=f"Of what is not packed: {', '.join(DTYPES)}. Default: as the checkpoint has it.")
]


def read_bits(bits: int) -> Bits:
    """8 or 4. Raises InputError."""
    if bits not in (4, 8):
        raise InputError(f"there are no weights in {bits} bits", next_step="Give 8 or 4")
    return cast(Bits, bits)


def read_dtype(dtype: str | None) -> str | None:
    """Raises InputError for an unknown name."""
    if dtype is not None and dtype not in DTYPES:
        raise InputError(f"unknown number format {dtype!r}", next_step=did_you_mean(dtype, DTYPES))
    return dtype


def quantize_command(
    bits: Annotated[int, typer.Option(help="8 or 4.", show_default=False)],
    out: Annotated[Path, typer.Option(help="New folder for the quantized checkpoint.", show_default=False)],
    checkpoint: Checkpoint = None,
    dtype: Dtype = None,
    device: asked.Device = None,
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="DATASET",
            rich_help_panel=CHECK,
            help="Ask both models about these figures and compare the answers.",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(rich_help_panel=CHECK, help="Ask an evaluation task's questions. Default: explain each figure."),
    ] = None,
    split: Annotated[str, typer.Option(rich_help_panel=CHECK, help="train, validation, test or all.")] = "test",
    questions: Annotated[int, typer.Option(min=1, rich_help_panel=CHECK, help="How many.")] = 50,
    max_new_tokens: Annotated[int, typer.Option(min=1, rich_help_panel=CHECK, help="Longest answer, in tokens.")] = 128,
    as_json: Annotated[
        bool, typer.Option("--json", rich_help_panel=asked.OUTPUT, help="What was made, on stdout, as JSON.")
    ] = False,
) -> None:
    """Pack a checkpoint's language model in 8 or 4 bits, once and for all.

    The folder opens like any checkpoint, here and in plain transformers, on a GPU and on a CPU; bitsandbytes has to be
    installed. Vision tower, connector, output head, embeddings and norms stay as they are. The same command with --check
    measures a folder that is there already, and writes what it found into its model card.

    Examples:

        llava-graph quantize llava-hf/llava-1.5-7b-hf --bits 4 --out llava-7b-4bit

        llava-graph quantize runs/final --bits 8 --out final-8bit --check vqa_rad --task vqa-rad --questions 200
    """
    from llava_graph.model.quantizing import quantize_checkpoint
    from llava_graph.model.quantizing.agreement import told
    from llava_graph.model.quantizing.answering import data_questions
    from llava_graph.model.quantizing.artefact import made_of
    from llava_graph.model.quantizing.checking import check_checkpoint
    from llava_graph.model.towers import read_json

    wanted = (read_bits(bits), read_dtype(dtype))
    if check is None and task is not None:
        raise InputError("--task is for --check", next_step="Give --check DATASET too")
    # Data that cannot be read is said before the work.
    asked_of_both = None if check is None else data_questions(check, questions, task=task, split=_split(split))
    quantize_checkpoint(checkpoint, out, bits=wanted[0], dtype=wanted[1], device=device)
    if asked_of_both is not None and check is not None:
        with telling(2 * len(asked_of_both)) as tick:
            dropped = check_checkpoint(
                out,
                checkpoint,
                asked_of_both,
                data=f"{check.resolve().name} ({split})" + (f", {task}" if task else ""),
                task=task,
                max_new_tokens=max_new_tokens,
                device=device,
                tick=tick,
            )
        tell_lost(dropped)
    made = made_of(read_json(out / "config.json"))
    if as_json:
        print(json.dumps(made, indent=2, ensure_ascii=False))
        return
    size = sum(file.stat().st_size for file in out.glob("*.safetensors"))
    print(f"{out}: {made['method']}, made from {made['from']['name']}, {size / 1e6:,.1f} MB of weights")
    if "agreement" in made:
        print(table(told(made["agreement"])))


def _split(name: str) -> str | None:
    return None if name == "all" else name


@contextmanager
def telling(total: int) -> Iterator[Callable[[], None]]:
    """A bar on stderr where somebody looks at it; what it gives is called once a step."""
    with Progress(console=stderr, transient=True, disable=not stderr.is_terminal) as progress:
        bar = progress.add_task("asking", total=total)
        yield lambda: progress.advance(bar)
