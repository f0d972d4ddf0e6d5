"""Contrastive pretraining's parts: losses against loops over numbers, queue, momentum, negatives, scores, towers, pairs."""

import json
import math
import random

import numpy as np
import pytest
import torch
from coloured_shapes import draw, flags, save_bert, save_parts
from parsing import clean_process
from PIL import Image
from safetensors.torch import load_file, save_file

from llava_graph.dataset import write_dataset
from llava_graph.errors import CheckpointError, InputError, SampleRefused
from llava_graph.images import encode_png
from llava_graph.prompt import PromptOptions
from llava_graph.record import Figure, Turn
from train.contrastive.arguments import parse_contrastive
from train.contrastive.augmenting import CHANGES, Augmentation
from train.contrastive.encoders import same_pair
from train.contrastive.folder import build_contrastive, read_contrastive, restore, save_contrastive
from train.contrastive.losses import follow, info_nce, ita_loss, ramped, sample_negatives, soft_targets
from train.contrastive.momentum import FeatureQueue, Momentum
from train.contrastive.pairs import PairCollator, PairEncoder, as_pair, open_pairs
from train.contrastive.retrieval import check_labels, classification, ranks, recalls
from train.flags.command import find_recipe, parse_command
from train.sources import Source

TEMPERATURE = torch.tensor(0.2)
EVALUATED = {"eval_strategy": "steps", "eval_steps": 5, "eval_split": "validation"}


def unit(rows, seed, width=5):
    made = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(made, dim=1)


def log_softmax(values):
    top = max(values)
    return [value - top - math.log(sum(math.exp(other - top) for other in values)) for value in values]


def similar(one, others):
    return [sum(float(a) * float(b) for a, b in zip(one, other, strict=True)) / float(TEMPERATURE) for other in others]


def test_info_nce_is_the_sum_written_out():
    image, text, images, texts = unit(3, 0), unit(3, 1), unit(7, 2), unit(7, 3)
    images[2:5], texts[2:5] = image, text
    told = info_nce((image, text), (images, texts), TEMPERATURE, 2)
    by_hand = 0.0
    for row in range(3):
        by_hand -= log_softmax(similar(image[row], texts))[2 + row] / 6
        by_hand -= log_softmax(similar(text[row], images))[2 + row] / 6
    assert float(told) == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_alignment_is_the_sum_written_out(alpha):
    """ALBEF, equations 2 and 6, with another process's batch before this one's, and a queue behind."""
    features, momentum, keys = (unit(3, 0), unit(3, 1)), (unit(3, 2), unit(3, 3)), (unit(9, 4), unit(9, 5))
    for one, other in zip(keys, momentum, strict=True):
        one[3:6] = other
    told = ita_loss(features, momentum, keys, TEMPERATURE, alpha=alpha, first=3)
    by_hand = 0.0
    for way in (0, 1):
        for row in range(3):
            others = keys[1 - way]
            seen = np.exp(log_softmax(similar(momentum[way][row], others)))
            targets = [alpha * share + (1 - alpha) * (column == 3 + row) for column, share in enumerate(seen)]
            given = log_softmax(similar(features[way][row], others))
            by_hand -= sum(t * g for t, g in zip(targets, given, strict=True)) / 6
    assert float(told) == pytest.approx(by_hand, rel=1e-5)


def test_without_soft_targets_and_queue_alignment_is_info_nce():
    features = unit(4, 0), unit(4, 1)
    assert torch.equal(
        ita_loss(features, features, features, TEMPERATURE, alpha=0.0).round(decimals=6),
        info_nce(features, features, TEMPERATURE).round(decimals=6),
    )
    assert soft_targets(torch.randn(4, 6), 0.3, 1).sum(1).tolist() == pytest.approx([1.0] * 4)


def test_soft_targets_teach_nothing_to_the_momentum_encoders():
    features, momentum = (
        [unit(3, seed).requires_grad_() for seed in (0, 1)],
        [unit(3, seed).requires_grad_() for seed in (2, 3)],
    )
    ita_loss(tuple(features), tuple(momentum), (unit(3, 4), unit(3, 5)), TEMPERATURE, alpha=0.5).backward()
    assert all(one.grad.abs().sum() > 0 for one in features)
    assert all(one.grad is None for one in momentum)


