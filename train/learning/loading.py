"""The model that a run trains. In: a command. Out: a checkpoint that is opened, or joined from parts and then opened."""

from __future__ import annotations

import ast
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.errors import InputError, MissingExtra
from llava_graph.model.quantize import unquantized
from train.batching.checking import as_first_process
from train.learning.adapters import needs_lora
from train.running.distributed import unsplit_models

if TYPE_CHECKING:
    from llava_graph.model import LoadedModel
    from llava_graph.model.assembly import Assembly
    from llava_graph.model.preparation import Grids
    from train.flags.arguments import Command

INITIAL = "initial"
"""Folder in the output folder: the model that was joined for this run, before its first step."""


def load_to_train(command: Command) -> LoadedModel:
    """The asked model in training mode; every process calls it.

    What learns is in float32, which optimizers need (--bf16 computes in bfloat16). Raises InputError, CheckpointError,
    MissingExtra.
    """
    from llava_graph.model import load

    asked = command.model
    folder = assembled(command) if joins_parts(command) else asked.model_name_or_path
    loaded = load(
        folder,
        device=command.training.device if asked.bits != 16 else "cpu",
        dtype=number_format(command),
        quantization=quantization(command, folder) if asked.bits != 16 else None,
        empty=needs_no_weights(command),
    )
    if getattr(loaded.model.config, "quantization_config", None) and (asked.merge_lora or not needs_lora(command)):
        raise InputError(
            "--merge_lora with a quantized model would keep its rounding"
            if asked.merge_lora
            else "the checkpoint is quantized, and its weights cannot learn",
            where=str(folder),
            next_step="Leave --merge_lora out" if asked.merge_lora else "Add --lora_enable True (QLoRA)",
        )
    if not joins_parts(command):
        loaded = adjusted(loaded, command)
    loaded.model.train()
    loaded.model.config.use_cache = False
    return loaded


def needs_no_weights(command: Command) -> bool:
    """Whether --dry_run can do with the shapes of a model: where nothing is read into it, packed or cut up."""
    asked, training = command.model, command.training
    reads = asked.pretrain_mm_mlp_adapter or asked.lora_weight_path or asked.bits != 16
    return training.dry_run and not reads and not training.deepspeed and not training.fsdp


def joins_parts(command: Command) -> bool:
    """Whether a new model is asked for. LLaVA's scripts name the tower of a finished model too: that one has its own.

    A finished model in LLaVA's own layout is none to join either: opening it says how to convert it.
    """
    from llava_graph.model.hub import checkpoint_folder
    from llava_graph.model.legacy.settings import is_llava_config
    from llava_graph.model.towers import read_json

    if command.model.vision_tower is None:
        return False
    config = read_json(checkpoint_folder(command.model.model_name_or_path) / "config.json")
    return "vision_config" not in config and not is_llava_config(config)


def loading_notes(command: Command) -> list[str]:
    """What a person should know about how the model is opened, for the plan."""
    asked = command.model
    if joins_parts(command):
        return [f"the model is joined from its parts, with a new connector, in {_initial(command)}"]
    if asked.vision_tower is not None:
        return [f"--vision_tower {asked.vision_tower} is left out: the checkpoint has its own"]
    return []


def assembled(command: Command) -> Path:
    """The folder of the model that is joined for this run: once, by the first process of each machine at most."""
    from llava_graph.model.assemble import assemble_checkpoint

    training, parts, out = command.training, assembly(command), _initial(command)

    def join() -> Path:
        out.parent.mkdir(parents=True, exist_ok=True)
        with unsplit_models(training):
            return assemble_checkpoint(out, parts)

    as_first_process(join)
    if not out.is_dir():  # this machine has a disk of its own
        with training.main_process_first(desc="joining the model"):
            join()
    return out


def _initial(command: Command) -> Path:
    return Path(command.training.output_dir) / INITIAL


def assembly(command: Command) -> Assembly:
    """What the model flags say of a new model. Raises InputError."""
    from llava_graph.chat import load_template
    from llava_graph.model.assembly import Assembly

    asked = command.model
    return Assembly(
        language_model=asked.model_name_or_path,
        vision_tower=str(asked.vision_tower),
        connector=asked.mm_projector_type,
        select_layer=asked.mm_vision_select_layer,
        select_feature=asked.mm_vision_select_feature,
        preparation=asked.image_aspect_ratio or "pad",
        grid_pinpoints=read_pinpoints(asked.image_grid_pinpoints),
        template=load_template(asked.chat_template) if asked.chat_template else None,
        adapter=asked.pretrain_mm_mlp_adapter,
        im_start_end=asked.mm_use_im_start_end,
        new_tokens=tuple(asked.new_tokens),
        seed=command.training.seed,
    )


