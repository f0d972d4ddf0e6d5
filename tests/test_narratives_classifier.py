"""The vote of image classifiers over a video's pictures, with tiny checkpoints that are made here."""

import numpy as np
import pytest

from llava_graph.errors import CheckpointError, InputError
from scicap_builder.narratives.classifier import ImageVote


def checkpoint(folder, favourite):
    """A ConvNeXt of a few weights that always answers `favourite`, and its image processor."""
    import torch
    from transformers import ConvNextConfig, ConvNextForImageClassification, ConvNextImageProcessor

    torch.manual_seed(0)
    labels = {0: "other", 1: "histology"}
    config = ConvNextConfig(hidden_sizes=[4, 4], depths=[1, 1], num_stages=2, image_size=32, id2label=labels)
    model = ConvNextForImageClassification(config)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([float(favourite == name) for name in labels.values()]))
    model.save_pretrained(folder)
    ConvNextImageProcessor(size={"shortest_edge": 32}).save_pretrained(folder)
    return str(folder)


def test_one_yes_keeps_an_image(tmp_path):
    image = np.full((40, 60, 3), 200, np.uint8)
    yes, no = checkpoint(tmp_path / "yes", "histology"), checkpoint(tmp_path / "no", "other")
    assert ImageVote((no, yes), "Histology")(image)
    assert not ImageVote((no,), "histology")(image)
    assert ImageVote((no,), "other")(image)
    with pytest.raises(InputError, match=r"no label 'histolgy'\. Did you mean 'histology'"):
        ImageVote((yes,), "histolgy")
    with pytest.raises(CheckpointError, match="no such folder"):
        ImageVote((str(tmp_path / "gone"),), "histology")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="no image classifier"):
        ImageVote((str(tmp_path / "empty"),), "histology")