def test_a_hard_negative_is_never_the_pair_and_mostly_what_is_similar():
    torch.manual_seed(0)
    similarity = torch.tensor([[9.0, 2.0, 1.0, 0.0]]).repeat(4000, 1)
    same = torch.tensor([[True, False, False, False]]).repeat(4000, 1)
    drawn = sample_negatives(similarity, same)
    assert (drawn > 0).all()
    expected = torch.softmax(similarity[0], 0)[1:] + 1e-4
    counts = torch.bincount(drawn, minlength=4)[1:] / 4000
    assert counts.tolist() == pytest.approx((expected / expected.sum()).tolist(), abs=0.03)


def test_a_pair_without_any_other_has_no_negative():
    """Also where every chance but that of the pair itself is zero in float32, as BLIP's floor is for."""
    same = torch.tensor([[True, True], [True, False]])
    assert sample_negatives(torch.tensor([[0.0, 0.0], [1e4, -1e4]]), same).tolist() == [-1, 1]
    assert sample_negatives(torch.full((2, 2), torch.nan), same).tolist() == [-1, 1], "the loss is NaN, and tells of it"


def test_labels_that_cannot_be_told_apart_are_refused():
    check_labels({"benign": [2, 5, 3], "malignant": [2, 6, 3]})
    with pytest.raises(InputError, match="the labels 'benign' and 'benign!' of --zero_shot_data are the same tokens"):
        check_labels({"benign": [2, 5, 3], "benign!": [2, 5, 3]})
    with pytest.raises(InputError, match="has one label alone: 'benign'"):
        check_labels({"benign": [2, 5, 3]})


def test_pairs_of_one_image_or_of_the_same_words_are_the_same():
    ids = torch.tensor([[1, 2, 0], [1, 2, 0], [1, 2, 3]])
    same = same_pair(torch.tensor([7, 8, 8]), ids, torch.tensor([7, 8, 8]), ids)
    assert same.tolist() == [[True, True, False], [True, True, True], [False, True, True]]


def test_queue_holds_the_newest_and_goes_round():
    queue, seen = FeatureQueue(5, 2), []
    for batch in range(4):
        rows = torch.arange(3.0)[:, None] + 3 * batch
        queue.put(rows.repeat(1, 2), -rows.repeat(1, 2))
        seen += rows[:, 0].tolist()
        assert sorted(queue.image[:, 0].tolist()) == seen[-5:]
        assert torch.equal(queue.image, -queue.text)
    again = FeatureQueue(5, 2)
    again.restore(queue.state())
    for one in (queue, again):
        one.put(torch.full((2, 2), 99.0), torch.full((2, 2), -99.0))
    assert torch.equal(queue.image, again.image), "row by row, not only the same set"
    queue.put(torch.arange(14.0).reshape(7, 2), torch.arange(14.0).reshape(7, 2))
    assert sorted(queue.image[:, 0].tolist()) == [4, 6, 8, 10, 12]
    none = FeatureQueue(0, 2)
    none.put(torch.ones(3, 2), torch.ones(3, 2))
    assert len(none) == 0


def test_momentum_follows_and_alpha_rises():
    slow, fast = [torch.tensor([1.0, 2.0])], [torch.tensor([3.0, 2.0])]
    follow(slow, fast, 0.75)
    assert slow[0].tolist() == [1.5, 2.0]
    follow(slow, fast, 0.0)
    assert slow[0].tolist() == [3.0, 2.0]
    follow(slow, fast, 0.995)
    assert torch.equal(slow[0], fast[0]), "in the first step they are the encoders, to the last bit"
    assert [ramped(0.4, step, 10) for step in (0, 5, 10, 99)] == [0.0, 0.2, 0.4, 0.4]
    assert ramped(0.4, 0, 0) == 0.4


