"""Samples as ids, labels and image inputs: for LLaVA and AnyRes by our template, for other families by their processors."""

import json
import pickle

import pytest
import torch
from other_models import EXTRA, FAMILIES
from PIL import Image
from tiny_model import build_tiny_model
from transformers import AutoModelForImageTextToText, AutoProcessor

from llava_graph.chat import IGNORE_INDEX, encode_sample, load_template
from llava_graph.errors import SampleRefused
from llava_graph.images import encode_png
from llava_graph.model import load
from llava_graph.model.load import LoadedModel
from train.batching.batches import PaddedCollator
from train.batching.encoding import FigureEncoder, ProcessorEncoder, build_encoder
from train.sources import Sample
from train.train_mem import train

RED, BLUE = Image.new("RGB", (60, 40), "red"), Image.new("RGB", (40, 90), "blue")
IMAGE = {"type": "image"}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def text(words):
    return {"type": "text", "text": words}


def sample(*turns, images=()):
    messages = [{"role": ("user", "assistant")[index % 2], "content": list(turn)} for index, turn in enumerate(turns)]
    return Sample(messages, images, "s")


ONE = sample([IMAGE, text("what is it")], [text("a rising curve")], images=(RED,))
TWO = sample(
    [IMAGE, text("what is it")], [text("a rising curve")], [IMAGE, text("what is the figure")], [text("it shows a")],
    images=(RED, BLUE),
)  # fmt: skip
NONE = sample([text("what is a curve")], [text("a figure")])


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    torch.manual_seed(0)
    model, processor = FAMILIES[request.param]()
    return request.param, model.eval(), processor


def answers(encoded, tokenizer):
    runs, current = [], []
    for label in [*encoded.labels, IGNORE_INDEX]:
        if label != IGNORE_INDEX:
            current.append(label)
        elif current:
            runs.append(tokenizer.decode(current).strip())
            current = []
    return runs


def test_ids_are_those_of_the_processor_itself(family):
    _, _, processor = family
    encoder = ProcessorEncoder(processor, 4000)
    for one in (ONE, TWO, NONE):
        theirs = processor.apply_chat_template(
            one.messages, tokenize=True, return_dict=True, processor_kwargs={"images": list(one.images) or None}
        )
        ids = theirs["input_ids"][0]
        assert encoder.encode(one).input_ids == [int(token) for token in ids]


def test_exactly_the_answers_and_their_ends_are_learnt(family):
    name, _, processor = family
    end = {"idefics3": "<end_of_utterance>", "gemma3": "<end_of_turn>"}.get(name, "<|im_end|>")
    encoder = ProcessorEncoder(processor, 4000)
    wanted = ((ONE, ["a rising curve"]), (TWO, ["a rising curve", "it shows a"]), (NONE, ["a figure"]))
    for one, told in wanted:
        encoded = encoder.encode(one)
        assert answers(encoded, processor.tokenizer) == [answer + end for answer in told]
        assert encoded.labels[0] == IGNORE_INDEX
        assert set(encoder.vision(one)) == {key for key in EXTRA[name] if one.images or key.endswith("type_ids")}


def test_a_batch_with_and_without_images_gives_the_logits_of_each_alone(family):
    _, model, processor = family
    encoder = ProcessorEncoder(processor, 4000)
    items = []
    for one in (TWO, NONE, ONE):
        encoded = encoder.encode(one)
        items.append({"input_ids": encoded.input_ids, "labels": encoded.labels, "vision": encoder.vision(one)})
    collate = PaddedCollator(0)

    def logits(some):
        batch = collate(some)
        del batch["labels"]
        with torch.no_grad():
            return model(**batch).logits

    together = logits(items)
    for row, item in enumerate(items):
        torch.testing.assert_close(together[row, : len(item["input_ids"])], logits([item])[0], atol=1e-4, rtol=1e-4)


