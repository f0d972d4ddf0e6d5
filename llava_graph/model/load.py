"""A checkpoint in, a model ready to answer out. Nothing is decided by the spelling of the path."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llava_graph.errors import CheckpointError, InputError, missing_extra
from llava_graph.model.about import SEVERAL_IMAGES, read_about
from llava_graph.model.adapters import base_under, merge_adapter, own_config
from llava_graph.model.device import device_named
from llava_graph.model.hub import checkpoint_folder
from llava_graph.model.prompts import LLAVA_PROCESSORS, PROCESSOR_ERRORS, count_image_tokens
from llava_graph.prompt import PromptOptions

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

PACKAGED = Path(__file__).parent / "packaged"
"""The small model that travels with the package."""

SHOW_PROGRESS_MB = 500
"""Below this weights load in a second or two, and a progress bar is noise in the output of a command."""

FIXED_TOKENS = "LlavaProcessor"
"""The processor under which an image takes the same number of tokens whatever its size."""

PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model with everything needed to ask it something."""

    model: PreTrainedModel
    """In evaluation mode, on its device."""
    processor: ProcessorMixin
    template: str
    """Jinja source of the checkpoint's chat template."""
    image_tokens: int
    """Tokens that an image takes; of a small one where it depends on the size (see `tokens_of`)."""
    context_length: int
    """tokens, prompt and answer together"""
    name: str
    """What the checkpoint calls itself."""
    about: str
    """What it is, in a sentence; empty when the checkpoint does not say."""
    prompt: PromptOptions = PromptOptions()
    """What its training showed beside the figure, and how."""
    instructions: bool = True
    """Whether it follows instructions; one that learnt nothing but to explain figures says no (`about.instructions`)."""
    max_images: int = SEVERAL_IMAGES
    """Images that one conversation may show; a model that learnt with one says so (`about.max_images`)."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The checkpoint's tokenizer."""
        return self.processor.tokenizer

    @property
    def image_processor(self) -> Any:
        """From PIL images to `pixel_values` (images, 3, H, W)."""
        return self.processor.image_processor

    @property
    def counts_image_tokens(self) -> bool:
        """Whether a prompt's ids can be had without its images: each image token stands `tokens_of(size)` times.

        Else the checkpoint's own processor has to be asked (row marks, frames, patches of any aspect).
        """
        return type(self.processor).__name__ in LLAVA_PROCESSORS

    def tokens_of(self, size: tuple[int, int]) -> int:
        """Tokens that an image of `size` (width, height in px, as PIL's) takes in the prompt."""
        if type(self.processor).__name__ == FIXED_TOKENS:
            return self.image_tokens
        if not self.counts_image_tokens:
            return count_image_tokens(self.processor, size)
        # transformers' own arithmetic, on which engines with paged memory rely: no image is touched.
        count = self.processor._get_num_multimodal_tokens(image_sizes=[(size[1], size[0])])
        return int(count["num_image_tokens"][0])

    def prepare(self, images: Sequence[Image.Image]) -> dict[str, torch.Tensor]:
        """The model's inputs for these images, float32 on the CPU; {} for none.

        LLaVA: `pixel_values` (images, 3, H, W). AnyRes: `pixel_values` (images, tiles, 3, H, W), zeros after an image's
        own tiles, and `image_sizes` (images, 2) as height, width. Other models: see `llava_graph.model.prompts`.
        """
        if not images:
            return {}
        prepared = self.image_processor(images=list(images), return_tensors="pt")
        return {name: prepared[name] for name in self.image_processor.model_input_names if name in prepared}