def test_recall_counts_as_a_loop_does_and_a_tie_is_no_hit():
    similarity = torch.randn(12, 12, generator=torch.Generator().manual_seed(3))
    right = torch.eye(12, dtype=torch.bool)
    right[0, 5] = True
    by_hand = []
    for row in range(12):
        order = sorted(range(12), key=lambda column, row=row: -float(similarity[row, column]))
        by_hand.append(next(place for place, column in enumerate(order) if right[row, column]))
    found = ranks(similarity, right)
    assert found.tolist() == by_hand
    assert recalls(found) == {f"r{k}": pytest.approx(np.mean([rank < k for rank in by_hand])) for k in (1, 5, 10)}
    assert recalls(ranks(torch.zeros(12, 12), right))["r10"] == 0, "a model that sees everything alike"
    assert recalls(ranks(torch.full((12, 12), torch.nan), right))["r10"] == 0, "a model whose weights are spoilt"


def test_classification_by_labels():
    labels, image = torch.eye(3), torch.eye(3)[[0, 0, 1, 1, 2]]
    told = classification(image, labels, [0, 1, 1, 1, 0])
    assert told["accuracy"] == pytest.approx(3 / 5)
    assert told["macro_f1"] == pytest.approx((2 * 1 / 4 + 2 * 2 / 5) / 2)


# ---- the model ----


@pytest.fixture(scope="module")
def towers(tmp_path_factory):
    return save_parts(tmp_path_factory.mktemp("towers"), dropout=0.0)


def build(towers, **more):
    torch.manual_seed(0)
    settings = {"fused": True, "projection_dim": 16, "temperature": 0.07, "bounds": (0.001, 0.5), **more}
    return build_contrastive(towers["vision_tower"], towers["text_tower"], **settings)


def batch(loaded, count=4):
    texts = ["a red circle", "the blue bar", "a green cross", "a black square"][:count]
    words = loaded.tokenizer(texts, padding="max_length", max_length=8, return_tensors="pt")
    pixels = torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    return {
        "pixel_values": pixels,
        "input_ids": words["input_ids"],
        "attention_mask": words["attention_mask"],
        "image_keys": torch.arange(count),
    }


def test_text_encoder_is_the_bert_that_it_came_from(towers):
    """BLIP's has no embedding of token types: BERT's is in the words, and the function is the same."""
    from transformers import BertModel

    loaded = build(towers)
    words = {name: batch(loaded)[name] for name in ("input_ids", "attention_mask")}
    bert = BertModel.from_pretrained(towers["text_tower"]).eval()
    told = loaded.model.encoders.text_encoder.eval()(**words).last_hidden_state
    assert torch.allclose(told, bert(**words).last_hidden_state, atol=1e-5)


def test_everything_learns_and_the_same_with_checkpointed_layers(towers):
    gradients = []
    for checkpointed in (False, True):
        loaded = build(towers)
        model = loaded.model.train()
        if checkpointed:
            model.activation_checkpointing_enable()
        torch.manual_seed(5)
        losses = model(**batch(loaded))
        losses["loss"].backward()
        assert float(losses["loss"].detach()) == pytest.approx(float(losses["ita"] + losses["itm"]))
        gradients.append({name: weight.grad for name, weight in model.named_parameters()})
    assert not [name for name, gradient in gradients[0].items() if gradient is None], "DDP would wait for them"
    assert all(torch.allclose(gradients[0][name], gradients[1][name], atol=1e-6) for name in gradients[0])


def test_a_checkpoint_of_another_width_is_refused(towers, tmp_path):
    loaded = build(towers)
    save_contrastive(loaded.model, loaded.tokenizer, loaded.images, tmp_path / "run")
    restore(build(towers).model, tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"do not fit this model .*projection.*Take the towers"):
        restore(build(towers, projection_dim=8).model, tmp_path / "run")


def test_temperature_stays_in_its_bounds(towers):
    loaded = build(towers, fused=False)
    for value, kept in ((9.0, 0.5), (-1.0, 0.001), (0.1, 0.1)):
        loaded.model.temperature.data.fill_(value)
        loaded.model(**batch(loaded))
        assert float(loaded.model.temperature.detach()) == pytest.approx(kept)


