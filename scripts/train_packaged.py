"""Train the packaged model within a time limit, on one GPU or on the CPU: charts and texts are drawn there, nothing is fetched.

    python scripts/train_packaged.py --minutes 8 --out OUT
    python scripts/train_packaged.py --minutes 120 --out OUT   # two cores

While the language model learns from texts, charts are drawn beside it; from these the vision tower learns to look, while others
are drawn; then everything learns together. The
learning rate runs through its schedule in the time that is given, however fast the machine is. OUT gets the weights in files
of at most 14 MB and rest.tgz with everything else: configuration, tokenizer, curves, plans, logs.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "train" / "recipes"
SEED = 1
TEXT_SHARE, LOOK_SHARE = 0.2, 0.45
"""Shares of the time after which the stages of text and of looking end, drawing texts and building the model included."""
PAPERS_WEIGHT, KEPT_WEIGHT = 4, 0.3
"""How often a figure of a real paper is shown in the first stage, and in the last one what the others learnt from."""
SAVING_S = 20.0
"""Seconds kept for writing the weights."""
SHARD = "14MB"
CHARTS = "scicap_builder.charts"
SAMPLE = 4000
"""Records that the tokenizer is made from."""
ENDLESS = 10**6
"""More charts than the time allows; drawing ends with the text stage."""
FEW_LOADERS = 5
"""Processes that load while the others draw."""
ON_CPU = (
    "--packing_length",
    "4096",
    "--compile_layers",
    "True",
    "--streaming",
    "True",
    "--dataloader_num_workers",
    "0",
)
"""Short rows, since a step has few of them; a process a core, which loads for itself; no look at all samples before."""
CPU_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "8589934592", "MALLOC_TRIM_THRESHOLD_": "8589934592"}
"""Large tensors are kept by glibc, not given back to the kernel, which would zero each of them anew."""


def main(argv: Sequence[str] | None = None) -> int:
    """The whole run; or `build PRESET TEXTS OUT` or `stage DEADLINE FLAG …`, its steps in processes of their own."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv[:1] == ["build"]:
        build(argv[1], Path(argv[2]), Path(argv[3]))
        return 0
    if argv[:1] == ["stage"]:
        train_until(float(argv[1]), argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="Time for everything, from start to saved weights.")
    parser.add_argument("--out", type=Path, required=True, help="Where the result goes.")
    parser.add_argument("--work", type=Path, default=Path("packaged-work"), help="Charts and checkpoints; new.")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="Processes that draw and load.")
    parser.add_argument("--texts", type=int, default=30_000, help="Records of the text stage.")
    parser.add_argument(
        "--papers", type=Path, nargs="*", default=[], help="Data sets of real papers, mixed into the text stage."
    )
    parser.add_argument("--preset", default="small", help="Shape of the model.")
    parser.add_argument("--flags", default="", help="More flags for all stages of the trainer, as one word.")
    return Run(parser.parse_args(argv)).go()


class Run:
    """One training within its time."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.begun = time.time()
        self.work: Path = options.work
        self.work.mkdir(parents=True)
        options.out.mkdir(parents=True, exist_ok=True)
        self.log = (self.work / "log.txt").open("a", encoding="utf-8")

    def go(self) -> int:
        """Texts, model, three stages, result. Returns the exit status; what there is, is kept in any case."""
        work, workers = self.work, self.options.workers
        charts: subprocess.Popen[bytes] | None = None
        try:
            few = min(SAMPLE, self.options.texts)
            self.command("-m", CHARTS, *drawing(work / "sample", few, SEED + 1, workers), "--no-images")
            texts = self.beside(
                "-m", CHARTS, *drawing(work / "texts", self.options.texts, SEED + 2, workers), "--no-images"
            )
            self.command(__file__, "build", self.options.preset, work / "sample", work / "start")
            wait(texts)
            drawers = max(1, workers - FEW_LOADERS)
            charts = self.beside("-m", CHARTS, *drawing(work / "looks", ENDLESS, SEED + 3, drawers), "--looking")
            real = dict.fromkeys(self.options.papers, PAPERS_WEIGHT)
            self.stage("packaged_text", work / "start", work / "text", {work / "texts": 1, **real}, TEXT_SHARE)
            stop(charts)
            charts = self.beside("-m", CHARTS, *drawing(work / "charts", ENDLESS, SEED, drawers))
            self.stage("packaged_look", work / "text", work / "look", {work / "looks": 1}, LOOK_SHARE)
            stop(charts)
            every = {work / "charts": 1, work / "looks": KEPT_WEIGHT, work / "texts": KEPT_WEIGHT}
            self.stage("packaged", work / "look", work / "final", every, 1.0)
            return 0
        except subprocess.CalledProcessError as error:
            self.tell(f"failed: {error}")
            return 1
        finally:
            if charts is not None:
                stop(charts)
            self.deliver()

    def stage(self, recipe: str, start: Path, out: Path, data: Mapping[Path, float], share: float) -> None:
        """One stage of training, until `share` of the time is over. `data`: folder -> how often it is shown."""
        deadline = self.begun + share * (60 * self.options.minutes - SAVING_S)
        loaders = self.options.workers - 2 if share == 1 else FEW_LOADERS
        flags: list[object] = [
            "--config",
            RECIPES / f"{recipe}.yaml",
            "--model_name_or_path",
            start,
            "--output_dir",
            out,
        ]
        flags += ["--data_path", *data, "--data_weights", *data.values()]
        # On a CPU one core draws until the last stage.
        processes = self.options.workers if share == 1 else max(1, self.options.workers - 1)
        launch, fast = by_device(processes, max(1, min(loaders, self.options.workers)))
        self.command(*launch, __file__, "stage", deadline, *flags, *fast, *self.options.flags.split())

    def command(self, *words: object) -> None:
        """Run Python with these arguments and wait."""
        wait(self.beside(*words))

    def beside(self, *words: object) -> subprocess.Popen[bytes]:
        """Start Python with these arguments and go on."""
        line = [sys.executable, *map(str, words)]
        self.tell(" ".join(line[1:]))
        return subprocess.Popen(
            line, stdout=self.log, stderr=subprocess.STDOUT, env=environment(), cwd=ROOT, start_new_session=True
        )

    def tell(self, text: str) -> None:
        """A line with the time, to the terminal and to the log."""
        line = f"[{time.time() - self.begun:6.1f} s] {text}\n"
        for stream in (sys.stdout, self.log):
            stream.write(line)
            stream.flush()

    def deliver(self) -> None:
        """The weights in small files and everything else in one archive."""
        self.tell(f"{len(list(self.work.glob('charts/data/shard-*')))} shards of charts")
        final = self.work / "final"
        packed: list[tuple[Path, str]] = []
        if (final / "config.json").exists():
            split_weights(final, self.work / "split")
            for file in sorted((self.work / "split").iterdir()):
                if file.suffix == ".safetensors":
                    file.rename(self.options.out / file.name)
                else:
                    packed.append((file, f"model/{file.name}"))
        packed += [
            (file, f"{stage}/{file.name}")
            for stage in ("text", "look", "final")
            for file in small_files(self.work / stage)
        ]
        self.tell("done")
        with tarfile.open(self.options.out / "rest.tgz", "w:gz") as archive:
            for file, name in [*packed, (self.work / "log.txt", "log.txt")]:
                archive.add(file, name)


def drawing(out: Path, count: int, seed: int, workers: int) -> list[object]:
    """Arguments of `scicap_builder charts`."""
    return ["--out", out, "--count", count, "--seed", seed, "--workers", workers]


def environment() -> dict[str, str]:
    """One thread a process: there is a process a core."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    return {**CPU_MEMORY, **os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "TOKENIZERS_PARALLELISM": "false"}


