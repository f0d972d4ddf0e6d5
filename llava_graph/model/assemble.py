"""A LLaVA from parts. In: an `Assembly`, which names a language model and a vision tower. Out: a checkpoint folder.

Models are transformers' own LLaVA and LLaVA-NeXT, or one of `connectors`.
"""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llava_graph.chat import IMAGE_TOKEN, load_template
from llava_graph.errors import CheckpointError, InputError
from llava_graph.model.assembly import MLP, Assembly
from llava_graph.model.hub import part_folder
from llava_graph.model.preparation import (
    LLAVA_GRIDS,
    PA_LLAVA_GRIDS,
    PREPARATIONS,
    Grids,
    build_processor,
    check_grids,
    grids_in_pixels,
)
from llava_graph.model.tokenizer_files import open_tokenizer
from llava_graph.model.towers import VisionTower, quiet_loading, read_errors, read_json, read_tower, unreadable
from llava_graph.model.vocabulary import add_tokens, choose_template, end_tokens, grow, wrap_images

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def assemble_checkpoint(out: Path, assembly: Assembly) -> Path:
    """Write the checkpoint to the new folder `out` and return it. Raises InputError, CheckpointError.

    The folder appears when it is complete. One that was made of the same parts is left as it is, so that any number of
    processes may call this one after the other, or two machines at once.
    """
    if _made_of(out) == assembly.fingerprint:
        return out
    if out.exists() and any(out.iterdir()):
        raise InputError(
            "the folder holds something else than a model of these parts",
            where=str(out),
            next_step="Remove it, or give another folder",
        )
    import torch

    draft = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}")
    try:
        with torch.random.fork_rng(devices=[]):  # the caller's random state stays as it was
            _write(draft, assembly)
        try:
            draft.replace(out)
        except OSError:
            if _made_of(out) != assembly.fingerprint:  # else another machine was faster
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return out


def _made_of(folder: Path) -> str | None:
    about = read_json(folder / "config.json").get("about")
    return about.get("assembled", {}).get("fingerprint") if isinstance(about, dict) else None


def _write(out: Path, assembly: Assembly) -> None:
    """The steps of an assembly."""
    from llava_graph.model.build import save_checkpoint
    from llava_graph.model.connector_weights import load_connector

    text, tokenizer = read_language_model(assembly)
    tower = read_tower(assembly.vision_tower, text.dtype)
    template = assembly.template or choose_template(tokenizer)
    template = wrap_images(template) if assembly.im_start_end else template
    grow(text, tokenizer, add_tokens(tokenizer, template, assembly.new_tokens))
    model = join(text, tower, assembly, tokenizer)
    check_text_side(model, text)
    if assembly.adapter:
        load_connector(model, tokenizer, assembly.adapter)
    set_ends(model, text, tokenizer, template)
    model.config.about = assembly.about
    processor = build_processor(
        tower,
        tokenizer,
        template,
        preparation=assembly.preparation,
        strategy=model.config.vision_feature_select_strategy,
        grids=grids(assembly, tower),
    )
    save_checkpoint(model, processor, out)


