"""Packages that some values of flags need. In: the parsed arguments. Out: nothing, or an InputError before any work is done."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from llava_graph.errors import InputError

if TYPE_CHECKING:
    from train.flags.arguments import TrainArguments

OPTIMIZERS = (
    ("galore", "galore_torch", "galore-torch"),
    ("apollo", "apollo_torch", "apollo-torch"),
    ("lomo", "lomo_optim", "lomo-optim"),
    ("grokadamw", "grokadamw", "grokadamw"),
    ("schedule_free", "schedulefree", "schedulefree"),
    ("stable_adamw", "optimi", "torch-optimi"),
    ("apex", "apex", "apex"),
    ("torch_4bit", "torchao", "torchao"),
    ("torch_8bit", "torchao", "torchao"),
    ("bnb", "bitsandbytes", "bitsandbytes"),
    ("8bit", "bitsandbytes", "bitsandbytes"),
    ("paged", "bitsandbytes", "bitsandbytes"),
)
"""What the name of an --optim holds, the module that it needs, and what pip calls it; the first that fits counts."""


def check_packages(training: TrainArguments) -> None:
    """Raises InputError for a value whose package is not installed: transformers finds out after the look at all data."""
    optim = str(getattr(training.optim, "value", training.optim))
    needed = [(f"--optim {optim}", module, name) for part, module, name in OPTIMIZERS if part in optim][:1]
    if training.use_liger_kernel:
        needed.append(("--use_liger_kernel", "liger_kernel", "liger-kernel"))
    for flag, module, name in needed:
        if find_spec(module) is None:
            raise InputError(f"{flag} needs the package {name!r}", next_step=f"pip install {name}, or leave it out")
