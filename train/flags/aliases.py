"""Flags of LLaVA, its forks, TinyLLaVA Factory, xtuner and older transformers, as tables; `train.flags.translate` applies them.

Names and defaults are those of their trainers: LLaVA 0.2 and 1.5, LLaVA-NeXT, TinyLLaVABench, TinyLLaVA Factory 53f12c7.
"""

RENAMED = {
    # transformers < 5
    "evaluation_strategy": "eval_strategy",
    "warmup_ratio": "warmup_steps",
    "no_cuda": "use_cpu",
    "group_by_length": "group_by_modality_length",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
    # LLaVA-NeXT, TinyLLaVA
    "mm_vision_tower": "vision_tower",
    "vision_tower_lr": "mm_vision_tower_lr",
    # TinyLLaVA Factory
    "connector_type": "mm_projector_type",
    "conv_version": "version",
    # names of xtuner's settings (PA-LLaVA)
    "llm_name_or_path": "model_name_or_path",
    "visual_encoder_name_or_path": "vision_tower",
    "projector_type": "mm_projector_type",
    "batch_size": "per_device_train_batch_size",
    "accumulative_counts": "gradient_accumulation_steps",
    "max_epochs": "num_train_epochs",
    "lr": "learning_rate",
    "max_norm": "max_grad_norm",
}
"""Flag -> the flag of ours that means the same (a warm-up below 1 is a share of all steps)."""

ENVIRONMENT = {"logging_dir": "TENSORBOARD_LOGGING_DIR"}
"""Flag -> the environment variable that transformers 5 reads instead."""

SWITCH = ("true", "false", "1", "0", "yes", "no")
ANY: tuple[str, ...] = ()
WITHOUT_EFFECT: dict[str, tuple[tuple[str, ...], str]] = {
    "lazy_preprocess": (SWITCH, "samples are encoded when they are needed"),
    "is_multimodal": (SWITCH, "samples with and without images mix"),
    "overwrite_output_dir": (SWITCH, "--resume_from_checkpoint False starts anew in a folder with checkpoints"),
    "save_safetensors": (("true", "1", "yes"), "weights are always safetensors, never pickles"),
    "image_token_len": (ANY, "the model says how many tokens an image takes"),
    "sep_image_conv_front": (("false", "0", "no"), "the image stands in the user's turn"),
    "mm_use_im_patch_token": (SWITCH, "<im_patch> would be a token that no sample uses"),
    "mpt_attn_impl": (ANY, "--attn_implementation chooses the kernel"),
    "force_fsdp": (SWITCH, "FSDP2 shards frozen and learning weights alike"),
    "fsdp_transformer_layer_cls_to_wrap": (ANY, "the model names its own layers"),
    "cache_dir": (ANY, "HF_HOME says where downloads are kept"),
    "tokenizer_use_fast": (SWITCH, "the tokenizer is the checkpoint's own"),
    "tokenizer_padding_side": (("right",), "batches are padded on the right"),
    "vision_tower2": (("",), "one vision tower"),
    "training_recipe": (("common", "lora", "qlora"), "the tune_type flags say it"),
    "tune_embed_tokens": (("false", "0", "no"), "the embedding learns with the language model"),
    "tune_vision_tower": (
        ("false", "0", "no"),
        "their trainer stores it and does nothing; --tune_vit_from_layer 0 tunes the tower",
    ),
    "resampler_hidden_size": (ANY, "it belongs to another connector"),
    "num_queries": (ANY, "it belongs to another connector"),
    "num_resampler_layers": (ANY, "it belongs to another connector"),
    "include_tokens_per_second": (SWITCH, "tokens per second are always logged"),
    "use_fast_tokenizer": (SWITCH, "the tokenizer is the checkpoint's own"),
}
"""Flag -> (values that change nothing here; none listed: every value, the reason). At other values it is refused."""

SAME_VALUES = {
    "mm_projector_type": {"qformer_mlp": "scale_invariant"},  # PA-LLaVA
    "deepspeed": {f"deepspeed_{name}": name for name in ("zero2", "zero2_offload", "zero3", "zero3_offload")},  # xtuner
}
"""Flag -> other names of its values."""

