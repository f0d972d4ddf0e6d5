"""What a run is asked for, as three dataclasses; their fields are the flags. `train.flags.command` reads them.

transformers' own names everywhere, LLaVA's where transformers has none.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from llava_graph.chat import template_names
from llava_graph.figure_text import OCR_STYLES
from train.sources.figures import SLOTS

STAGES = ("full", "projector", "frozen-tower")
ASPECT_RATIOS = ("pad", "square", "anyres")
BAD_IMAGE_POLICIES = ("drop", "blank", "text")
ATTENTIONS = ("auto", "eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3", "segments")


@dataclass
class ModelArguments:
    """What is trained."""

    model_name_or_path: str = field(
        metadata={"help": "Checkpoint to start from; with --vision_tower a language model. Folder or owner/name."}
    )
    stage: str = field(
        default="full",
        metadata={"help": "full: everything; projector: the connector alone; frozen-tower: all but the vision tower."},
    )
    chat_template: str | None = field(
        default=None, metadata={"help": f"One of {', '.join(template_names())}. Default: the checkpoint's own."}
    )
    model_name: str | None = field(default=None, metadata={"help": "What the trained model calls itself."})
    about: str | None = field(default=None, metadata={"help": "What it is, in a sentence; stored in its config.json."})
    follows_instructions: bool | None = field(
        default=None,
        metadata={
            "help": "Whether it says that it takes wishes for an explanation. Default: whether the data hold dialogues."
        },
    )
    max_images: int | None = field(
        default=None, metadata={"help": "Images that it says it takes in a conversation. Default: it says nothing."}
    )
    save_dtype: str | None = field(
        default=None,
        metadata={"help": "Number format of the final weights: float32, bfloat16, float16. Default: as loaded."},
    )
    vision_tower: str | None = field(
        default=None,
        metadata={"help": "CLIP, SigLIP, SigLIP2 or open_clip checkpoint to join with the language model."},
    )
    mm_projector_type: str = field(
        default="mlp2x_gelu", metadata={"help": "Connector of a new model: linear, mlpNx_gelu, scale_invariant."}
    )
    mm_vision_select_layer: int = field(default=-2, metadata={"help": "Layer of the vision tower that is read."})
    mm_vision_select_feature: str = field(
        default="patch", metadata={"help": "patch: without the tower's class token; cls_patch: with it."}
    )
    pretrain_mm_mlp_adapter: str | None = field(
        default=None, metadata={"help": "Trained connector to begin with: safetensors, or a .bin of LLaVA's layout."}
    )
    mm_use_im_start_end: bool = field(
        default=False, metadata={"help": "Write <im_start> and <im_end> around each image; both are new tokens."}
    )
    new_tokens: list[str] = field(default_factory=list, metadata={"help": "Tokens added to the vocabulary."})
    image_aspect_ratio: str | None = field(
        default=None,
        metadata={"help": f"Image preparation: {', '.join(ASPECT_RATIOS)}. Default: the checkpoint's own; new: pad."},
    )
    image_grid_pinpoints: str | None = field(
        default=None, metadata={"help": "AnyRes grids as '[(336, 672), …]' in px. Default: LLaVA 1.6's, by the tower."}
    )
    tune_vit_from_layer: int | None = field(
        default=None,
        metadata={"help": "Vision tower layers from this one on learn (0: all). Default: as the stage says."},
    )
    lora_enable: bool = field(
        default=False, metadata={"help": "LoRA on the language model; the connector learns whole."}
    )
    lora_r: int = field(default=64, metadata={"help": "Rank of LoRA."})
    lora_alpha: int = field(default=16, metadata={"help": "Scale of LoRA (alpha / r)."})
    lora_dropout: float = field(default=0.05, metadata={"help": "Dropout of LoRA."})
    lora_bias: str = field(default="none", metadata={"help": "none, all or lora_only."})
    lora_target: str = field(
        default="language-model", metadata={"help": "language-model, or all: the vision tower gets LoRA too."}
    )
    lora_weight_path: str | None = field(default=None, metadata={"help": "Adapter folder to go on from."})
    merge_lora: bool = field(
        default=False, metadata={"help": "Write the merged model instead of the adapter (not with --bits 4 or 8)."}
    )
    bits: int = field(default=16, metadata={"help": "4 or 8: the language model is frozen in so many bits (QLoRA)."})
    quant_type: str = field(default="nf4", metadata={"help": "4-bit format: nf4 or fp4."})
    double_quant: bool = field(default=True, metadata={"help": "Quantize the 4-bit scales too."})
    attn_implementation: str = field(
        default="auto",
        metadata={"help": f"One of {', '.join(ATTENTIONS)}. auto: the fastest that is here and exact for the batches."},
    )


@dataclass
class DataArguments:
    """What it learns from."""

    data_path: list[str] = field(
        metadata={
            "help": "Data set folders of ours, LLaVA JSONs (.json, .jsonl), mixtures (.yaml); several are joined."
        }
    )
    image_folder: str | None = field(default=None, metadata={"help": "Where the images of a LLaVA JSON lie."})
    data_weights: list[float] = field(
        default_factory=list,
        metadata={"help": "How often each of the data paths is shown, relative to its size (1: as it is)."},
    )
    train_split: str = field(default="train", metadata={"help": "Split of our data set that is trained on."})
    eval_split: str | None = field(default=None, metadata={"help": "Split that is evaluated (--eval_strategy)."})
    eval_data_path: list[str] | None = field(
        default=None, metadata={"help": "Other data paths to evaluate on. Default: --eval_split of the data path."}
    )
    eval_generate: int = field(
        default=0, metadata={"help": "Records for which an evaluation also writes explanations and scores them."}
    )
    context: list[str] = field(
        default_factory=lambda: ["caption", "ocr"],
        metadata={"help": f"What the prompt shows beside the figure: {', '.join(SLOTS)}. 'none' shows nothing."},
    )
    context_dropout: float = field(
        default=0.0, metadata={"help": "Chance that a slot of the context is left out, drawn anew each epoch (0..1)."}
    )
    ocr_style: str | None = field(
        default=None,
        metadata={
            "help": f"How the text in the figure is written: {', '.join(OCR_STYLES)}. Default: the checkpoint's own."
        },
    )
    ocr_corruption: float = field(
        default=0.0,
        metadata={"help": "Share of its lines that are lost or misread, drawn anew each epoch (0..1)."},
    )
    text_only: bool = field(
        default=False,
        metadata={
            "help": "Leave the figures out: a cheap first stage, in which a new language model learns to use its context."
        },
    )
    max_context_tokens: int = field(default=512, metadata={"help": "Budget of the context in tokens."})
    model_max_length: int | None = field(
        default=None, metadata={"help": "Longest sample in tokens, images included. Default: the model's context."}
    )
    max_samples: int | None = field(default=None, metadata={"help": "Take only the first N samples of each data path."})
    streaming: bool = field(
        default=False,
        metadata={"help": "Read, check and pack while training, not before; needs --max_steps."},
    )
    bad_image: str = field(
        default="drop",
        metadata={"help": "A missing or broken image: drop the sample, show a blank image, or keep its text alone."},
    )
    max_refused: float = field(
        default=0.1, metadata={"help": "A larger share of refused samples stops the run before it begins (0..1)."}
    )
    check_workers: int | None = field(
        default=None,
        metadata={"help": "Processes that look at the samples first. Default: one a core, for large data."},
    )


@dataclass
class TrainArguments(TrainingArguments):
    """transformers' TrainingArguments with defaults that suit figures, and learning rates per part."""

    learning_rate: float = field(
        default=2e-5, metadata={"help": "LLaVA 1.5 fine-tunes at 2e-5, its projector at 1e-3."}
    )
    logging_steps: float = field(default=10, metadata={"help": "Steps between log lines."})
    remove_unused_columns: bool = field(default=False, metadata={"help": "Our batches hold only what the model takes."})
    mm_projector_lr: float | None = field(default=None, metadata={"help": "Learning rate of the connector."})
    mm_vision_tower_lr: float | None = field(default=None, metadata={"help": "Learning rate of the vision tower."})
    group_by_modality_length: bool = field(
        default=False, metadata={"help": "Batches of similar length, with or without images: less padding."}
    )
    packing: bool = field(
        default=False,
        metadata={"help": "Lay samples end to end in rows of --packing_length tokens instead of padding them."},
    )
    packing_length: int | None = field(
        default=None, metadata={"help": "Tokens of a packed row. Default: the longest sample allowed."}
    )
    packing_max_images: int | None = field(
        default=None, metadata={"help": "Images of a packed row at most: bounds the vision tower's memory."}
    )
    vision_cache: str | None = field(
        default=None,
        metadata={"help": "Folder for the features of a frozen vision tower, computed once and read in later epochs."},
    )
    muon: bool = field(
        default=False,
        metadata={
            "help": "Muon for the matrices inside the layers, AdamW for the rest: fewer steps where much is learnt anew."
        },
    )
    compile_layers: bool = field(
        default=False,
        metadata={"help": "torch.compile the layers of language model and vision tower, one by one: quick to compile."},
    )
    dry_run: bool = field(default=False, metadata={"help": "Print the plan and stop."})
    audit: bool = field(
        default=False, metadata={"help": "Print how long the samples are and what was refused, and stop."}
    )
    allow_changed_resume: bool = field(
        default=False,
        metadata={
            "help": "Go on from --resume_from_checkpoint DIR though settings that decide the order have changed since."
        },
    )
    logging_nan_inf_filter: bool = field(
        default=False, metadata={"help": "Hide losses that are no number from the log; asks the device at every step."}
    )
    max_bad_steps: int = field(
        default=3, metadata={"help": "Steps in a row without a finite loss or gradient after which the run stops."}
    )
    global_batch_size: int | None = field(
        default=None,
        metadata={
            "help": "Samples (packed: rows) of a step over all processes; gradient accumulation follows from it."
        },
    )
    peak_tflops: float | None = field(
        default=None,
        metadata={"help": "Peak TFLOP/s of one device, for the MFU. Default: known for common GPUs; on a CPU no MFU."},
    )

    def __post_init__(self) -> None:
        from train.running.distributed import prepare_arguments

        prepare_arguments(self)
        super().__post_init__()
        if self.run_name is None:
            self.run_name: str | None = Path(str(self.output_dir)).name


@dataclass(frozen=True)
class Command:
    """A parsed command line."""

    model: ModelArguments
    data: DataArguments
    training: TrainArguments
    notes: tuple[str, ...]
    """What was translated or ignored, for the plan."""


def settings(command: Command) -> dict[str, Any]:
    """All arguments as plain values, for the saved plan."""
    return {
        **vars(command.model),
        **vars(command.data),
        **{name: value for name, value in command.training.to_dict().items() if value is not None},
    }