def read_pinpoints(text: str | None) -> Grids:
    """'[(336, 672), (672, 336)]', (height, width) in px -> pairs; () for None. Raises InputError."""
    if text is None:
        return ()
    try:
        found = ast.literal_eval(text)
        pairs = tuple((int(height), int(width)) for height, width in found)
    except (ValueError, TypeError, SyntaxError) as error:
        raise InputError(
            f"--image_grid_pinpoints {text!r} is no list of pairs", next_step="Write '[(336, 672), (672, 336)]'"
        ) from error
    return pairs


def adjusted(loaded: LoadedModel, command: Command) -> LoadedModel:
    """An opened checkpoint with the asked chat template, image preparation and connector."""
    from llava_graph.chat import load_template
    from llava_graph.model.connector_weights import load_connector
    from llava_graph.model.preparation import change_preparation
    from llava_graph.model.vocabulary import wrap_images

    asked = command.model
    template = load_template(asked.chat_template) if asked.chat_template else loaded.template
    if asked.mm_use_im_start_end:
        template = wrap_images(template)
    if template != loaded.template:
        loaded = with_template(loaded, template)
    if asked.image_aspect_ratio:
        change_preparation(loaded.image_processor, asked.image_aspect_ratio)
    if asked.image_grid_pinpoints:
        raise InputError(
            "--image_grid_pinpoints belongs to a new model: a checkpoint keeps its tiles",
            next_step="Leave it out, or give --vision_tower and a language model",
        )
    if asked.pretrain_mm_mlp_adapter:
        load_connector(loaded.model, loaded.tokenizer, asked.pretrain_mm_mlp_adapter)
    return loaded


def with_template(loaded: LoadedModel, template: str) -> LoadedModel:
    """The model with another chat template: it knows its marks, and where it ends an answer."""
    from llava_graph.model.vocabulary import add_tokens, end_tokens, grow

    if not loaded.counts_image_tokens:
        raise InputError(
            f"our chat templates are LLaVA's; a {loaded.model.config.model_type} keeps its own",
            next_step="Leave out --chat_template, --version and --mm_use_im_start_end",
        )
    if new := add_tokens(loaded.tokenizer, template):
        grow(loaded.model, loaded.tokenizer, new)
    generation = loaded.model.generation_config
    before = generation.eos_token_id
    ends = [*(before if isinstance(before, list) else [before]), *end_tokens(loaded.tokenizer, template)]
    generation.eos_token_id = [end for end in dict.fromkeys(ends) if end is not None]
    loaded.processor.chat_template = template
    return replace(loaded, template=template)


def number_format(command: Command) -> str:
    """How the weights are opened. Frozen ones stay as they are stored where the run computes in bfloat16 anyway.

    What learns becomes float32 in any case (`train.learning.stages`); DeepSpeed keeps a float32 copy of its own.
    """
    asked, training = command.model, command.training
    frozen = asked.stage != "full" or asked.lora_enable or asked.lora_weight_path
    return "auto" if frozen and training.bf16 and not training.deepspeed else "float32"


def quantization(command: Command, folder: Path | str) -> Any:
    """bitsandbytes' settings for --bits: the language model alone is quantized. Raises InputError, MissingExtra."""
    import torch
    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        raise MissingExtra("bitsandbytes", "bits", needed_for=f"--bits {command.model.bits}")
    asked, training = command.model, command.training
    with unsplit_models(training):
        kept = unquantized(_without_weights(folder), asked.bits)
    if asked.bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=kept)
    computed = torch.bfloat16 if training.bf16 else torch.float16 if training.fp16 else torch.float32
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=asked.quant_type,
        bnb_4bit_use_double_quant=asked.double_quant,
        bnb_4bit_compute_dtype=computed,
        llm_int8_skip_modules=kept,
    )


def _without_weights(folder: Path | str) -> Any:
    """The model's modules, without memory for their weights."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    from llava_graph.model.adapters import base_folder, is_adapter
    from llava_graph.model.connectors import register
    from llava_graph.model.hub import checkpoint_folder

    register()
    place = checkpoint_folder(folder)
    config = AutoConfig.from_pretrained(base_folder(place) if is_adapter(place) else place, local_files_only=True)
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config)