REFUSED_VALUES = {
    "image_aspect_ratio": {
        "keep": "images of many sizes in one batch (LLaVA v0) are not supported; pad keeps the proportions",
        "anyres_max_9": "more than LLaVA 1.6's tiles are not supported; anyres takes --image_grid_pinpoints",
        "crop_split": "overlapping crops are not supported; anyres shows parts at full resolution",
        "highres": "overlapping crops are not supported; anyres shows parts at full resolution",
    },
    "mm_projector_type": {
        "identity": "a connector is needed between tower and language model",
        "resampler": "this connector is not supported; scale_invariant gives a fixed number of tokens",
        "qformer": "this connector is not supported; scale_invariant gives a fixed number of tokens",
        "mof_mlp": "two vision towers at once are not supported",
    },
}
"""Flag -> value -> why we do not do it."""

MERGE_TYPES = {"flat": ("pad", "square"), "spatial_unpad": ("anyres",)}
"""--mm_patch_merge_type -> the image preparations that it belongs to; they imply it here."""

VERSIONS = {
    # --version of LLaVA's *training*: 0.2 knows v0 (Human / ###) and takes vicuna_v1_1 (USER / </s>) for all other names,
    # though its conversation of the name "v1" is Human / ###; from 1.0 on v1 is vicuna_v1 everywhere.
    **dict.fromkeys(("v0", "v0.5", "vicuna_v0", "llava_v0"), "v0"),
    **dict.fromkeys(("v1", "v1-1", "v1.1", "vicuna_v1", "vicuna_v1_1"), "vicuna_v1"),
    # The same text; the end token is the tokenizer's own.
    **dict.fromkeys(("phi", "llama", "qwen2_base", "qwen2_instruct", "gemma"), "vicuna_v1"),
    **dict.fromkeys(("plain", "v0_plain", "pretrain"), "plain"),
    **dict.fromkeys(("llama_3", "llava_llama_3", "llama3_chat"), "llama_3"),
    **dict.fromkeys(("qwen_1_5", "qwen_2"), "qwen"),
    "mistral_direct": "chatml_direct",
}
"""--version (LLaVA), --conv_version (Factory), prompt_template (xtuner) -> the chat template of the same text, where it is
not one of the same name. Those that we do not ship are refused."""

STAGE_FLAGS = {
    "freeze_backbone": "llava",
    "tune_mm_mlp_adapter": "llava",
    "freeze_mm_mlp_adapter": "llava",
    "unfreeze_mm_vision_tower": "llava",
    "mm_tunable_parts": "llava",
    "tune_entire_model": "tinyllava",
    "tune_type_llm": "factory",
    "tune_type_connector": "factory",
    "tune_type_vision_tower": "factory",
    "tune_vision_tower_from_layer": "factory",
}
"""Flags that say which parts learn -> whose they are. They are resolved together, in their trainer's order."""

DIALECT_FLAGS = {
    **STAGE_FLAGS,
    **dict.fromkeys(("version", "mm_use_im_patch_token", "lazy_preprocess", "is_multimodal"), "llava"),
    **dict.fromkeys(("conv_version", "connector_type", "training_recipe"), "factory"),
}
"""Flags that only their trainers have: a command line with one of them is read with their defaults."""

DIALECTS = ("factory", "tinyllava", "llava")
"""Most special first: TinyLLaVA's trainers have LLaVA's flags too."""

DEFAULTS = {
    "llava": {
        "version": "v0",
        "mm_projector_type": "linear",
        "mm_vision_select_layer": "-1",
        "image_aspect_ratio": "square",
    },
    "tinyllava": {
        "version": "v0",
        "mm_projector_type": "linear",
        "mm_vision_select_layer": "-1",
        "image_aspect_ratio": "pad",
    },
    "factory": {
        "version": "pretrain",
        "mm_projector_type": "linear",
        "mm_vision_select_layer": "-1",
        "image_aspect_ratio": "square",
    },
}
"""Dialect -> what its trainer does where the command line is silent and ours would build another model."""

NO_LAYER = 100
"""TinyLLaVA's default of --tune_vit_from_layer: more layers than any tower has, so none learns; -1 is the whole tower."""
