"""Every model is asked as plain transformers asks it: AnyRes, connectors of ours, and other families by their own processor."""

import pytest
import torch
from other_models import FAMILIES
from PIL import Image, ImageDraw
from tiny_parts import save_language_model, save_tower
from transformers import AutoModelForImageTextToText, AutoProcessor

from llava_graph.chat import load_template
from llava_graph.errors import CheckpointError, InputError
from llava_graph.explain import Explainer
from llava_graph.generate import GenerationOptions, generate_stream
from llava_graph.images import encode_png
from llava_graph.model import LoadedModel, load
from llava_graph.model.assemble import assemble_checkpoint
from llava_graph.model.assembly import Assembly
from llava_graph.model.prompts import count_image_tokens, count_tokens, model_inputs, render_prompt
from llava_graph.record import Figure
from serve.engines.in_process import ExplainerEngine

GREEDY = GenerationOptions(max_new_tokens=5, temperature=0)


def picture(width=90, height=40):
    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).line((0, 0, width, height), fill="black", width=3)
    return image


def conversation(*texts, role="user"):
    """Messages with an image in each, and without `image` in it, as the page sends them."""
    return [{"role": role, "content": [{"type": "image"}, {"type": "text", "text": text}]} for text in texts]


def plain(model, processor, messages, images):
    """Ids of plain transformers' greedy answer, behind the prompt's."""
    left = iter(images)
    shown = [
        {
            **message,
            "content": [
                {**part, "image": next(left)} if part["type"] == "image" else part for part in message["content"]
            ],
        }
        for message in messages
    ]
    inputs = processor.apply_chat_template(
        shown, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    with torch.inference_mode():
        return inputs, model.generate(**inputs, max_new_tokens=5, do_sample=False)[0, inputs["input_ids"].shape[1] :]


def text_of(loaded, prompt, images):
    return "".join(chunk.text for chunk in generate_stream(loaded, prompt, images, GREEDY))


@pytest.fixture(scope="module", params=["pad", "anyres", "scale_invariant"])
def llava(request, tmp_path_factory):
    """A LLaVA of each kind of image, and its folder."""
    out = tmp_path_factory.mktemp(request.param)
    choice = {"connector": "scale_invariant"} if request.param == "scale_invariant" else {"preparation": request.param}
    parts = {"language_model": str(save_language_model(out / "lm")), "vision_tower": str(save_tower(out / "clip"))}
    chat = load_template("chatml")  # a template that ends its question with a special token
    return load(assemble_checkpoint(out / "model", Assembly(template=chat, **parts, **choice)))


@pytest.fixture(scope="module", params=FAMILIES)
def other(request):
    """A model of another family."""
    torch.manual_seed(0)
    model, processor = FAMILIES[request.param]()
    return LoadedModel(
        model=model.eval(), processor=processor, template=processor.chat_template, name=request.param, about="",
        image_tokens=count_image_tokens(processor), context_length=500,
    )  # fmt: skip


def check_as_plain(loaded):
    messages, image = conversation("What is it?"), picture()
    inputs, answer = plain(loaded.model, loaded.processor, messages, [image])
    ours = model_inputs(loaded, messages, [image])
    assert set(ours) == set(inputs)
    assert all(torch.equal(ours[name], inputs[name].to(ours[name].dtype)) for name in inputs)
    assert text_of(loaded, messages, [image]) == loaded.processor.decode(answer, skip_special_tokens=True)


def test_a_llava_is_asked_as_plain_transformers_asks_it(llava):
    check_as_plain(llava)


def test_other_families_are_asked_as_plain_transformers_asks_them(other):
    check_as_plain(other)


def check_rendered(loaded):
    messages, image = conversation("What is <image>?"), picture(64, 64)
    engine = ExplainerEngine(Explainer(model=loaded))
    prompt = engine.render(messages)
    assert prompt == render_prompt(loaded, messages)
    assert prompt.count("<image>") == 1 + (prompt.count("What is <image>"))
    if loaded.counts_image_tokens:
        prompt = prompt.replace("What is <image>", "What is < image>")  # FastChat's protocol cannot tell them apart
    by_prompt, by_messages = (model_inputs(loaded, asked, [image]) for asked in (prompt, messages))
    assert torch.equal(by_prompt["input_ids"], by_messages["input_ids"])
    assert count_tokens(loaded, prompt) == engine.count_tokens(prompt) == by_prompt["input_ids"].shape[1]


def test_a_rendered_prompt_means_the_same(llava):
    check_rendered(llava)


def test_a_rendered_prompt_of_another_family_means_the_same(other):
    check_rendered(other)


def test_places_and_images_must_match(llava, other):
    for loaded in (llava, other):
        for prompt in (conversation("?"), "<image> what?"):
            with pytest.raises(InputError, match=r"1 image placeholder\(s\) for 2"):
                model_inputs(loaded, prompt, [picture(), picture()])


@pytest.mark.parametrize("size", [(40, 40), (200, 30)])
def test_tokens_of_an_image_are_known_before_it_is_shown(llava, other, size):
    for loaded in (llava, other):
        whole = model_inputs(loaded, conversation("Why so?"), [picture(*size)])["input_ids"].shape[1]
        without = [{"role": "user", "content": [{"type": "text", "text": "Why so?"}]}]
        text = model_inputs(loaded, without, [])["input_ids"].shape[1]
        around = 1 if loaded.counts_image_tokens else 0  # our templates write a new line after the image
        assert whole - text - around == loaded.tokens_of(size)


def test_figures_are_explained(llava, other):
    figure = Figure(id="f", image=encode_png(picture()), caption="Loss over epochs.")
    for loaded in (llava, other):
        explained = Explainer(model=loaded).explain(figure, generation=GREEDY)
        assert explained.answers[-1].prompt_tokens > loaded.tokens_of((90, 40))
        assert explained.answers[-1].finish_reason in ("stop", "length")


@pytest.mark.parametrize("family", ["idefics3", "gemma3"])
def test_a_checkpoint_of_another_family_is_loaded_with_its_own_template(family, tmp_path):
    model, processor = FAMILIES[family]()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = load(tmp_path)
    assert loaded.template == processor.chat_template
    _, answer = plain(
        AutoModelForImageTextToText.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path),
        conversation("Why?"), [picture()],
    )  # fmt: skip
    assert text_of(loaded, conversation("Why?"), [picture()]) == processor.decode(answer, skip_special_tokens=True)
    assert loaded.image_tokens > 0
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0]['content'][-1]['text'] }}")
    with pytest.raises(CheckpointError, match="leaves images out"):
        load(tmp_path)
