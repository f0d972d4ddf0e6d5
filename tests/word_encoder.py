"""An encoder without a model: what tests of the data path use where only counts matter. Light, for processes that are spawned."""

from pathlib import Path

from llava_graph.chat import EncodedSample
from llava_graph.errors import DatasetError, SampleRefused
from train.batching.checking import as_first_process


class Words:
    """A word is a token, an image is ten; the last token is learnt. It counts how often it is asked."""

    def __init__(self, max_length=100):
        self.max_length, self.asked = max_length, 0
        self.identity = {"words": max_length}

    def encode(self, sample):
        self.asked += 1
        words = " ".join(part.get("text", "") for message in sample.messages for part in message["content"]).split()
        if "long" in words:
            raise SampleRefused("too long", reason="prompt-too-long")
        ids = [9] * (10 * len(sample.images)) + [sum(map(ord, word)) for word in words]
        labels = [-100] * (len(ids) - 1) + ids[-1:]
        return EncodedSample(ids, labels, answer_cut="cut" in words, turns_cut="rest" in words)

    def vision(self, sample):
        import torch

        sizes = [image.size for image in sample.images]
        return {"pixel_values": torch.tensor(sizes)} if sizes else {}


def first_decides(rank: int, address: str, folder: Path):
    """One of two processes: what it is told, and how it ends when the first one fails."""
    import torch

    def fail():
        raise DatasetError("too many")

    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    (folder / f"{rank}").write_text(str(as_first_process(lambda: rank + 7)))
    try:
        as_first_process(fail)
    except DatasetError:
        (folder / f"end{rank}").write_text("told")
    except SystemExit as left:
        (folder / f"end{rank}").write_text(str(left.code))
    torch.distributed.destroy_process_group()
