"""What each part of the context is worth: the same model trained with each, from the same start, for the same time.

    python scripts/ablate_packaged.py --minutes 8 --start text --charts charts --items .eval --out ablation

START is the checkpoint of the text stage, CHARTS the drawn charts (docs/packaged_model.md), ITEMS the test figures
(`python -m benchmarks.packaged_items`). OUT gets a checkpoint and answers.json per variant; a variant whose answers are there is
not trained again. `python -m benchmarks packaged --answers …` makes the table.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.train_packaged import RECIPES, by_device, environment  # noqa: E402

ALL = "image + caption + OCR"


@dataclass(frozen=True)
class Variant:
    """What a model is trained with, and under which conditions of `packaged_answers` it is asked."""

    flags: str
    asked: tuple[str, ...]


VARIANTS = {
    "image alone": Variant("--context none", ("image alone",)),
    "image + caption": Variant("--context caption", ("image + caption",)),
    "image + OCR": Variant("--context ocr", ("image + OCR",)),
    ALL: Variant("--context caption ocr", (ALL, "image + caption", "OCR with errors")),
    "caption + OCR, no image": Variant("--context caption ocr --text_only True", ("caption + OCR, no image",)),
    "OCR without boxes": Variant("--context caption ocr --ocr_style words", ("OCR without boxes",)),
    "OCR with errors": Variant("--context caption ocr --ocr_corruption 0.25", ("OCR with errors", ALL)),
    "OCR dropout": Variant("--context caption ocr --context_dropout 0.3", (ALL, "image + caption")),
}
SAME = "--context_dropout 0 --ocr_corruption 0"
"""What the recipe would mix in; a variant's own flags come after."""


def main() -> int:
    """Train and ask every variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="Of training, for each variant.")
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--charts", type=Path, required=True)
    parser.add_argument("--items", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.only:
        folder = options.out / name.replace(" ", "_").replace(",", "").replace("+", "and")
        if (folder / "answers.json").exists():
            continue
        begun = time.monotonic()
        train(VARIANTS[name], folder, options)
        answer(VARIANTS[name], folder, options)
        print(f"{name}: {(time.monotonic() - begun) / 60:.1f} min", flush=True)
    return 0


def train(variant: Variant, folder: Path, options: argparse.Namespace) -> None:
    """For the given time; everything that is printed goes into the folder's log."""
    script = ROOT / "scripts" / "train_packaged.py"
    launch, fast = by_device(options.workers, max(1, options.workers - 2))
    deadline = str(time.time() + 60 * options.minutes)
    line = [
        sys.executable, *map(str, launch), str(script), "stage", deadline, "--config", str(RECIPES / "packaged.yaml"),
        "--model_name_or_path", str(options.start), "--data_path", str(options.charts), "--output_dir", str(folder),
        *map(str, fast), *SAME.split(), *variant.flags.split(),
    ]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.log").open("a", encoding="utf-8") as log:
        subprocess.run(line, check=True, stdout=log, stderr=subprocess.STDOUT, env=environment(), cwd=ROOT)


def answer(variant: Variant, folder: Path, options: argparse.Namespace) -> None:
    """The test figures, under the variant's conditions."""
    line = [
        sys.executable, "-m", "benchmarks.packaged_answers", "--model", str(folder), "--items", str(options.items),
        "--out", str(folder / "answers.json"), "--conditions", *variant.asked,
    ]  # fmt: skip
    environment_ = {name: value for name, value in environment().items() if name != "OMP_NUM_THREADS"}
    subprocess.run(line, check=True, env=environment_, cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main())
