"""The model in the package: small, says what it is, and speaks of the figure it is shown."""

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from llava_graph.examples import example_figures
from llava_graph.images import open_image
from llava_graph.model import PACKAGED, load
from llava_graph.prompt import PromptOptions, build_messages
from llava_graph.record import Figure

LIMIT_BYTES = 17_000_000
"""What the repository carries for it (every clone pays it)."""


@pytest.fixture(scope="module")
def loaded():
    return load()


def ask(loaded, figure, question=None, new_tokens=100):
    """A greedy answer by plain transformers."""
    messages = build_messages(figure, question, PromptOptions(table=False))
    for part in messages[0]["content"]:
        if part["type"] == "image":
            part["image"] = open_image(figure.image)
    inputs = loaded.processor.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    with torch.inference_mode():
        ids = loaded.model.generate(**inputs, max_new_tokens=new_tokens)
    answer = ids[0, inputs["input_ids"].shape[1] :]
    return loaded.processor.decode(answer, skip_special_tokens=True)


def example(name):
    found = next(figure for figure in example_figures() if name in figure.path.name)
    return Figure(id=found.path.stem, image=found.path.read_bytes(), caption=found.caption)


def test_it_fits_into_the_repository():
    assert sum(file.stat().st_size for file in PACKAGED.rglob("*") if file.is_file()) <= LIMIT_BYTES


def test_it_says_what_it_is(loaded):
    assert loaded.name == "llava-graph-small"
    assert "8.1 M" in loaded.about
    assert not loaded.instructions
    assert loaded.max_images == 1
    assert loaded.prompt == PromptOptions(ocr_style="boxes", table=False, max_context_tokens=448)
    assert sum(weight.numel() for weight in loaded.model.parameters()) < 9e6


def test_plain_transformers_opens_it():
    assert AutoProcessor.from_pretrained(PACKAGED).image_processor is not None
    model, report = AutoModelForImageTextToText.from_pretrained(PACKAGED, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert model.dtype == torch.bfloat16


KINDS = {
    "line": ("line", "perplexity"),
    "bar": ("bar", "cross section"),
    "scatter": ("scatter", "resistivity"),
    "histogram": ("histogram", "cpu load"),
}


def test_it_speaks_of_the_example_figures(loaded):
    """Every quantity is named, and at least three kinds of four (docs/packaged_model.md: kinds are right in four of five)."""
    answers = {name: ask(loaded, example(name)).lower() for name in KINDS}
    assert all(quantity in answers[name] for name, (_, quantity) in KINDS.items()), answers
    assert sum(kind in answers[name] for name, (kind, _) in KINDS.items()) >= 3, answers