def by_device(processes: int, loaders: int) -> tuple[list[object], list[object]]:
    """What stands before the script and what flags come to those of the recipe: one process and `loaders` on a GPU, else
    `processes`."""
    import torch

    if torch.cuda.is_available():
        return [], ["--dataloader_num_workers", loaders]
    launch: list[object] = ["-m", "torch.distributed.run", "--nproc_per_node", processes]
    return launch, [*ON_CPU, "--per_device_train_batch_size", max(1, 2 // processes)]


def wait(process: subprocess.Popen[bytes]) -> None:
    """Raises CalledProcessError where it failed."""
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, process.args)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End it with its workers; shards that are written stay."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def small_files(folder: Path) -> list[Path]:
    """Everything of a checkpoint but its weights."""
    return [file for file in sorted(folder.glob("*")) if file.is_file() and file.stat().st_size < 2_000_000]


def split_weights(checkpoint: Path, out: Path) -> None:
    """The same checkpoint in weight files of at most SHARD."""
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    LlavaForConditionalGeneration.from_pretrained(checkpoint, dtype="auto").save_pretrained(out, max_shard_size=SHARD)
    AutoProcessor.from_pretrained(checkpoint).save_pretrained(out)
    for name in ("preprocessor_config.json", "chat_template.jinja", "config.json"):
        if (checkpoint / name).exists():
            (out / name).write_bytes((checkpoint / name).read_bytes())


def build(preset: str, texts: Path, out: Path) -> None:
    """An untrained model with its tokenizer."""
    from llava_graph.model.build import PRESETS, build_checkpoint
    from llava_graph.model.tokenizer import read_texts

    build_checkpoint(out, shape=PRESETS[preset], texts=read_texts([texts]), name=f"llava-graph-{preset}", seed=SEED)


def train_until(deadline: float, flags: Sequence[str]) -> None:
    """Train as the flags say until `deadline` (seconds since the epoch), the learning rate's whole schedule in that time."""
    import torch
    from transformers import TrainerCallback, trainer

    from train.train_mem import train

    class Deadline(TrainerCallback):
        """Moves the schedule with the clock of the first process, and ends the training of all."""

        def __init__(self) -> None:
            self.begun, self.share = time.time(), 0.0

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
            self.begun, steps = time.time(), state.max_steps

            def by_clock(shape: Callable[[int], float]) -> Callable[[int], float]:
                return lambda _: shape(int(steps * self.share))

            schedule = kwargs["lr_scheduler"]
            schedule.lr_lambdas = [by_clock(shape) for shape in schedule.lr_lambdas]

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
            share = torch.tensor(min(1.0, (time.time() - self.begun) / max(deadline - self.begun, 1.0)))
            if (
                torch.distributed.is_initialized()
            ):  # all at the same learning rate, and none waits for one that has ended
                share = share.to(args.device)
                torch.distributed.broadcast(share, 0)
            self.share = float(share)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
            control.should_training_stop = control.should_training_stop or self.share >= 1

    trainer.DEFAULT_CALLBACKS.append(Deadline())
    # Many more steps than the time allows: the schedule is cut into so many parts, and the clock tells which one it is.
    fast = ["--tf32", "True"] if torch.cuda.is_available() else []
    loaders = flags[flags.index("--dataloader_num_workers") + 1]
    loading = ["--dataloader_persistent_workers", "True", "--dataloader_prefetch_factor", "3"] if int(loaders) else []
    train([*flags, *fast, *loading, "--max_steps", "20000", "--warmup_steps", "600"])


if __name__ == "__main__":
    sys.exit(main())
