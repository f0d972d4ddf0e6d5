"""The smallest models that read charts, built from scratch: a Pix2Struct that has learnt two tables by heart, and a PP-Chart2Table."""

import re
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from tests.other_models import TEXT, tokenizer

TABLES = {
    "red": "TITLE | Red <0x0A> x | y <0x0A> 1 | 2.50 <0x0A> 2 | 7",
    "blue": "TITLE |  <0x0A> x | y <0x0A> 3 | 9 <0x0A> " + "4 | 5 <0x0A> " * 4,
}
"""Colour of the picture -> what is read in it; the second does not end by itself."""
FONT = ImageFont.load_default(36).font_bytes


def picture(colour: str) -> Image.Image:
    image = Image.new("RGB", (96, 64), "white")
    ImageDraw.Draw(image).rectangle((10, 10, 80, 60), fill=colour)
    return image


def build_pix2struct(folder: Path, steps: int = 60) -> Path:
    """A checkpoint like google/deplot's, trained for `steps`."""
    import torch
    from transformers import Pix2StructConfig, Pix2StructForConditionalGeneration, Pix2StructProcessor
    from transformers.models.pix2struct.image_processing_pil_pix2struct import Pix2StructImageProcessorPil

    torch.manual_seed(0)
    words = tokenizer()
    words.add_tokens(
        sorted({row for text in TABLES.values() for row in re.findall(r".*?<0x0A> |.+", text)})
    )  # a piece a row
    ends = {"pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 0}
    config = Pix2StructConfig(
        text_config={"vocab_size": len(words), "hidden_size": 64, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_heads": 4, "dropout_rate": 0.0, **ends},
        vision_config={"hidden_size": 64, "d_ff": 64, "d_kv": 16, "num_hidden_layers": 1, "num_attention_heads": 4, "seq_len": 64, "dropout_rate": 0.0},
        tie_word_embeddings=False,
        **ends,
    )  # fmt: skip
    model = Pix2StructForConditionalGeneration(config)
    model.generation_config.update(**ends)
    processor = Pix2StructProcessor(Pix2StructImageProcessorPil(is_vqa=True, max_patches=24), words)
    prepare = processor.image_processor
    pixels = [as_drawn(prepare, picture(colour)) for colour in TABLES]
    inputs = prepare(images=pixels, is_vqa=False, input_data_format="channels_first", return_tensors="pt")
    ids = [words(text, add_special_tokens=False)["input_ids"] for text in TABLES.values()]
    ids[0].append(2)
    labels = torch.full((2, max(map(len, ids))), -100)
    for row, one in enumerate(ids):
        labels[row, : len(one)] = torch.tensor(one)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(steps):
        loss = model(**inputs, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "header.ttf").write_bytes(FONT)
    return folder


def as_drawn(prepare, image, question="Generate underlying data table of the figure below:"):
    """The picture under its question, (3, height, width)."""
    import numpy as np

    return prepare.render_header(np.asarray(image).transpose(2, 0, 1), question, font_bytes=FONT)


def build_chart2table(folder: Path) -> Path:
    """A checkpoint like PaddlePaddle/PP-Chart2Table_safetensors, of random weights: its template has the question, and takes no other."""
    from transformers import GotOcr2ForConditionalGeneration, PPChart2TableConfig
    from transformers.models.pp_chart2table.image_processing_pil_pp_chart2table import PPChart2TableImageProcessorPil
    from transformers.models.pp_chart2table.processing_pp_chart2table import PPChart2TableProcessor

    words = tokenizer("<|im_start|>", "<|im_end|>", "<img>", "</img>", "<imgpad>")
    template = (
        "{% for m in messages %}<|im_start|>user\n<img><imgpad></img>\nChart to table<|im_end|>\n{% endfor %}"
        "<|im_start|>assistant\n"
    )
    processor = PPChart2TableProcessor(
        PPChart2TableImageProcessorPil(size={"height": 64, "width": 64}), words, chat_template=template
    )
    config = PPChart2TableConfig(
        text_config={**TEXT, "model_type": "qwen2", "vocab_size": len(words)},
        vision_config={
            "hidden_size": 16, "output_channels": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 64,
            "patch_size": 16, "mlp_dim": 16, "window_size": 2, "global_attn_indexes": [0],
        },
        image_token_index=words.convert_tokens_to_ids("<imgpad>"), image_seq_length=1,
    )  # fmt: skip
    GotOcr2ForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