def test_a_template_that_rewrites_earlier_answers_still_teaches_each():
    """Qwen 3 writes empty thoughts before the last answer alone."""
    _, processor = FAMILIES["qwen2_vl"]()
    think = "{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
    processor.chat_template = processor.chat_template.replace("{{ m.role }}\n", "{{ m.role }}\n" + think)
    told = answers(ProcessorEncoder(processor, 4000).encode(TWO), processor.tokenizer)
    assert told == ["a rising curve<|im_end|>", "<think>\n\n</think>\n\nit shows a<|im_end|>"]


def test_special_tokens_in_a_persons_text_are_text(family):
    _, _, processor = family
    encoder = ProcessorEncoder(processor, 4000)
    hostile = f"what {processor.image_token} is </s> <image> it <|im_end|><end_of_turn><end_of_utterance>"
    clean, other = (
        encoder.encode(sample([IMAGE, text(words)], [text(words)], images=(RED,))) for words in ("what is it", hostile)
    )
    for token in processor.tokenizer.all_special_ids:
        assert other.input_ids.count(token) == clean.input_ids.count(token)


def test_a_sample_is_cut_in_its_answer_or_refused(family):
    _, _, processor = family
    whole = ProcessorEncoder(processor, 4000).encode(TWO)
    first_answer = next(place for place, label in enumerate(whole.labels) if label != IGNORE_INDEX)
    for limit, reason in ((first_answer, "prompt-too-long"), (first_answer + 2, "image-cut")):
        with pytest.raises(SampleRefused) as refused:
            ProcessorEncoder(processor, limit).encode(TWO)
        assert refused.value.reason == reason
    encoder = ProcessorEncoder(processor, len(whole.input_ids) - 2)
    cut = encoder.encode(TWO)
    assert cut.answer_cut or len(cut.input_ids) < len(whole.input_ids) - 2
    assert cut.input_ids == whole.input_ids[: len(cut.input_ids)]
    assert all(value.shape[1] == len(cut.input_ids) for key, value in encoder.vision(TWO).items() if "type_ids" in key)


def test_what_a_processor_cannot_take_is_one_refused_sample(family):
    _, _, processor = family
    kept = processor.chat_template
    try:
        for template, reason in (
            ("{% for m in messages %}{{ m.content[-1].text }}</s>{% endfor %}", "processor"),
            ("{{ raise_exception('no') }}", "processor"),
            (kept.replace("{% for m in messages %}", "{{ messages | length }}{% for m in messages %}"), "template"),
        ):
            processor.chat_template = template
            with pytest.raises(SampleRefused) as refused:
                ProcessorEncoder(processor, 4000).encode(TWO)
            assert refused.value.reason == reason
    finally:
        processor.chat_template = kept


# --- LLaVA and AnyRes


@pytest.fixture(scope="module")
def nano(tmp_path_factory):
    return load(build_tiny_model(tmp_path_factory.mktemp("m") / "nano", template="vicuna_v1"))


@pytest.fixture(scope="module")
def anyres(nano):
    """LLaVA-NeXT's processor over the tiny model's words, with tiles of 64 px."""
    from transformers import LlavaNextProcessor
    from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

    side = {"height": 64, "width": 64}
    images = LlavaNextImageProcessorPil(
        size={"shortest_edge": 64}, crop_size=side, image_grid_pinpoints=[[64, 128], [128, 64], [128, 128]]
    )
    processor = LlavaNextProcessor(
        images, nano.tokenizer, patch_size=16, vision_feature_select_strategy="full", num_additional_image_tokens=0
    )
    return LoadedModel(
        model=None, processor=processor,
        template=load_template("vicuna_v1"), image_tokens=0, context_length=4000, name="", about="",
    )  # fmt: skip


def test_several_images_a_sample_reach_the_model_in_order(nano):
    encoder = build_encoder(nano, 2048)
    assert isinstance(encoder, FigureEncoder)
    items = []
    for one in (TWO, NONE, ONE):
        encoded = encoder.encode(one)
        assert encoded.input_ids.count(nano.model.config.image_token_id) == len(one.images) * nano.image_tokens
        items.append({"input_ids": encoded.input_ids, "labels": encoded.labels, "vision": encoder.vision(one)})
    assert [len(item["vision"].get("pixel_values", ())) for item in items] == [2, 0, 1]
    batch = PaddedCollator(nano.tokenizer.pad_token_id)(items)
    with torch.no_grad():
        together = nano.model(**{key: value for key, value in batch.items() if key != "labels"}).logits
        alone = nano.model(input_ids=torch.tensor([items[0]["input_ids"]]), **items[0]["vision"]).logits[0]
    torch.testing.assert_close(together[0, : len(alone)], alone, atol=1e-4, rtol=1e-4)


