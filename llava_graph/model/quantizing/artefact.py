"""A checkpoint whose language model is packed once and for all. In: a checkpoint, bits. Out: a folder that opens like any other.

bitsandbytes, as TinyLLaVA-Med-F loads its models: nf4 with double quantization (QLoRA, arXiv:2305.14314, §3), or LLM.int8()
(arXiv:2208.07339). The same files open on a GPU and on a CPU.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llava_graph.durable import FolderLock, put_in_place, write_text
from llava_graph.errors import CheckpointError, InputError, missing_extra
from llava_graph.model.adapters import ADAPTER
from llava_graph.model.hub import REPO_ID, checkpoint_folder
from llava_graph.model.load import PACKAGED, check_folder, first_line, load
from llava_graph.model.quantize import in_bits, need_bitsandbytes, stored_quantization, unquantized
from llava_graph.model.quantizing.agreement import next_log_probabilities
from llava_graph.model.quantizing.answering import example_questions, read_prompt
from llava_graph.model.quantizing.card import quantized_card
from llava_graph.model.towers import read_json

if TYPE_CHECKING:
    import torch

    from llava_graph.model.load import LoadedModel

DTYPES = ("float32", "float16", "bfloat16")
METHODS = {4: "bitsandbytes nf4, double quantization", 8: "bitsandbytes LLM.int8()"}
HALVES = ("float16", "bfloat16")
PIECE = 1 << 22
"""Bytes that are hashed at a time."""
SAME = 1e-3
"""Largest difference of log-probabilities after opening the files again, as a part of the largest; other kernels, other sums."""
SENTENCE = "The figure shows the accuracy of three models."


def quantize_checkpoint(
    source: Path | str | None,
    out: Path,
    *,
    bits: Literal[4, 8],
    dtype: str | None = None,
    device: str | None = None,
) -> Path:
    """Write the quantized checkpoint to the new folder `out` and return it; `source` None is the packaged model.

    `dtype` is the type of what is not packed, and the one that 4-bit weights are unpacked to (None: as stored; a float32
    checkpoint computes in bfloat16). The folder appears when it is complete and was opened again; one that was made of the
    same weights in the same way is left as it is. Raises InputError (quantized already, another model in `out`),
    CheckpointError (an adapter, LLaVA's own layout, incomplete), MissingExtra, DatasetError (another process writes it).
    """
    try:
        from safetensors import SafetensorError
    except ModuleNotFoundError as error:
        raise missing_extra(error, needed_for="a model") or error from error
    folder = PACKAGED if source is None else checkpoint_folder(source)
    config = _unpacked_config(folder, str(source or "the packaged model"))
    need_bitsandbytes(f"a model in {bits} bits")
    kept_type = dtype or _stored_type(config)
    made = {
        "bits": bits,
        "method": METHODS[bits],
        "dtype": kept_type,
        "from": {"name": _name_of(source, folder), "sha256": weights_digest(folder)},
    }
    if out.is_dir() and is_made(out, made):
        return out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            "holds something else than this quantized checkpoint", where=str(out), next_step="Give another --out"
        )
    if not out.name:  # "."
        raise InputError("is the folder that this runs in", where=str(out), next_step="Give --out a new folder's name")
    try:
        _write_beside(out, lambda draft: _write(folder, draft, bits, made, device))
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or first_line(error)
        raise InputError(f"cannot be written ({why})", where=str(out)) from error
    return out


def _write_beside(out: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder beside `out`, which becomes `out` when it is complete; what a killed run left goes first."""
    draft = out.with_name(f".{out.name}.part")
    draft.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(draft, work="quantization")
    try:
        for left in draft.iterdir():
            if left.name != FolderLock.NAME:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        write(draft)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    finally:
        lock.close()
    put_in_place(draft, out)


def _unpacked_config(folder: Path, name: str) -> dict[str, Any]:
    """config.json of a whole checkpoint with weights to pack. Raises CheckpointError, InputError."""
    if (folder / ADAPTER).is_file():
        raise CheckpointError(
            "is an adapter (LoRA): its base model is not in it",
            where=name,
            next_step=f"First: llava-graph convert {name} MERGED, then quantize MERGED",
        )
    config = check_folder(folder)
    if stored := stored_quantization(config):
        origin = quantized_from(config)
        raise InputError(
            f"is quantized already ({stored}); its rounding would be rounded again",
            where=name,
            next_step=f"Quantize what it was made from{f': {origin}' if origin else ''}",
        )
    return config


def quantized_from(config: Mapping[str, Any]) -> str:
    """What a checkpoint of ours says that it was made from; empty: nothing."""
    made = made_of(config)
    return str(made.get("from", {}).get("name", "")) if isinstance(made.get("from"), dict) else ""


def made_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """`about.quantized` of a parsed config.json; {} where it is not one of ours."""
    about = config.get("about")
    made = about.get("quantized") if isinstance(about, dict) else None
    return made if isinstance(made, dict) else {}


def is_made(out: Path, made: Mapping[str, Any]) -> bool:
    """Whether `out` is complete, and made of the same weights in the same way."""
    found = made_of(read_json(out / "config.json"))
    return (
        bool(found)
        and all(found.get(name) == made[name] for name in ("bits", "method", "dtype"))
        and found.get("from", {}).get("sha256") == made["from"]["sha256"]
    )


def weights_digest(folder: Path) -> str:
    """sha256 over the checkpoint's weight files in the order of their names, each behind its name; and of what computes them."""
    digest = hashlib.sha256()
    for file in (folder / "config.json", *sorted(folder.glob("*.safetensors"))):
        digest.update(file.name.encode())
        with file.open("rb") as opened:
            while piece := opened.read(PIECE):
                digest.update(piece)
    return digest.hexdigest()


def _stored_type(config: Mapping[str, Any]) -> str:
    """The type of the weights, as config.json names it; transformers' own default where it does not."""
    told = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    return told if told in DTYPES else "float32"


def _name_of(source: Path | str | None, folder: Path) -> str:
    """owner/name as it is, else the folder's own name: a path would tell of this machine alone."""
    if source is not None and REPO_ID.fullmatch(str(source)) and not Path(source).exists():
        return str(source)
    return str(read_json(folder / "config.json").get("about", {}).get("name") or folder.resolve().name)


def _write(folder: Path, draft: Path, bits: Literal[4, 8], made: dict[str, Any], device: str | None) -> None:
    """Pack, say what it is, save, and open the files again."""
    import torch

    from llava_graph.model.build import save_checkpoint

    kept_type = made["dtype"]
    computed = kept_type if kept_type in HALVES else "bfloat16"
    packing = in_bits(folder, bits, getattr(torch, computed))
    loaded = load(folder, device=device, dtype=kept_type, quantization=packing)
    made |= {
        "compute_dtype": computed if bits == 4 else "float16",
        "kept": unquantized(loaded.model, bits),
        "versions": {name: version(name) for name in ("bitsandbytes", "torch", "transformers")},
    }
    about = dict(getattr(loaded.model.config, "about", None) or {})
    loaded.model.config.about = {
        **about,
        "name": f"{loaded.name}-{bits}bit",
        "description": f"{loaded.about or loaded.name} Its language model is quantized to {bits} bits.",
        "quantized": made,
    }
    # bitsandbytes rearranges packed weights at the first product on some CPUs: they are saved before.
    save_checkpoint(loaded.model, loaded.processor, draft)
    write_card(draft, folder)
    expected = _read(loaded)
    device = str(loaded.model.device)
    del loaded
    opened = load(draft, device=device, dtype=kept_type)
    apart = float((_read(opened) - expected).abs().max() / expected.abs().max())
    if not apart <= SAME:
        raise CheckpointError(
            f"the quantized weights do not open as they were (what it predicts differs by {apart:.2g} of its size)",
            where=str(folder),
            next_step="Try other versions of bitsandbytes and transformers",
        )


def write_card(folder: Path, source: Path | None = None) -> None:
    """README.md from what config.json says; `source` is the checkpoint that it was made from, while it is at hand."""
    config = read_json(folder / "config.json")
    card = folder / "README.md"
    before = (source or folder) / "README.md"
    write_text(card, quantized_card(config, before.read_text(encoding="utf-8") if before.is_file() else ""))


def _read(loaded: LoadedModel) -> torch.Tensor:
    """(tokens, vocabulary): what the model holds of a sentence about a figure of the package; every part has its say."""
    prompt = read_prompt(loaded, next(example_questions(1)))
    return next_log_probabilities(loaded, prompt, loaded.tokenizer(SENTENCE, add_special_tokens=False)["input_ids"])
