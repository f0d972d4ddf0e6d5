import threading
from dataclasses import replace

import pytest
from PIL import Image
from tiny_model import build_tiny_model

from llava_graph.errors import CheckpointError, ContextOverflow, ImageError, InputError
from llava_graph.explain import Explainer
from llava_graph.generate import Decoder, GenerationOptions
from llava_graph.prompt import EXPLAIN_REQUESTS, PromptOptions
from llava_graph.record import Figure, OcrLine, Turn


@pytest.fixture(scope="module")
def explainer(tmp_path_factory):
    return Explainer(build_tiny_model(tmp_path_factory.mktemp("model") / "nano"))


@pytest.fixture
def figure(png):
    return Figure(id="a", image=png, caption="Loss.", ocr=(OcrLine(text="Epoch", box=(0, 0, 1, 1), role="x-axis"),))


def tokens(explained) -> int:
    return explained.answers[-1].prompt_tokens


SHORT = GenerationOptions(max_new_tokens=12, temperature=0)


def test_the_stream_and_the_whole_are_the_same_answer(explainer, figure):
    whole = explainer.explain(figure, "What is plotted?", generation=SHORT)
    pieces = list(explainer.stream(figure, "What is plotted?", generation=SHORT))
    assert "".join(pieces).strip() == whole.text
    (answer,) = whole.answers
    assert answer.finish_reason in ("stop", "length")
    assert answer.completion_tokens <= 12
    assert answer.prompt_tokens > explainer.model.image_tokens
    assert answer.question == "What is plotted?"
    assert (answer.model, answer.about) == (explainer.model.name, explainer.model.about)
    assert whole.figure.ocr[0].text == "Epoch"
    assert whole.prompt.endswith("What is plotted?")
    assert "x-axis: Epoch" in whole.prompt


def test_without_a_question_an_explanation_is_asked_for(explainer, figure):
    explained = explainer.explain(figure, generation=SHORT)
    assert explained.answers[0].question in EXPLAIN_REQUESTS
    assert explained.prompt.endswith(explained.answers[0].question)


def test_the_answer_is_the_one_of_plain_transformers(explainer, figure):
    import torch

    from llava_graph.images import open_image

    model, processor = explainer.model.model, explainer.model.processor
    messages = explainer.messages(figure, "What is plotted?")
    text = processor.apply_chat_template(messages, add_generation_prompt=True)
    inputs = processor(text=text, images=open_image(figure.image), return_tensors="pt")
    with torch.inference_mode():
        ids = model.generate(**inputs, max_new_tokens=12, do_sample=False)
    theirs = processor.tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert explainer.explain(figure, "What is plotted?", generation=SHORT).text == theirs.strip()


def test_the_context_changes_the_prompt_and_the_image_the_answer_counts_it(explainer, figure):
    with_ocr = tokens(explainer.explain(figure, generation=SHORT))
    assert with_ocr > tokens(explainer.explain(figure, generation=SHORT, options=PromptOptions(ocr=False)))
    blind = tokens(explainer.explain(replace(figure, image=None), generation=SHORT))
    assert with_ocr - blind >= explainer.model.image_tokens


def test_a_chat_goes_on(explainer, figure):
    first = explainer.explain(figure, generation=SHORT)
    history = (Turn(role="user", text=first.answers[0].question), Turn(role="assistant", text="A curve."))
    later = explainer.explain(figure, "And then?", history=history, generation=SHORT)
    assert tokens(later) > tokens(first)


def test_stopping_ends_the_generation(explainer, figure):
    stopping = threading.Event()
    messages, images = explainer.messages(figure, None), [Image.new("RGB", (64, 64))]
    chunks = []
    generation = GenerationOptions(max_new_tokens=400, temperature=1.5, seed=3)
    for chunk in explainer.generate_stream(messages, images, generation, stopping):
        chunks.append(chunk)
        stopping.set()
    assert chunks[-1].finish_reason in ("cancelled", "stop")
    assert chunks[-1].completion_tokens < 50


def test_a_reader_that_goes_away_leaves_no_thread(explainer, figure):
    before = threading.active_count()
    stream = explainer.generate_stream(
        explainer.messages(figure, None), [Image.new("RGB", (64, 64))], GenerationOptions()
    )
    next(stream)
    stream.close()
    assert threading.active_count() == before


def test_a_stop_string_ends_the_answer_before_it(explainer, figure):
    sampled = GenerationOptions(max_new_tokens=60, temperature=1.5, seed=5)
    whole = "".join(explainer.stream(figure, generation=sampled))
    assert len(whole) > 12
    middle = whole[len(whole) // 2 : len(whole) // 2 + 3]
    stopped = "".join(explainer.stream(figure, generation=replace(sampled, stop=(middle,))))
    assert stopped == whole[: whole.index(middle)]


def test_a_prompt_that_does_not_fit_is_refused_not_cut(explainer, figure):
    with pytest.raises(ContextOverflow, match="tokens"):
        explainer.explain(figure, "why " * 1900)
    with pytest.raises(InputError, match="at most"):
        explainer.explain(figure, "x" * 10_000)


def test_images_must_match_their_placeholders(explainer):
    with pytest.raises(InputError, match="2 image placeholder"):
        explainer.generate_stream("<image> and <image>", [Image.new("RGB", (64, 64))])


def test_a_bad_image_and_a_bad_folder_say_so(explainer, figure, tmp_path):
    with pytest.raises(ImageError):
        explainer.explain(replace(figure, image=b"nothing"))
    with pytest.raises(CheckpointError, match="no such folder"):
        Explainer(tmp_path / "nowhere")


@pytest.mark.parametrize("wrong", [{"max_new_tokens": 0}, {"temperature": -1}, {"top_p": 0}, {"top_p": 1.5}])
def test_wrong_generation_options_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        GenerationOptions(**wrong)


class Letters:
    """A tokenizer whose ids are characters."""

    def decode(self, ids, skip_special_tokens):
        return "".join(map(chr, ids))


def test_the_beginning_of_a_stop_string_is_held_back():
    decoder = Decoder(Letters(), ["###"])
    given = [decoder.push(ord(letter)) for letter in "ab##c###d"]
    assert given[:5] == ["a", "b", "", "", "##c"]
    assert decoder.stopped
    assert "".join(given) == "ab##c"
