"""Training: `torchrun train/train_mem.py`, or `train([...])` with the same arguments."""

from train.train_mem import train

__all__ = ["train"]
