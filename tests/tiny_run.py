"""What a small training run needs: a data set of coloured squares, a command line, and the losses that it left."""

import json
from pathlib import Path

from PIL import Image

from llava_graph.dataset import write_dataset
from llava_graph.images import encode_png
from llava_graph.record import Figure, OcrLine, Turn

COLOURS = ("red", "green", "blue", "black", "orange", "purple")


def write_squares(folder: Path, licences: tuple[str, ...] = ("",)) -> Path:
    """Twelve figures, every third with a dialogue, one without its image; the last is for validation."""
    figures = []
    for index in range(12):
        colour = COLOURS[index % len(COLOURS)]
        answer = f"The figure shows a {colour} square."
        turns = (
            Turn(role="user", text="What is it?"),
            Turn(role="assistant", text=answer),
            Turn(role="user", text="Which colour?"),
            Turn(role="assistant", text=f"It is {colour}."),
        )
        figures.append(
            Figure(
                id=f"squares:{index}",
                image=None if index == 7 else encode_png(Image.new("RGB", (40 + index, 30), colour)),
                caption=f"A square, number {index}",
                ocr=(OcrLine(text=colour, box=(0, 0, 1, 1)),),
                mentions=(answer,),
                turns=turns if index % 3 == 0 else (),
                licence=licences[index % len(licences)],
                split="validation" if index == 11 else "train",
            )
        )
    write_dataset(figures, folder, shard_rows=5)
    return folder


def arguments(checkpoint, data, out, **more) -> list[str]:
    """argv of a run on the CPU that logs every step and saves only its end."""
    settings = {
        "model_name_or_path": checkpoint,
        "data_path": data,
        "output_dir": out,
        "per_device_train_batch_size": 4,
        "learning_rate": 3e-3,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
        **more,
    }
    return [
        word
        for name, value in settings.items()
        for word in (f"--{name}", *map(str, value if isinstance(value, list) else [value]))
    ]


def losses(out: Path) -> list[float]:
    """Of every logged step."""
    history = json.loads((out / "trainer_state.json").read_text())["log_history"]
    return [entry["loss"] for entry in history if "loss" in entry]
