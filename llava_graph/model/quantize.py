"""A checkpoint's language model in 8 or 4 bits by bitsandbytes; vision tower, connector and output head stay as they are.

Packed while it is loaded (`in_bits`), or once and for all (`quantizing`): such a checkpoint is opened like any other.
"""

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llava_graph.errors import InputError, MissingExtra

if TYPE_CHECKING:
    import torch

BLOCK = 64
"""bitsandbytes packs 4-bit weights in blocks of so many; a narrower layer fails when it computes."""


CHATTER = ("inputs will be cast from", "Failed to load CPU gemm_4bit_forward")
"""What bitsandbytes warns of at every product of matrices on a CPU, and of a package that is not needed."""


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
    need_bitsandbytes(f"a model in {bits} bits")
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


def need_bitsandbytes(needed_for: str) -> None:
    """Raises MissingExtra. Where it is there, it warns of nothing that nobody can change."""
    if find_spec("bitsandbytes") is None:
        raise MissingExtra("bitsandbytes", "bits", needed_for=needed_for)
    for name in ("bitsandbytes.autograd._functions", "bitsandbytes.backends.cpu.ops"):
        logging.getLogger(name).addFilter(_worth_saying)


def _worth_saying(record: logging.LogRecord) -> bool:
    return not any(words in str(record.msg) for words in CHATTER)


def stored_quantization(config: Mapping[str, Any]) -> str:
    """How the weights of the checkpoint with this config.json are packed: "4 bits, bitsandbytes"; empty: they are not."""
    told = config.get("quantization_config")
    if not isinstance(told, dict):
        return ""
    method = told.get("quant_method") or "bitsandbytes"
    method = str(getattr(method, "value", method))
    bits = 4 if told.get("load_in_4bit") else 8 if told.get("load_in_8bit") else told.get("bits")
    return f"{bits} bits, {method}" if bits else method


def check_stored(config: Mapping[str, Any], folder: Path, *, asked: bool) -> bool:
    """Whether the weights in `folder` are packed already, and can be opened here.

    `asked`: they are to be packed while they are loaded. Raises InputError for both at once, MissingExtra.
    """
    stored = stored_quantization(config)
    if stored and asked:
        raise InputError(
            f"is quantized already ({stored})",
            where=str(folder),
            next_step="Leave --load-8bit, --load-4bit or --bits out, or take the checkpoint that it was made from",
        )
    if "bitsandbytes" in stored:
        need_bitsandbytes("a quantized model")
    return bool(stored)


def compute_in(model: "torch.nn.Module", place: "torch.device", dtype: Any) -> None:
    """Let a model that was stored packed compute in one type: `dtype`, or "auto" for its own.

    transformers leaves the weights beside the packed ones as they are stored and turns biases alone, which do not go
    together. 4-bit weights are unpacked to that type; bfloat16 becomes float16 on a GPU that has none.
    """
    import torch

    wanted = None if dtype == "auto" else dtype if isinstance(dtype, torch.dtype) else getattr(torch, str(dtype))
    if wanted is None and place.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        wanted = torch.float16
    packed: list[Any] = [
        module for module in model.modules() if type(module).__name__ in ("Linear4bit", "Linear8bitLt")
    ]
    if wanted is None or not packed:  # other methods keep to their own types
        return
    in_four = [module for module in packed if getattr(module.weight, "quant_state", None) is not None]
    # 4-bit weights are rearranged on CPUs with bfloat16. What is then left of the file would keep all of it in memory.
    apart = bool(in_four) and place.type == "cpu"
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point():
                parameter.data = parameter.data.to(wanted, copy=apart)
    for module in in_four:
        module.compute_dtype = wanted
        if apart:
            module.weight.quant_state.code = module.weight.quant_state.code.clone()
