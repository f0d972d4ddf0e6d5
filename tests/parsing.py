"""Parsing command lines in tests: what TrainingArguments leaves behind in the process is taken back."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def clean_process() -> Iterator[None]:
    """--deepspeed sets variables for its process group, and the first device asked for opens one."""
    before = dict(os.environ)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # accelerate warns without
    try:
        yield
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        os.environ.clear()
        os.environ.update(before)