def read_language_model(assembly: Assembly) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The language model on the CPU and its tokenizer. Raises CheckpointError."""
    from transformers import AutoModelForCausalLM

    folder = part_folder(assembly.language_model)
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            "no language model (config.json is missing)", where=str(folder), next_step="Give the folder of one"
        )
    common: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        with quiet_loading():
            tokenizer = open_tokenizer(folder)
            model, report = AutoModelForCausalLM.from_pretrained(
                folder, dtype=assembly.dtype, output_loading_info=True, **common
            )
    except read_errors() as error:
        raise unreadable(error, folder) from error
    if missing := sorted([*report["missing_keys"], *map(str, report["mismatched_keys"])], key=str):
        raise CheckpointError(f"{len(missing)} weights are missing ({', '.join(missing[:3])})", where=str(folder))
    head = model.get_output_embeddings()
    if getattr(head, "bias", None) is not None and head.bias.any():
        raise CheckpointError(
            f"{type(model).__name__} adds a bias to its output, which a LLaVA has not",
            where=str(folder),
            next_step="Take another language model",
        )
    return model.eval(), tokenizer


def grids(assembly: Assembly, tower: VisionTower) -> Grids:
    """(height, width) in px of the tiled grids; () when images are not tiled."""
    if not assembly.tiles:
        return ()
    usual = PA_LLAVA_GRIDS if assembly.connector == "scale_invariant" else LLAVA_GRIDS
    return check_grids(
        assembly.grid_pinpoints or grids_in_pixels(usual, tower.image_size),
        tower.image_size,
    )


def join(
    text: PreTrainedModel, tower: VisionTower, assembly: Assembly, tokenizer: PreTrainedTokenizerBase
) -> PreTrainedModel:
    """One model that shares the weights of its parts; only the connector is new. Raises CheckpointError."""
    import torch

    assembly.check_layer(tower.model.config.num_hidden_layers)
    kind, config_kind = _classes(assembly)
    text.config.pad_token_id = tokenizer.pad_token_id
    config = config_kind(
        vision_config=tower.model.config,
        text_config=text.config,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        vision_feature_layer=assembly.select_layer,
        vision_feature_select_strategy=_strategy(assembly, tower),
        tie_word_embeddings=bool(text.config.tie_word_embeddings),
        pad_token_id=tokenizer.pad_token_id,
        **_settings(assembly, tower),
    )
    with torch.device("meta"):
        model = kind(config)
    backbone = text.base_model
    if type(model.model.language_model) is not type(backbone) or not _fits(model.lm_head, text.get_output_embeddings()):
        raise CheckpointError(
            f"{type(text).__name__} cannot be the language model of a LLaVA",
            where=assembly.language_model,
            next_step="Take a plain decoder such as Llama, Qwen or Mistral",
        )
    model.model.language_model, model.lm_head = backbone, text.get_output_embeddings()
    model.model.vision_tower = tower.model
    torch.manual_seed(assembly.seed)
    connector = type(model.model.multi_modal_projector)(config)
    width = config.text_config.hidden_size
    if hasattr(model.model, "image_newline"):
        model.model.image_newline = torch.nn.Parameter((torch.randn(width) / width**0.5).to(text.dtype))
    if assembly.stock and assembly.connector != "mlp2x_gelu":
        make_linear(connector)
    model.model.multi_modal_projector = connector.to(text.dtype)
    return model.eval()


def _classes(assembly: Assembly) -> tuple[Any, Any]:
    """Class of the model, class of its config."""
    import transformers

    from llava_graph.model import connectors

    if assembly.preparation == "anyres":
        return transformers.LlavaNextForConditionalGeneration, transformers.LlavaNextConfig
    if assembly.stock:
        return transformers.LlavaForConditionalGeneration, transformers.LlavaConfig
    connectors.register()
    if assembly.connector == "scale_invariant":
        return connectors.LlavaScaleInvariantForConditionalGeneration, connectors.LlavaScaleInvariantConfig
    return connectors.LlavaMlpForConditionalGeneration, connectors.LlavaMlpConfig


def _settings(assembly: Assembly, tower: VisionTower) -> dict[str, Any]:
    """What only this kind of connector or image preparation has in its config."""
    out: dict[str, Any] = {}
    extra = tower.class_tokens if assembly.select_feature == "cls_patch" else 0
    if assembly.preparation != "anyres":
        out["image_seq_length"] = tower.patches + extra
    if assembly.stock:
        out["projector_hidden_act"] = "gelu" if assembly.connector == "mlp2x_gelu" else "linear"
    if depth := MLP.fullmatch(assembly.connector):
        out |= {} if assembly.stock else {"connector_depth": int(depth[1])}
    if assembly.connector == "scale_invariant":
        out["connector_heads"] = max(1, tower.model.config.hidden_size // 64)
    if assembly.tiles:
        out["image_grid_pinpoints"] = [list(grid) for grid in grids(assembly, tower)]
    return out


def _strategy(assembly: Assembly, tower: VisionTower) -> str:
    return "default" if tower.class_tokens and assembly.select_feature == "patch" else "full"


def _fits(ours: Any, theirs: Any) -> bool:
    return theirs is not None and hasattr(theirs, "weight") and ours.weight.shape == theirs.weight.shape


def make_linear(connector: Any) -> None:
    """Let transformers' two-layer connector compute one linear map: the second layer is the identity, and stays it."""
    import torch

    with torch.no_grad():
        connector.linear_2.weight.copy_(torch.eye(connector.linear_2.out_features))
        connector.linear_2.bias.zero_()