def load(
    path: Path | str | None = None,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    quantization: Any = None,
    bits: Literal[4, 8] | None = None,
    base: Path | str | None = None,
    empty: bool = False,
) -> LoadedModel:
    """Open a checkpoint with safetensors weights; code in it is never run.

    `path` is a folder, else `owner/name` on the Hugging Face hub; None: the packaged model. An adapter folder is laid over
    `base`, or the base model that it names, in memory. `device` None is the GPU if there is one. `dtype` None is float32 on
    a CPU, where bfloat16 is slow without a matrix unit, and the checkpoint's own elsewhere. `bits` packs the language model's
    weights; `quantization` is a config of transformers' quantizers instead; a checkpoint that is packed already needs neither.
    `empty`: the model has shapes and no weights, and takes no memory (an adapter's: its base's). Raises CheckpointError that
    names what is missing, InputError for a `base` of what is no adapter, a device that is not there or weights to be packed
    twice, and MissingExtra without torch, transformers, or bitsandbytes.
    """
    try:
        import torch

        from llava_graph.model.connectors import register  # what is missing is said before any work is done
    except ModuleNotFoundError as error:
        raise missing_extra(error, needed_for="a model") or error from error
    register()
    place = device_named(device)
    folder = PACKAGED if path is None else checkpoint_folder(path)
    base = base_under(folder, base)
    config = check_folder(base)
    kind = dtype or (torch.float32 if place.type == "cpu" else "auto")
    from llava_graph.model.quantize import check_stored, in_bits

    stored = check_stored(config, base, asked=bits is not None or quantization is not None)
    if bits is not None:
        usual = torch.float32 if place.type == "cpu" else torch.bfloat16
        quantization = in_bits(base, bits, getattr(torch, str(dtype).removeprefix("torch."), usual))
    model = shapes_alone(base, kind) if empty else load_weights(base, kind, place, quantization, stored=stored)
    if base is not folder and not empty:
        model, config = merge_adapter(model, folder), own_config(folder) or config
        # Adapters of other trainers bring weights alone.
        folder = folder if any((folder / name).is_file() for name in PROCESSOR_FILES) else base
    processor = load_processor(folder)
    about = read_about(config, folder)
    return LoadedModel(
        model=model.eval(),
        processor=processor,
        template=read_template(folder, processor),
        image_tokens=_small_image_tokens(processor, folder),
        context_length=_context_length(model, processor.tokenizer),
        name=about.name,
        about=about.description,
        prompt=about.prompt,
        instructions=about.instructions,
        max_images=about.max_images,
    )


def check_folder(folder: Path) -> dict[str, Any]:
    """config.json of a complete checkpoint folder. Raises CheckpointError that names the missing file."""
    if not folder.is_dir():
        raise CheckpointError("no such folder", where=str(folder), next_step="Give the folder of a checkpoint")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        next_step = "Is this a checkpoint folder?"
        raise CheckpointError("config.json is missing", where=str(folder), next_step=next_step) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"config.json cannot be read ({error})", where=str(folder)) from error
    if not isinstance(config, dict) or "model_type" not in config:
        raise CheckpointError("config.json names no model_type", where=str(folder))
    if "mm_vision_tower" in config and "vision_config" not in config:
        raise CheckpointError(
            "this is a checkpoint in LLaVA's own layout",
            where=str(folder),
            next_step=f"llava-graph convert {folder} NEW_FOLDER",
        )
    if not list(folder.glob("*.safetensors")):
        pickles = list(folder.glob("*.bin"))
        raise CheckpointError(
            "only pickled weights (*.bin) are there, which can run code"
            if pickles
            else "the weights (*.safetensors) are missing",
            where=str(folder),
            next_step="llava-graph convert makes safetensors of them"
            if pickles
            else "Fetch or train the checkpoint again",
        )
    for names, what in ((PROCESSOR_FILES, "image preparation"), (TOKENIZER_FILES, "tokenizer")):
        if not any((folder / name).is_file() for name in names):
            raise CheckpointError(f"the {what} is missing ({' or '.join(names)})", where=str(folder))
    return config


