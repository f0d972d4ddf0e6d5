"""Checkpoints that do nothing but read charts: images in, their data as text out, several at once and greedy.

DePlot and every other Pix2Struct have the question drawn above the chart; PP-Chart2Table has it in its chat template. Models
that can be asked anything (granite-vision, Qwen-VL, …) are opened by `llava_graph.model.load` instead.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.errors import CheckpointError, InputError, missing_extra
from llava_graph.explain import Answerer
from llava_graph.generate import Chunk, GenerationOptions
from llava_graph.prompt import Message, PromptOptions
from llava_graph.tables.requests import BY_MODEL_TYPE, DEPLOT

if TYPE_CHECKING:
    import torch
    from PIL import Image

PIX2STRUCT, PP_CHART2TABLE = "pix2struct", "pp_chart2table"
CHART_MODELS = (PIX2STRUCT, PP_CHART2TABLE)
"""model_type in config.json"""
ONLY_THE_PICTURE = PromptOptions(caption=False, ocr=False, table=False)


def model_type_of(path: Path | str) -> str:
    """What kind a checkpoint says that it is; empty where its config.json cannot be read (opening it says why)."""
    from llava_graph.model.hub import checkpoint_folder

    try:
        config = json.loads((checkpoint_folder(path) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(config.get("model_type", "")) if isinstance(config, dict) else ""


def request_of(path: Path | str) -> str:
    """What a checkpoint that reads charts was trained to be asked."""
    return BY_MODEL_TYPE.get(model_type_of(path), DEPLOT)


class ChartModel(Answerer):
    """A Pix2Struct or PP-Chart2Table checkpoint in this process: a folder or owner/name on the hub."""

    prompt = ONLY_THE_PICTURE
    instructions = False

    def __init__(self, path: Path | str, *, device: str | None = None, font: Path | None = None) -> None:
        """Load it. `font`: of the question above the charts. Raises CheckpointError, MissingExtra, InputError (device, font)."""
        try:
            import torch

            from llava_graph.model.load import check_folder, load_weights
        except ModuleNotFoundError as error:
            raise missing_extra(error, needed_for="a model") or error from error
        from llava_graph.model.about import read_about
        from llava_graph.model.device import device_named
        from llava_graph.model.hub import checkpoint_folder
        from llava_graph.tables.header_font import header_font

        place, folder = device_named(device), checkpoint_folder(path)
        config = check_folder(folder)
        self.kind = str(config["model_type"])
        if self.kind not in CHART_MODELS:
            raise CheckpointError(
                f"{self.kind} is no model that only reads charts ({', '.join(CHART_MODELS)})", where=str(folder)
            )
        if font is not None and self.kind != PIX2STRUCT:
            raise InputError("only a Pix2Struct draws its question", next_step="Leave --font out")
        about = read_about(config, folder)
        self.name, self.about = about.name, about.description
        self._processor = _processor(folder)
        drawn = self.kind == PIX2STRUCT and self._processor.image_processor.is_vqa
        self._font = header_font(folder, font, from_hub=folder != Path(path)) if drawn else None
        self.model = load_weights(folder, torch.float32 if place.type == "cpu" else "auto", place).eval()

    def count_tokens(self, text: str) -> int:
        """Tokens of a text."""
        return len(self._processor.tokenizer(text, add_special_tokens=False)["input_ids"])

    def generate_stream(
        self,
        prompt: Sequence[Message],
        images: Sequence[Image.Image],
        generation: GenerationOptions = GenerationOptions(),
        stopping: threading.Event | None = None,
    ) -> Iterator[Chunk]:
        """The whole answer at once, or nothing when it is `stopping` already. Raises InputError: it wants one image."""
        if len(images) != 1:
            raise InputError(f"{self.name} reads one chart at a time, got {len(images)} images")
        if stopping is not None and stopping.is_set():
            yield Chunk(text="", prompt_tokens=0, completion_tokens=0, finish_reason="cancelled")
            return
        yield self.read([_question(prompt)], images, generation)[0]

    def read(
        self, questions: Sequence[str], images: Sequence[Image.Image], generation: GenerationOptions
    ) -> list[Chunk]:
        """The data of several charts, in one batch: every image takes the same number of patches, so each answer is as if alone.

        Greedy whatever `generation` says; its `max_new_tokens` counts. PP-Chart2Table does not hear the questions.
        """
        import torch
        from transformers import GenerationConfig

        inputs = self._pix2struct(questions, images) if self.kind == PIX2STRUCT else self._chart2table(images)
        dtype = self.model.dtype
        placed = {
            name: value.to(self.model.device, dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }
        own = self.model.generation_config
        greedy = GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=generation.max_new_tokens,
            eos_token_id=own.eos_token_id,
            pad_token_id=own.pad_token_id,
            bos_token_id=own.bos_token_id,
            decoder_start_token_id=own.decoder_start_token_id,
        )
        with torch.inference_mode():
            made = self.model.generate(**placed, generation_config=greedy)
        begun = inputs["input_ids"].shape[1] if "input_ids" in inputs else 1
        asked = int(inputs["input_ids"].shape[1]) if "input_ids" in inputs else 0
        return [self._chunk(row, asked) for row in made[:, begun:].tolist()]

    def _chunk(self, tokens: list[int], asked: int) -> Chunk:
        """One row of a batch, which ends at its end token or at the limit."""
        ends = self.model.generation_config.eos_token_id
        ends = {ends} if isinstance(ends, int) else set(ends or ())
        ended = next((place for place, token in enumerate(tokens) if token in ends), None)
        said = tokens if ended is None else tokens[:ended]
        text = str(self._processor.tokenizer.decode(said, skip_special_tokens=True))
        reason = "length" if ended is None else "stop"
        return Chunk(text=text, prompt_tokens=asked, completion_tokens=len(said), finish_reason=reason)

    def _pix2struct(self, questions: Sequence[str], images: Sequence[Image.Image]) -> dict[str, torch.Tensor]:
        """`flattened_patches` (images, patches, 2 + pixels) and `attention_mask` (images, patches)."""
        prepare = self._processor.image_processor
        if self._font is None:
            return dict(prepare(images=list(images), return_tensors="pt"))
        # Its call takes no font and would fetch one from the hub: the header is drawn by its own method before.
        drawn = [
            prepare.render_header(_channels_first(image), question, font_bytes=self._font)
            for question, image in zip(questions, images, strict=True)
        ]
        return dict(prepare(images=drawn, is_vqa=False, input_data_format="channels_first", return_tensors="pt"))

    def _chart2table(self, images: Sequence[Image.Image]) -> dict[str, torch.Tensor]:
        talks = [[{"role": "user", "content": [{"type": "image", "image": image}]}] for image in images]
        return dict(
            self._processor.apply_chat_template(
                talks, tokenize=True, add_generation_prompt=True, return_dict=True, return_tensors="pt"
            )
        )


def _processor(folder: Path) -> Any:
    """As plain transformers opens it; images always by Pillow, so that they are the same with and without torchvision."""
    from transformers.models.pix2struct.image_processing_pil_pix2struct import Pix2StructImageProcessorPil

    from llava_graph.model.load import load_processor

    processor = load_processor(folder)
    if type(processor.image_processor).__name__ == "Pix2StructImageProcessor":
        processor.image_processor = Pix2StructImageProcessorPil.from_pretrained(folder, local_files_only=True)
    return processor


def _question(prompt: Sequence[Message]) -> str:
    """The words of the last turn."""
    content = prompt[-1]["content"]
    texts = [content] if isinstance(content, str) else [part["text"] for part in content if part["type"] == "text"]
    return " ".join(texts).strip()


def _channels_first(image: Image.Image) -> Any:
    """(3, height, width) uint8"""
    import numpy as np

    return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
