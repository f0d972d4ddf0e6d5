"""What the tests of whole training runs share: a tiny model, figures, flags, processes, and reading what a run left."""

import json
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image
from tiny_run import arguments

from llava_graph.dataset import write_dataset
from llava_graph.images import encode_png
from llava_graph.record import Figure, OcrLine

ROOT = Path(__file__).resolve().parent.parent
COLOURS = ("red", "green", "blue", "black", "orange", "purple")


def write_squares(folder, count=11, with_image=lambda index: True):
    """Figures whose answers differ much in length, so that processes have uneven shares of the loss."""
    figures = []
    for index in range(count):
        colour = COLOURS[index % len(COLOURS)]
        answer = f"The figure shows a {colour} square." + " It is of one colour." * (index % 5)
        image = encode_png(Image.new("RGB", (40 + index, 30), colour)) if with_image(index) else None
        figures.append(
            Figure(
                id=f"squares:{index}",
                image=image,
                caption=f"A square, number {index}",
                ocr=(OcrLine(text=colour, box=(0, 0, 1, 1)),),
                mentions=(answer,),
                turns=(),
                split="train",
            )
        )
    write_dataset(figures, folder, shard_rows=5)
    return folder


def flags(checkpoint, data, out, **more):
    """A run of six steps that logs each."""
    return arguments(checkpoint, data, out, **{"lr_scheduler_type": "cosine", "max_steps": 6, "use_cpu": True, **more})


def environment(folder):
    """Of a run in processes of their own; `folder` takes what would go to the home folder."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "DS_ACCELERATOR": "cpu",
        "HF_HUB_OFFLINE": "1",
        "TORCH_EXTENSIONS_DIR": str(folder / "extensions"),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "default",
    }


def torchrun(processes, *words):
    """The command line of `processes` processes."""
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", *words]


def run_all(steps, folder):
    """Run the `steps` (see tests/forked_runs.py) one after the other, each in two new processes."""
    file = folder / "steps.json"
    file.write_text(json.dumps(steps))
    run = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "forked_runs.py"), str(file)],
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    assert not (folder / "extensions").exists(), "a C++ extension was built"


def losses(out):
    """Of each logged step."""
    history = json.loads((Path(out) / "trainer_state.json").read_text())["log_history"]
    return [entry["loss"] for entry in history if "loss" in entry]
