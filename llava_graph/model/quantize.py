"""A checkpoint's language model in 8 or 4 bits by bitsandbytes; vision tower, connector and output head stay as they are."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from llava_graph.errors import InputError, MissingExtra

BLOCK = 64
"""bitsandbytes packs 4-bit weights in blocks of so many; a narrower layer fails when it computes."""


def bits_of(*, load_8bit: bool, load_4bit: bool) -> Literal[4, 8] | None:
    """LLaVA's two switches as one choice. Raises InputError for both."""
    if load_8bit and load_4bit:
        raise InputError("--load-8bit and --load-4bit exclude each other")
    return 8 if load_8bit else 4 if load_4bit else None


def in_bits(folder: Path, bits: Literal[4, 8], dtype: Any) -> Any:
    """transformers' settings for the checkpoint in `folder`; `dtype` is what 4-bit weights compute in.

    LLaVA's: nf4 with scales that are quantized too (QLoRA, arXiv:2305.14314). Raises InputError for a model too narrow for 4
    bits, MissingExtra, CheckpointError.
    """
    if find_spec("bitsandbytes") is None:
        raise MissingExtra("bitsandbytes", "bits", needed_for=f"a model in {bits} bits")
    from transformers import BitsAndBytesConfig

    from llava_graph.model.load import shapes_alone

    kept = unquantized(shapes_alone(folder), bits)
    if bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=kept)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=kept,
    )


def unquantized(model: Any, bits: int) -> list[str]:
    """Full names of the modules that stay as they are: the largest without a part of the language model, and the output head.

    Short names would be passed over. Raises InputError when the language model is too narrow for 4 bits.
    """
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    inside = next(name for name, module in model.named_modules() if module is decoder)
    for name, module in decoder.named_modules():
        if bits == 4 and getattr(module, "in_features", BLOCK) % BLOCK:
            raise InputError(
                f"4 bits take widths in multiples of {BLOCK}, and {inside}.{name} is {module.in_features} wide",
                next_step="Take 8 bits, or the weights as they are",
            )
    above = {"", *(inside[:place] for place, letter in enumerate(inside) if letter == ".")}
    return [
        name
        for name, module in model.named_modules()
        if module is head or (name and name.rpartition(".")[0] in above and name not in above and module is not decoder)
    ]