def test_each_anyres_image_takes_its_own_number_of_tokens(anyres):
    encoder = build_encoder(anyres, 4000)
    image_id = anyres.tokenizer.convert_tokens_to_ids("<image>")
    for image in (RED, BLUE, Image.new("RGB", (64, 64))):
        one = sample([IMAGE, text("what is it")], [text("a curve")], images=(image,))
        rendered = "<image>\nwhat is it"
        theirs = anyres.processor(images=[image], text=[rendered], return_tensors="pt")
        assert encoder.encode(one).input_ids.count(image_id) == int((theirs["input_ids"] == image_id).sum())
        made = encoder.vision(one)
        assert made["pixel_values"].shape == theirs["pixel_values"].shape
        assert made["image_sizes"].tolist() == [[image.height, image.width]]
    both = encoder.encode(TWO)
    one, other = (encoder.encode(sample([IMAGE], [text("a")], images=(image,))) for image in (RED, BLUE))
    count = [encoded.input_ids.count(image_id) for encoded in (both, one, other)]
    assert count[0] == count[1] + count[2]
    assert count[1] != count[2]
    assert encoder.vision(NONE) == {}


def test_encoders_cross_process_borders_without_weights(nano, family):
    for encoder, one in ((build_encoder(nano, 2048), TWO), (ProcessorEncoder(family[2], 2048), TWO)):
        before = encoder.encode(one)
        try:
            sent = pickle.dumps(encoder)
        except pickle.PicklingError:  # the tests' own class of a processor without torchvision's parts
            assert family[0] in ("qwen2_vl", "internvl")
            continue
        assert b"lm_head" not in sent
        other = pickle.loads(sent)
        assert other.encode(one) == before
        assert other.identity == encoder.identity


def test_nothing_stands_before_the_first_token_so_it_is_no_target(nano):
    plain = encode_sample(NONE.messages, nano.tokenizer, load_template("plain"), 1, 100)
    assert plain.labels[0] == IGNORE_INDEX
    assert plain.labels[1:] == plain.input_ids[1:]


def test_another_familys_checkpoint_is_fine_tuned(tmp_path):
    """With its own processor and template, from a folder that plain transformers wrote to one that it opens."""
    torch.manual_seed(0)
    model, processor = FAMILIES["idefics3"]()
    model.save_pretrained(tmp_path / "start")
    processor.save_pretrained(tmp_path / "start")
    (tmp_path / "a.png").write_bytes(encode_png(RED))
    records = [
        {"conversations": [{"from": "human", "value": "what is it"}, {"from": "gpt", "value": "a rising curve"}]}
        for _ in range(6)
    ]
    for record, images in zip(records, ("a.png", ["a.png", "a.png"]), strict=False):
        record["image"] = images
    (tmp_path / "data.json").write_text(json.dumps(records))
    flags = {
        "model_name_or_path": tmp_path / "start", "data_path": tmp_path / "data.json", "output_dir": tmp_path / "out",
        "max_steps": 8, "per_device_train_batch_size": 3, "learning_rate": 1e-2, "logging_steps": 1, "save_strategy": "no",
        "disable_tqdm": True,
    }  # fmt: skip
    train([word for name, value in flags.items() for word in (f"--{name}", str(value))])
    history = json.loads((tmp_path / "out" / "trainer_state.json").read_text())["log_history"]
    losses = [entry["loss"] for entry in history if "loss" in entry]
    assert losses[-1] < 0.7 * losses[0]
    tuned = AutoModelForImageTextToText.from_pretrained(tmp_path / "out")
    assert AutoProcessor.from_pretrained(tmp_path / "out").chat_template == processor.chat_template
    assert not torch.equal(tuned.lm_head.weight, model.lm_head.weight)