def test_first_step_of_the_objectives_differs_by_matching_alone(towers):
    """The queue is empty, alpha is 0 and the momentum encoders are the encoders."""
    loaded = build(towers)
    momentum = Momentum(loaded.model.encoders, share=0.995, queue_size=6)
    one = batch(loaded)
    keys = momentum.look(one["pixel_values"], one["input_ids"], one["attention_mask"])
    assert float(loaded.model(**one, keys=keys)["ita"]) == pytest.approx(float(loaded.model(**one)["ita"]), rel=1e-5)
    momentum.remember(keys)
    momentum.remember(momentum.look(one["pixel_values"], one["input_ids"], one["attention_mask"]))
    assert len(momentum.queue) == 6
    assert torch.allclose(momentum.queue.image[2:4], keys.own[0][2:4])


@torch.no_grad()
def test_a_pair_alone_is_a_match_whatever_token_its_caption_begins_with(towers):
    model = build(towers).model.eval()
    one = {name: value[:1] for name, value in batch(build(towers)).items()}
    _, tokens = model.encoders.look(one["pixel_values"])
    verdict = model.match(one["input_ids"], one["attention_mask"], tokens)
    matched = torch.nn.functional.cross_entropy(verdict, torch.tensor([1]))
    assert float(model(**one)["itm"]) == pytest.approx(float(matched), rel=1e-5)
    assert float(matched) != pytest.approx(math.log(2), abs=1e-3), "else the other verdict would cost as much"
    other = one["input_ids"].clone()
    other[:, 0] = other[0, 1]
    assert torch.equal(model.match(other, one["attention_mask"], tokens), verdict), "[ENC] takes its place"


@pytest.mark.parametrize("siglip", [False, True])
def test_folder_is_a_vision_tower_and_goes_on(towers, tmp_path, siglip):
    from tiny_parts import save_tower

    from llava_graph.model.towers import read_tower

    tower = str(save_tower(tmp_path / "siglip", siglip=True)) if siglip else towers["vision_tower"]
    loaded = build({**towers, "vision_tower": tower})
    out = tmp_path / "out"
    save_contrastive(loaded.model, loaded.tokenizer, loaded.images, out)
    again = read_contrastive(out, fused=True, bounds=(0.001, 0.5))
    kept = loaded.model.state_dict()
    assert all(torch.equal(kept[name], weight) for name, weight in again.model.state_dict().items())
    opened, begun = read_tower(out), read_tower(tower)
    assert (opened.image_size, opened.mean, opened.resample) == (begun.image_size, begun.mean, begun.resample)
    pixels = batch(loaded)["pixel_values"]
    assert torch.equal(opened.model(pixels).last_hidden_state, begun.model(pixels).last_hidden_state)
    plain = read_contrastive(out, fused=False, bounds=(0.001, 0.5)).model
    assert not [name for name in plain.state_dict() if "crossattention" in name or "itm_head" in name]
    assert torch.equal(plain.encoders.vision_projection.weight, kept["encoders.vision_projection.weight"])


def test_what_is_no_text_encoder_is_told(towers, tmp_path):
    with pytest.raises(CheckpointError, match="no text encoder that we know .model_type 'clip_vision_model'"):
        build({**towers, "text_tower": towers["vision_tower"]})
    with pytest.raises(CheckpointError, match="no folder of train_contrastive"):
        read_contrastive(tmp_path, fused=True, bounds=(0.001, 0.5))


def test_a_damaged_folder_is_told_by_its_file(towers, tmp_path):
    loaded = build(towers, fused=False)
    save_contrastive(loaded.model, loaded.tokenizer, loaded.images, tmp_path)
    assert read_contrastive(tmp_path, fused=True, bounds=(0.001, 0.5)).model.itm_head is not None

    def told():
        with pytest.raises(CheckpointError) as refused:
            read_contrastive(tmp_path, fused=True, bounds=(0.001, 0.5))
        return str(refused.value)

    heads = load_file(tmp_path / "contrastive.safetensors")
    heads.pop("encoders.text_projection.bias")
    save_file(heads, tmp_path / "contrastive.safetensors")
    assert "contrastive.safetensors has no encoders.text_projection.bias" in told()
    (tmp_path / "contrastive.safetensors").write_bytes(b"cut")
    assert f"{tmp_path / 'contrastive.safetensors'}: does not load" in told()
    (tmp_path / "contrastive.json").write_text('{"projection_dim": "x"}')
    assert "contrastive.json states no projection_dim" in told()