def check_text_side(model: PreTrainedModel, text: PreTrainedModel) -> None:
    """Raises CheckpointError when the new model does not compute what its language model does (scaled or capped logits)."""
    import torch

    ids = torch.arange(1, 9)[None] % text.config.vocab_size
    with torch.inference_mode():
        same = torch.equal(model(input_ids=ids).logits, text(input_ids=ids).logits)
    if not same:
        raise CheckpointError(
            f"a LLaVA does not compute what {type(text).__name__} computes: it scales or caps its outputs",
            next_step="Take a plain decoder such as Llama, Qwen or Mistral",
        )


def set_ends(model: PreTrainedModel, text: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, template: str) -> None:
    """Greedy by default; an answer ends where the chat template ends one."""
    from transformers import GenerationConfig

    before = text.generation_config.eos_token_id
    ends = [*(before if isinstance(before, list) else [before]), *end_tokens(tokenizer, template)]
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=[end for end in dict.fromkeys(ends) if end is not None],
        pad_token_id=tokenizer.pad_token_id,
        do_sample=False,
    )


def assemble_command(  # noqa: PLR0917  (typer reads the options from the signature)
    language_model: Annotated[str, typer.Option(help="Language model: a folder or owner/name on the hub.")],
    vision_tower: Annotated[str, typer.Option(help="CLIP, SigLIP, SigLIP 2 or open_clip: a folder or owner/name.")],
    out: Annotated[Path, typer.Option(help="New folder for the checkpoint.")],
    connector: Annotated[str, typer.Option(help="linear, mlpNx_gelu (N layers) or scale_invariant.")] = "mlp2x_gelu",
    select_layer: Annotated[int, typer.Option(help="Layer of the vision tower that is read.")] = -2,
    select_feature: Annotated[str, typer.Option(help="patch, or cls_patch: with the class token.")] = "patch",
    images: Annotated[str, typer.Option(help=f"How images are prepared: {', '.join(PREPARATIONS)}.")] = "pad",
    template: Annotated[
        str | None, typer.Option(help="Chat template by name. Default: ChatML if the model knows it, else vicuna_v1.")
    ] = None,
    adapter: Annotated[str | None, typer.Option(help="Trained connector to begin with.")] = None,
    im_start_end: Annotated[bool, typer.Option(help="Write <im_start> and <im_end> around each image.")] = False,
    new_token: Annotated[list[str] | None, typer.Option(help="Token to add; can be given several times.")] = None,
    dtype: Annotated[str, typer.Option(help="auto (the language model's), float32, bfloat16 or float16.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of the new connector's weights.")] = 0,
) -> None:
    """Join a language model and a vision tower to a LLaVA; its connector is still to be trained.

    Example: llava-graph model assemble --language-model Qwen/Qwen3-0.6B --vision-tower google/siglip2-base-patch16-384
    --out models/new
    """
    assembly = Assembly(
        language_model=language_model,
        vision_tower=vision_tower,
        connector=connector,
        select_layer=select_layer,
        select_feature=select_feature,
        preparation=images,
        template=load_template(template) if template else None,
        adapter=adapter,
        im_start_end=im_start_end,
        new_tokens=tuple(new_token or ()),
        dtype=dtype,
        seed=seed,
    )
    assemble_checkpoint(out, assembly)
    made = read_json(out / "config.json")["about"]
    typer.echo(f"{out}: {made['description']}")
