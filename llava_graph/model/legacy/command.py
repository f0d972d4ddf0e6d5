"""`llava-graph convert`: a checkpoint from one layout into another."""

from pathlib import Path
from typing import Annotated

import typer

from llava_graph.chat import load_template
from llava_graph.errors import InputError, did_you_mean
from llava_graph.model.legacy.conversion import TARGETS, Conversion, convert
from llava_graph.model.legacy.look import Look
from llava_graph.prompt import STYLES

DTYPES = ("float32", "float16", "bfloat16")
IMAGES = ("pad", "square", "crop")


def convert_command(  # noqa: PLR0917  (typer reads the options from the signature)
    source: Annotated[str, typer.Argument(help="A folder, a file such as mm_projector.bin, or owner/name on the hub.")],
    out: Annotated[Path, typer.Argument(help="New folder.")],
    to: Annotated[str, typer.Option(help=f"Layout to write: {', '.join(TARGETS)}.")] = "transformers",
    base: Annotated[
        str | None, typer.Option(help="Base model of a projector, LoRA or delta: folder or owner/name.")
    ] = None,
    vision_tower: Annotated[
        str | None, typer.Option(help="Vision tower: folder or owner/name. Default: the one that config.json names.")
    ] = None,
    with_tower: Annotated[
        bool | None,
        typer.Option(
            "--with-tower/--without-tower",
            help="--to llava: the vision tower's weights. Default: if they may have learnt.",
        ),
    ] = None,
    template: Annotated[str | None, typer.Option(help="Chat template. Default: that of the checkpoint's time.")] = None,
    prompt: Annotated[str | None, typer.Option(help=f"Style of the prompt: {', '.join(STYLES)}.")] = None,
    images: Annotated[str | None, typer.Option(help=f"How images are prepared: {', '.join(IMAGES)}.")] = None,
    dtype: Annotated[str | None, typer.Option(help=f"{', '.join(DTYPES)}. Default: as stored.")] = None,
    shard_mb: Annotated[int, typer.Option(help="Largest shard; as much is held in memory.", min=1)] = 4096,
) -> None:
    """Convert a checkpoint. What SOURCE is, its own files tell.

    Reads whole LLaVA checkpoints (liuhaotian/*), projectors, LoRA folders, delta weights and transformers' folders.

    Examples:

        llava-graph convert liuhaotian/llava-v1.5-7b ./llava-7b

        llava-graph convert ./LLaVA-7b-delta-v0 ./llava-7b-v0 --base ./llama-7b

        llava-graph convert ./llava-lora ./merged --base lmsys/vicuna-7b-v1.5

        llava-graph convert mm_projector.bin ./llava --base lmsys/vicuna-7b-v1.5 --vision-tower openai/clip-vit-large-patch14-336

        llava-graph convert ./checkpoint ./for-llava --to llava
    """
    import torch

    choices = (
        (prompt, STYLES, "prompt style"),
        (images, IMAGES, "image preparation"),
        (dtype, DTYPES, "number format"),
    )
    for value, known, what in choices:
        if value is not None and value not in known:
            raise InputError(f"unknown {what} {value!r}", next_step=did_you_mean(value, known))
    if template is not None:
        load_template(template)
    look = Look(
        vision_tower=vision_tower,
        template=template,
        prompt=prompt,
        preparation=images,
        dtype=getattr(torch, dtype) if dtype else None,
        shard_bytes=shard_mb * 2**20,
    )
    told = convert(source, out, Conversion(to=to, base=base, with_tower=with_tower, look=look))
    typer.echo(f"{source}: {told[0]}")
    typer.echo(f"{out}: {'; '.join([to, *told[1:]])}")
