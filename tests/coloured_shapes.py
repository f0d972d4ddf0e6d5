"""Pairs for contrastive training that a small model learns in seconds: a coloured shape somewhere, and the words that say so."""

import random
from pathlib import Path

from PIL import Image, ImageDraw
from tiny_parts import save_tower

from llava_graph.dataset import write_dataset
from llava_graph.images import encode_png
from llava_graph.record import Figure, Turn

COLOURS = {
    "red": (220, 30, 30), "green": (20, 160, 40), "blue": (40, 60, 220), "yellow": (230, 210, 40),
    "black": (20, 20, 20), "purple": (140, 40, 170),
}  # fmt: skip
SHAPES = ("circle", "square", "bar", "cross")
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "the", "on", "white", "ground", "an", "image", "of")


def draw(colour: str, shape: str, chance: random.Random) -> Image.Image:
    """32 x 32 px; place, size and shade differ."""
    image = Image.new("RGB", (32, 32), (255, 255, 255))
    pen = ImageDraw.Draw(image)
    x, y, r = chance.randint(12, 20), chance.randint(12, 20), chance.randint(7, 10)
    ink = tuple(max(0, min(255, value + chance.randint(-15, 15))) for value in COLOURS[colour])
    if shape == "circle":
        pen.ellipse((x - r, y - r, x + r, y + r), fill=ink)
    elif shape == "square":
        pen.rectangle((x - r, y - r, x + r, y + r), fill=ink)
    elif shape == "bar":
        pen.rectangle((x - r, y - 2, x + r, y + 2), fill=ink)
    else:
        pen.line((x - r, y - r, x + r, y + r), fill=ink, width=4)
        pen.line((x - r, y + r, x + r, y - r), fill=ink, width=4)
    return image


def write_shapes(folder: Path, each: int = 8) -> Path:
    """Our data set: `each` images of every colour and shape to train on, one held out, and one whose label is asked for."""
    figures = []
    for colour in COLOURS:
        for shape in SHAPES:
            for number in range(each + 2):
                chance = random.Random(f"{colour} {shape} {number}")
                split = ("train", "validation", "test")[max(0, number - each + 1)]
                asked = (Turn(role="user", text="What is it?"), Turn(role="assistant", text=f"{colour} {shape}"))
                figures.append(
                    Figure(
                        id=f"shapes:{colour}-{shape}-{number}",
                        image=encode_png(draw(colour, shape, chance)),
                        caption="" if split == "test" else f"{chance.choice(('a', 'the'))} {colour} {shape}",
                        turns=asked if split == "test" else (),
                        split=split,
                    )
                )
    random.Random(0).shuffle(figures)
    write_dataset(figures, folder, shard_rows=64)
    return folder


def save_bert(out: Path, *, dropout: float = 0.1) -> Path:
    """A BERT of two layers, 32 wide, and its tokenizer of the words above."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = [*WORDS, *COLOURS, *SHAPES]
    out.mkdir(parents=True)
    (out / "vocab.txt").write_text("\n".join(words) + "\n")
    torch.manual_seed(2)
    BertModel(
        BertConfig(
            vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
            max_position_embeddings=32, initializer_range=0.2, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
        )
    ).save_pretrained(out)  # fmt: skip
    BertTokenizerFast(vocab=str(out / "vocab.txt")).save_pretrained(out)
    return out


def save_parts(folder: Path, **more: float) -> dict[str, str]:
    """{"vision_tower", "text_tower"}: folders of two small random towers."""
    return {"vision_tower": str(save_tower(folder / "tower")), "text_tower": str(save_bert(folder / "bert", **more))}


def flags(towers: dict[str, str], data: Path, out: Path, **more: object) -> list[str]:
    """argv of a run on the CPU that logs every step."""
    settings = {
        **towers, "data_path": data, "output_dir": out, "projection_dim": 32, "max_caption_tokens": 12, "queue_size": 48,
        "per_device_train_batch_size": 24, "learning_rate": 2e-3, "lr_scheduler_type": "constant", "logging_steps": 1,
        "save_strategy": "no", "smallest_crop": 1, "randaugment_level": 0, "flip": False, "use_cpu": True, **more,
    }  # fmt: skip
    return [
        word
        for name, value in settings.items()
        for word in (f"--{name}", *map(str, value if isinstance(value, list) else [value]))
    ]