def load_processor(folder: Path) -> ProcessorMixin:
    """Tokenizer and image preparation as plain transformers opens them. Raises CheckpointError."""
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError) as error:
        raise CheckpointError(f"the processor does not load ({first_line(error)})", where=str(folder)) from error
    if not hasattr(processor, "image_processor") or not hasattr(processor, "tokenizer"):
        raise CheckpointError(f"{type(processor).__name__} does not prepare images and text", where=str(folder))
    # We check lengths ourselves and refuse what is too long; transformers' own note would only alarm.
    processor.tokenizer.deprecation_warnings["sequence-length-is-longer-than-the-specified-maximum"] = True
    return processor


def read_template(folder: Path, processor: ProcessorMixin) -> str:
    """The chat template in the checkpoint. Raises CheckpointError when it brings none."""
    template = getattr(processor, "chat_template", None) or getattr(processor.tokenizer, "chat_template", None)
    if not isinstance(template, str) or not template:
        raise CheckpointError(
            "the chat template is missing (chat_template.jinja)",
            where=str(folder),
            next_step="Copy the template the model was trained with from llava_graph/templates into the folder",
        )
    return template


def _small_image_tokens(processor: ProcessorMixin, folder: Path) -> int:
    try:
        return count_image_tokens(processor)
    except (*PROCESSOR_ERRORS, InputError) as error:
        raise CheckpointError(
            f"its processor and chat template do not take an image ({first_line(error)})", where=str(folder)
        ) from error


def load_weights(
    folder: Path, dtype: Any, device: torch.device, quantization: Any = None, *, stored: bool = False
) -> PreTrainedModel:
    """The model of a folder; `stored`: its weights are packed already. Raises CheckpointError, also for missing weights."""
    from safetensors import SafetensorError
    from transformers import AutoModelForImageTextToText

    from llava_graph.model.quantize import compute_in

    # Quantized weights are packed on the device where they are used, and cannot be moved.
    placed: dict[str, Any] = {"device_map": {"": device}} if stored or quantization is not None else {}
    if quantization is not None:
        placed["quantization_config"] = quantization
    megabytes = sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 2**20
    try:
        with progress_bar(shown=megabytes > SHOW_PROGRESS_MB):
            model, report = AutoModelForImageTextToText.from_pretrained(
                folder,
                dtype="auto" if stored else dtype,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                **placed,
            )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise CheckpointError(f"the weights do not load ({first_line(error)})", where=str(folder)) from error
    for problem in ("missing_keys", "mismatched_keys"):
        # Silently new weights answer nonsense (LLaVA #808): better no model than such a one.
        if report.get(problem):
            names = ", ".join(str(name) for name in sorted(report[problem], key=str)[:3])
            raise CheckpointError(
                f"{len(report[problem])} weights are {problem.split('_')[0]} ({names})", where=str(folder)
            )
    if stored:
        compute_in(model, device, dtype)
    return model if placed else model.to(device)


def shapes_alone(folder: Path, dtype: Any = "auto") -> PreTrainedModel:
    """The model of a checkpoint folder on torch's meta device: every module and shape, no memory. Raises CheckpointError."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if type(config) not in AutoModelForImageTextToText._model_mapping:
            raise CheckpointError(
                f"a model of type {config.model_type!r} reads no images",
                where=str(folder),
                next_step="Take a model that reads images and text",
            )
        with torch.device("meta"):
            return AutoModelForImageTextToText.from_config(
                config, dtype=config.dtype if dtype == "auto" else getattr(torch, str(dtype).removeprefix("torch."))
            )
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"the model's shape cannot be read ({first_line(error)})", where=str(folder)) from error


@contextmanager
def progress_bar(*, shown: bool) -> Iterator[None]:
    """transformers' own progress bar, only where it is worth looking at."""
    from transformers.utils import logging

    was_shown = logging.is_progress_bar_enabled()
    if not shown:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_shown:
            logging.enable_progress_bar()


def _context_length(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    config = getattr(model.config, "text_config", model.config)
    limits = (getattr(config, "max_position_embeddings", 0), tokenizer.model_max_length)
    # Tokenizers without a limit of their own say 1e30.
    return min((int(limit) for limit in limits if 0 < limit < 10**9), default=2048)


def first_line(error: Exception) -> str:
    """What an error says, short enough for one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