# ---- pairs ----


def encoder(towers, **more):
    loaded = build(towers, fused=False)
    return PairEncoder(tokenizer=loaded.tokenizer, images=loaded.images, max_length=6, **more)


def test_captions_are_read_from_every_layout(towers, tmp_path):
    picture = encode_png(Image.new("RGB", (40, 30), "red"))
    (tmp_path / "a.png").write_bytes(picture)
    records = [
        {"image": "a.png", "caption": "a red  square"},
        {"id": "x", "image": "a.png", "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "a bar"}]},
        {"image": "a.png", "caption": " "},
        {"caption": "without"},
        {"id": "y", "conversations": [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Yes"}]},
    ]  # fmt: skip
    (tmp_path / "pairs.json").write_text(json.dumps(records))
    asked = (Turn(role="user", text="What?"), Turn(role="assistant", text="a circle"))
    figures = [
        Figure(id="one", image=picture, caption="the cross", turns=asked, split="train"),
        Figure(id="two", image=picture, turns=asked, split="train"),
        Figure(id="three", caption="no image", split="train"),
    ]
    write_dataset(figures, tmp_path / "ours")
    options = PromptOptions()
    samples = open_pairs([Source(path=tmp_path / name, options=options) for name in ("pairs.json", "ours")], seed=0)
    read, refused = [], []
    for index in range(len(samples)):
        try:
            read.append(samples.get(index, None))
        except SampleRefused as error:
            refused.append(error.reason)
    assert [pair.caption for pair in read] == ["a red square", "a bar", "the cross", "a circle"]
    assert [pair.answer for pair in read] == ["", "", "a circle", "a circle"], (
        "a label is an answer, whatever the caption"
    )
    assert refused == ["no-caption", "no-image", "no-image", "no-image"]
    assert read[0].key == read[1].key != read[2].key == read[3].key
    assert samples.image_files(0) == (tmp_path / "a.png",)


@pytest.mark.parametrize(
    ("told", "read"),
    [
        (
            "crypts here [0.07, 0.14, 0.42, 1.0], here the stroma [0.57, 0.33, 0.92, 0.75]",
            "crypts here, here the stroma",
        ),
        ("scores of [1, 2] and [0.1, 0.2] mm", "scores of [1, 2] and [0.1, 0.2] mm"),
    ],
)
def test_boxes_of_a_narrative_are_no_words(told, read):
    assert as_pair(told, b"", "x", None).caption == read


def test_long_captions_keep_their_end_and_batches_their_length(towers):
    made = encoder(towers)
    short, long = made.encode_text("a bar"), made.encode_text("a red circle the blue bar a green cross")
    assert (len(short.input_ids), short.answer_cut) == (4, False)
    assert (len(long.input_ids), long.answer_cut) == (6, True)
    assert long.input_ids[-1] == short.input_ids[-1] == made.tokenizer.sep_token_id
    nothing = {"pixel_values": torch.zeros(1, 3, 2, 2), "image_keys": torch.zeros(1)}
    collated = PairCollator(pad_id=0, length=6)([{"input_ids": short.input_ids, "vision": nothing}])
    assert collated["attention_mask"].tolist() == [[1, 1, 1, 1, 0, 0]]


def test_images_differ_by_epoch_and_are_repeated_by_a_run_that_goes_on(towers, tmp_path):
    (tmp_path / "pairs.json").write_text(json.dumps([{"image": "a.png", "caption": "a red circle"}]))
    draw("red", "circle", random.Random(0)).save(tmp_path / "a.png")
    samples = open_pairs([Source(path=tmp_path / "pairs.json", options=PromptOptions())], seed=0)

    def shown(epoch, **more):
        from train.sources.pictures import Pictures

        made = encoder(towers, augmentation=Augmentation(**more))
        return made.vision(Pictures().settle(samples.get(0, epoch)))["pixel_values"]

    assert torch.equal(shown(1), shown(1))
    assert not torch.equal(shown(1), shown(2))
    assert torch.equal(shown(1, smallest_crop=1, level=0, flip=False), shown(None)), "held-out images are never changed"


def test_every_change_keeps_size_and_most_change_something():
    image = Image.effect_mandelbrot((32, 32), (-2, -1, 1, 1), 50).convert("RGB")
    for name, change in CHANGES.items():
        changed = change(image, 0.7)
        assert (changed.size, changed.mode) == (image.size, "RGB")
        assert (changed.tobytes() == image.tobytes()) == (name == "identity"), name


def test_an_image_is_not_mirrored_under_a_caption_with_sides():
    image = Image.new("RGB", (8, 8), "white")
    image.putpixel((0, 0), (0, 0, 0))
    plain = Augmentation(smallest_crop=1, level=0)
    for caption, ways in (("a dot", 2), ("a dot in the left corner", 1), ("Right lung", 1), ("aright", 2)):
        found = {plain.show(image, caption, 8, 0, random.Random(seed)).tobytes() for seed in range(12)}
        assert len(found) == ways, caption


# ---- flags ----


def parse(*words):
    with clean_process():
        return parse_contrastive(words)


def test_recipe_says_what_was_published():
    command = parse("--config", "pa_llava/plip", "--data_path", "d", "--output_dir", "o")
    asked = command.contrastive
    assert (asked.vision_tower, asked.text_tower) == ("openai/clip-vit-base-patch16", "google-bert/bert-base-uncased")
    assert (asked.objective, asked.projection_dim, asked.momentum, asked.queue_size) == ("ita-itm", 256, 0.995, 57_600)
    assert (asked.temperature, *asked.bounds, asked.max_caption_tokens) == (0.07, 0.001, 0.5, 30)
    assert "not published" in find_recipe("pa_llava/plip", ["pa_llava/plip"]).read_text()
    with pytest.raises(InputError, match="is a recipe of train_contrastive.py"):
        parse_command(["--config", "pa_llava/plip"])


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"context": "caption"}, "--context has no meaning here: a pair is an image and its caption"),
        ({"deepspeed": "zero2"}, "--deepspeed has no meaning here: momentum encoders follow whole weights"),
        ({"model_name_or_path": "m"}, "two models to begin with"),
        ({"objective": "clipp"}, "Did you mean 'clip'"),
        ({"temperature": 0.9}, "is not in 0.001..0.5"),
        ({"alpha": 1.5}, "--alpha must be in 0..1"),
        ({"quue_size": 5}, "Did you mean --queue_size"),
        ({"label_prompt": "of"}, "needs one {}"),
        ({"eval_split": "validation"}, "pairs to evaluate on without evaluations"),
        ({"eval_strategy": "steps", "eval_steps": 5}, "has no pairs to evaluate on"),
        ({**EVALUATED, "metric_for_best_model": "image_to_text_r2"}, "evaluations have no score 'image_to_text_r2'"),
        (
            {**EVALUATED, "metric_for_best_model": "zero_shot_accuracy"},
            "evaluations have no score 'zero_shot_accuracy'",
        ),
        ({"objective": "clip", "per_device_train_batch_size": 1}, "its loss is always 0"),
        ({"config": "quilt_llava/finetune"}, "no such file or recipe"),
    ],
)
def test_what_has_no_meaning_is_refused_before_anything_is_loaded(more, told):
    with pytest.raises(InputError, match=told):
        parse(*flags({"vision_tower": "v"}, "d", "o", **more))


def test_broken_weights_of_a_text_encoder_are_told(towers, tmp_path):
    bert = save_bert(tmp_path / "bert")
    (bert / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="does not load"):
        build_contrastive(
            towers["vision_tower"], str(bert), fused=True, projection_dim=4, temperature=0.07, bounds=(0.001, 0.5)
        )
