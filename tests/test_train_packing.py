"""Packed rows: whole samples, exact logits for every attention, the same loss, the same order on every process."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)
from transformers.trainer_pt_utils import LabelSmoother

from llava_graph.errors import InputError
from llava_graph.model.connectors import (
    LlavaMlpConfig,
    LlavaMlpForConditionalGeneration,
    LlavaScaleInvariantConfig,
    LlavaScaleInvariantForConditionalGeneration,
)
from train.batching.batches import PackedCollator, PaddedCollator, join_vision
from train.batching.order import EpochBatches, Order
from train.batching.packing import lay_out, pack, split_fullest
from train.learning import segments
from train.learning.attention import (
    check_packable,
    choose_attention,
    keep_activations_half,
    packing_error,
    prove_packing,
    set_attention,
)
from train.learning.loss import chunked_cross_entropy, install_answer_loss
from train.learning.segments import _by_products, _products_pay

IMAGE = 99
SIZES = {
    "vocab_size": 128, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "pad_token_id": 0,
}  # fmt: skip
TEXTS = {
    "llama": LlamaConfig(**SIZES),
    "qwen2": Qwen2Config(**SIZES),
    "qwen3": Qwen3Config(**SIZES, head_dim=16),
    "mistral": MistralConfig(**SIZES, sliding_window=8),
}


def tiny(text, seed=0):
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=8
    )
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=IMAGE, image_seq_length=4)
    torch.manual_seed(seed)
    return LlavaForConditionalGeneration(config).eval()


def make_items(*shapes):
    """(length, images) each; an image takes 4 tokens; the second half is learnt."""
    numbers = torch.Generator().manual_seed(1)
    items = []
    for length, images in shapes:
        ids = [IMAGE] * (4 * images) + torch.randint(3, 98, (length - 4 * images,), generator=numbers).tolist()
        half = max(1, length // 2)
        pixels = {"pixel_values": torch.randn(images, 3, 16, 16, generator=numbers)} if images else {}
        items.append({"input_ids": ids, "labels": [-100] * half + ids[half:], "vision": pixels})
    return items


ITEMS = make_items((13, 1), (7, 0), (21, 2), (5, 0), (30, 1))


def alone(model, item):
    return model(input_ids=torch.tensor([item["input_ids"]]), **item["vision"]).logits[0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what transformers calls for flex attention
@pytest.mark.parametrize(
    ("text", "attention"),
    [
        *((text, attention) for text in TEXTS for attention in ("eager", "sdpa", "segments")),
        pytest.param("mistral", "flex_attention", marks=pytest.mark.long),  # compiled, half a minute
    ],
)
@torch.no_grad()
def test_packed_logits_are_those_of_each_sample_alone(text, attention):
    model = tiny(TEXTS[text])
    apart = torch.cat([alone(model, item) for item in ITEMS])
    set_attention(model, attention)
    row = PackedCollator(pad_id=0, longest=30, length=90)(ITEMS)
    labels, _ = row.pop("labels"), row.pop("answer_rows")
    together = model(**row, use_cache=False).logits[0]
    assert together.shape[0] == 90
    assert (together[: len(apart)] - apart).abs().max() < 1e-5
    assert labels[0, len(apart) :].eq(-100).all()


GRIDS = [[16, 32], [32, 16], [32, 32]]


def with_tiles(kind):
    """A tiny LLaVA of another family, and samples whose images have two and five tiles."""
    config, model_class = {
        "anyres": (LlavaNextConfig, LlavaNextForConditionalGeneration),
        "mlp3x_gelu": (LlavaMlpConfig, LlavaMlpForConditionalGeneration),
        "scale_invariant": (LlavaScaleInvariantConfig, LlavaScaleInvariantForConditionalGeneration),
    }[kind]
    vision = CLIPVisionConfig(
        hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=8
    )
    grids = {} if kind == "mlp3x_gelu" else {"image_grid_pinpoints": GRIDS}
    torch.manual_seed(0)
    model = model_class(
        config(vision_config=vision, text_config=TEXTS["llama"], image_token_index=IMAGE, image_seq_length=4, **grids)
    ).eval()
    numbers = torch.Generator().manual_seed(2)
    items = []
    for size, tiles in (((16, 30), 3), ((30, 28), 5)):
        pixels = torch.randn(1, tiles, 3, 16, 16, generator=numbers)
        images = (
            {"pixel_values": pixels, "image_sizes": torch.tensor([size])} if grids else {"pixel_values": pixels[:, 0]}
        )
        seen = model.model.get_image_features(**images, return_dict=True).pooler_output
        ids = [IMAGE] * sum(len(one) for one in seen) + torch.randint(3, 98, (9,), generator=numbers).tolist()
        items.append({"input_ids": ids, "labels": [-100] * (len(ids) - 4) + ids[-4:], "vision": images})
    return model, [*items, *make_items((7, 0))]


@pytest.mark.parametrize("kind", ["anyres", "mlp3x_gelu", "scale_invariant"])
@torch.no_grad()
def test_packed_logits_are_exact_for_the_other_connectors_too(kind):
    model, items = with_tiles(kind)
    check_packable(model)
    apart = torch.cat([alone(model, item) for item in items])
    set_attention(model, "segments")
    row = PackedCollator(pad_id=0, longest=80)(items)
    del row["labels"], row["answer_rows"]
    assert (model(**row, use_cache=False).logits[0] - apart).abs().max() < 1e-5


@torch.no_grad()
def test_without_restarting_positions_samples_leak():
    """The check can fail: this is what it guards against."""
    model = tiny(TEXTS["qwen3"])
    set_attention(model, "sdpa")
    row = PackedCollator(pad_id=0, longest=30)(ITEMS)
    row["position_ids"] = torch.arange(row["input_ids"].shape[1])[None]
    del row["labels"], row["answer_rows"]
    apart = torch.cat([alone(model, item) for item in ITEMS])
    assert (model(**row, use_cache=False).logits[0] - apart).abs().max() > 1e-2


def test_proof_passes_what_is_exact_and_stops_what_leaks():
    model = tiny(TEXTS["llama"])
    for attention in ("sdpa", "segments"):
        set_attention(model, attention)
        assert packing_error(model) < 1e-4
        prove_packing(model)
    # A model that forgets the borders: what a linear-attention layer does.
    original = model.forward

    def forgetful(position_ids=None, cu_seq_lens_q=None, **inputs):
        return original(**inputs)

    model.forward = forgetful
    with pytest.raises(InputError, match="do not give what they give alone"):
        prove_packing(model)


def test_hybrid_language_models_are_refused_with_the_reason():
    from transformers import Qwen3NextConfig

    small = Qwen3NextConfig(**{**SIZES, "num_hidden_layers": 4}, head_dim=16)
    model = tiny(TEXTS["llama"])
    model.config.text_config = small
    with pytest.raises(InputError, match="linear attention layers"):
        check_packable(model)
    model = tiny(TEXTS["llama"])
    check_packable(model)
    model.config.model_type = "qwen2_vl"
    with pytest.raises(InputError, match="not for qwen2_vl"):
        check_packable(model)


def gradients(model, *batches):
    """Loss and gradients, each batch's part divided by the learnt tokens of all."""
    model.zero_grad()
    count = sum((batch["labels"] != -100).sum() for batch in batches)
    total = 0.0
    for batch in batches:
        loss = model(**batch, num_items_in_batch=count)["loss"]
        loss.backward()
        total += loss.item()
    return total, torch.cat([one.grad.flatten() for one in model.parameters() if one.grad is not None])


@pytest.mark.parametrize("text", ["llama", "qwen3"])
def test_loss_and_gradient_are_the_models_own_padded_or_packed(text):
    model = tiny(TEXTS[text])
    padded = PaddedCollator(0)(ITEMS)
    own = model(**{name: value for name, value in padded.items() if name != "answer_rows"}).loss
    own.backward()
    wanted = torch.cat([one.grad.flatten() for one in model.parameters() if one.grad is not None])
    install_answer_loss(model)
    for batches in ([padded], [PaddedCollator(0)(ITEMS[:2]), PaddedCollator(0)(ITEMS[2:])]):
        loss, found = gradients(model, *batches)
        assert loss == pytest.approx(own.item(), abs=1e-5)
        assert (found - wanted).abs().max() < 1e-5
    set_attention(model, "segments")
    loss, found = gradients(model, PackedCollator(pad_id=0, longest=30, length=100)(ITEMS))
    assert loss == pytest.approx(own.item(), abs=1e-5)
    assert (found - wanted).abs().max() < 1e-5


@pytest.mark.parametrize("own_head", [True, False])
def test_label_smoothing_is_that_of_transformers(own_head):
    model = tiny(TEXTS["llama"])
    if not own_head:
        model.config.text_config.logit_scale = 1.0001  # its logits are then left to the model
    padded = PaddedCollator(0)(ITEMS)
    inputs = {name: value for name, value in padded.items() if name not in ("labels", "answer_rows", "logits_to_keep")}
    outputs = model(**inputs)
    wanted = LabelSmoother(epsilon=0.2)(outputs, padded["labels"], shift_labels=True)
    install_answer_loss(model, 0.2)
    assert model(**padded)["loss"].item() == pytest.approx(wanted.item(), abs=1e-5)


def test_a_batch_without_images_takes_a_step_that_moves_no_connector():
    model = tiny(TEXTS["llama"])
    model.requires_grad_(False)
    connector = model.model.multi_modal_projector.requires_grad_(True)
    install_answer_loss(model)
    loss = model(**PaddedCollator(0)([ITEMS[1], ITEMS[3]]))["loss"]
    loss.backward()
    assert loss > 1
    assert all(weight.grad.eq(0).all() for weight in connector.parameters())
    with torch.no_grad():
        assert model(**PaddedCollator(0)([ITEMS[1], ITEMS[3]]))["loss"] == loss


def test_a_batch_without_an_answer_gives_zero_and_no_nan():
    model = tiny(TEXTS["llama"])
    install_answer_loss(model)
    item = {**ITEMS[0], "labels": [-100] * 13}
    loss, gradient = gradients(model, PaddedCollator(0)([item]))
    assert loss == 0
    assert gradient.abs().max() == 0


def test_generation_is_untouched_by_loss_and_attention():
    model = tiny(TEXTS["qwen3"])
    inputs = {"input_ids": torch.tensor([ITEMS[0]["input_ids"]]), **ITEMS[0]["vision"]}
    options = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
    before = model.generate(**inputs, **options)
    install_answer_loss(model)
    set_attention(model, "segments")
    assert torch.equal(model.generate(**inputs, **options), before)
    both = {
        "input_ids": torch.tensor([[0, 0, 0, 5, 6, 7], [8, 9, 10, 11, 12, 13]]),
        "attention_mask": torch.tensor([[0, 0, 0, 1, 1, 1], [1, 1, 1, 1, 1, 1]]),
    }
    short = model.generate(input_ids=torch.tensor([[5, 6, 7]]), **options)
    assert torch.equal(model.generate(**both, **options)[0, 6:], short[0, 3:])


def test_loss_in_pieces_is_the_loss_at_once(monkeypatch):
    torch.manual_seed(0)
    head = torch.nn.Linear(16, 50)
    hidden = torch.randn(1000, 16, requires_grad=True)
    targets = torch.randint(0, 50, (1000,))
    at_once = chunked_cross_entropy(hidden, targets, head)
    wanted = torch.autograd.grad(at_once, [hidden, head.weight])
    monkeypatch.setattr("train.learning.loss.PIECE_BYTES", {"cpu": 4 * 50 * 300})
    pieces = chunked_cross_entropy(hidden, targets, head)
    assert pieces.item() == pytest.approx(at_once.item(), rel=1e-6)
    for one, two in zip(torch.autograd.grad(pieces, [hidden, head.weight]), wanted, strict=True):
        assert torch.allclose(one, two, atol=1e-4)


SAMPLES = st.lists(st.tuples(st.integers(1, 100), st.integers(0, 4)), min_size=1, max_size=200)


@given(SAMPLES, st.integers(100, 300), st.integers(4, 9))
def test_packing_keeps_every_sample_within_the_limits(samples, max_tokens, max_images):
    lengths, images = [one for one, _ in samples], [two for _, two in samples]
    rows = pack(lengths, images, max_tokens, max_images)
    assert sorted(index for row in rows for index in row) == list(range(len(samples)))
    assert all(sum(lengths[index] for index in row) <= max_tokens for row in rows)
    assert all(sum(images[index] for index in row) <= max_images for row in rows)
    # Best fit decreasing is never worse than twice the tokens or images there are.
    least = max(sum(lengths) / max_tokens, sum(images) / max_images)
    assert len(rows) <= 2 * least + 2


def test_packing_wastes_little_on_lengths_of_real_figures():
    rng = np.random.default_rng(0)
    lengths = np.minimum(2000, 700 + rng.gamma(2.0, 120, 4000)).astype(int).tolist()
    rows = pack(lengths, [1] * 4000, 8192, None)
    assert sum(lengths) / (8192 * len(rows)) > 0.97


def test_a_sample_over_the_limits_is_named():
    with pytest.raises(InputError, match="a sample of 12 tokens"):
        pack([3, 12], [0, 0], 10, None)
    with pytest.raises(InputError, match="and 3 images"):
        pack([3], [3], 10, 2)


@given(st.lists(st.lists(st.integers(), min_size=1, max_size=5), max_size=10), st.integers(0, 30))
def test_splitting_rows_loses_and_repeats_nothing(rows, wanted):
    found = split_fullest(rows, wanted)
    assert sorted(x for row in found for x in row) == sorted(x for row in rows for x in row)
    assert len(found) == max(len(rows), min(wanted, sum(map(len, rows))))


def order(samples, **more):
    return Order(
        lengths=np.array([one for one, _ in samples]),
        images=np.array([two for _, two in samples]),
        **{"batch": 2, **more},
    )


@given(
    SAMPLES,
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from([{}, {"grouped": True}, {"packing_length": 128}, {"packing_length": 200, "max_images": 5}]),
)
def test_every_epoch_shows_every_sample_and_every_process_takes_as_many_batches(samples, processes, batch, how):
    made = order(samples, processes=processes, batch=batch, seed=3, **how)
    for epoch in (0, 1, 5):
        shares = [made.mine(epoch, process) for process in range(processes)]
        assert {len(share) for share in shares} == {len(made)}
        shown = sorted(row for share in shares for rows in share for row in rows)
        assert set(shown) == set(range(len(samples)))
        assert len(shown) - len(samples) < processes  # shown twice only where there are too few samples for all
        if how.get("packing_length"):
            assert all(made.lengths[rows].sum() <= batch * how["packing_length"] for rows in made.batches(epoch))


def test_order_depends_on_seed_and_epoch_alone():
    samples = [(length, 1) for length in range(10, 60)]
    for how in ({}, {"grouped": True}, {"packing_length": 128}):
        assert order(samples, seed=1, **how).batches(3) == order(samples, seed=1, **how).batches(3)
        assert order(samples, seed=1, **how).batches(3) != order(samples, seed=1, **how).batches(4)
        assert order(samples, seed=1, **how).batches(3) != order(samples, seed=2, **how).batches(3)


def test_grouped_batches_have_one_modality():
    rng = np.random.default_rng(1)
    samples = [(int(length), int(rng.random() < 0.5)) for length in rng.integers(10, 500, 203)]
    made = order(samples, grouped=True, batch=4)
    mixed = [rows for rows in made.batches(0) if len({samples[row][1] for row in rows}) > 1]
    assert len(mixed) <= 2  # the two rests at the end
    alone_ = order(samples, batch=4)
    assert made.summary()["slots"] < 0.85 * alone_.summary()["slots"]
    assert made.summary()["tokens"] == alone_.summary()["tokens"]


def test_summary_counts_the_padding_that_batches_have():
    samples = [(length, length % 2) for length in (5, 9, 14, 20, 8, 30, 3)]
    for how in ({}, {"packing_length": 40}):
        made = order(samples, **how)
        batches = made.batches(0)
        items = [make_items((length, 0))[0] for length, _ in samples]
        collate = PackedCollator(pad_id=0, longest=30, length=80) if how else PaddedCollator(0)
        slots = sum(collate([items[row] for row in rows])["input_ids"].numel() for rows in batches)
        assert made.summary() == {"batches": len(batches), "tokens": 89, "slots": slots, "images": 3}


def test_positions_of_an_epoch_follow_those_of_the_one_before():
    made = order([(5, 0)] * 6)
    batches = EpochBatches(made, process=0)
    batches.set_epoch(2)
    assert sorted(position for batch in batches for position in batch) == list(range(12, 18))


def test_row_has_borders_positions_and_its_padding_as_a_segment():
    row = lay_out(make_items((3, 0), (2, 0)), length=8, pad_id=0, longest=5)
    assert row["position_ids"].tolist() == [[0, 1, 2, 0, 1, 0, 1, 2]]
    assert row["cu_seq_lens_q"].tolist() == [0, 3, 5, *[8] * 14]
    assert row["max_length_q"] == 5
    wide = lay_out(make_items((3, 0), (2, 0)), length=16, pad_id=0, longest=5)  # no segment is longer than said
    assert wide["cu_seq_lens_q"].unique().tolist() == [0, 3, 5, 10, 15, 16]
    assert "attention_mask" not in row
    with pytest.raises(InputError, match="do not fit"):
        lay_out(make_items((9, 0)), length=8, pad_id=0, longest=9)


def test_what_does_not_fit_any_more_is_left_out_aloud(caplog):
    row = PackedCollator(pad_id=0, longest=9, length=10)(make_items((4, 0), (9, 0), (5, 0)))
    assert row["cu_seq_lens_q"].unique().tolist() == [0, 4, 9, 10]
    assert "9 tokens does not fit" in caplog.text


def test_anyres_tiles_are_filled_up():
    one, two = torch.ones(1, 3, 3, 4, 4), torch.ones(2, 5, 3, 4, 4)
    joined = join_vision(
        [
            {"pixel_values": one, "image_sizes": torch.ones(1, 2)},
            {},
            {"pixel_values": two, "image_sizes": torch.ones(2, 2)},
        ]
    )
    assert joined["pixel_values"].shape == (3, 5, 3, 4, 4)
    assert joined["pixel_values"][0, 3:].abs().max() == 0
    assert joined["image_sizes"].shape == (3, 2)


def test_choice_of_attention_on_this_machine():
    assert choose_attention("auto", packing=False, half_precision=True).name in (
        "sdpa",
        "flash_attention_2",
        "flash_attention_3",
    )
    assert choose_attention("eager", packing=True, half_precision=False).name == "eager"
    if not torch.cuda.is_available():
        assert choose_attention("auto", packing=True, half_precision=False).name == "segments"
        with pytest.raises(InputError, match="needs a CUDA GPU"):
            choose_attention("flash_attention_2", packing=True, half_precision=True)
    with pytest.raises(InputError, match="flex_attention cannot learn on a CPU"):
        choose_attention("flex_attention", packing=True, half_precision=False, on_cpu=True)
    assert choose_attention("flex_attention", packing=True, half_precision=True).name == "flex_attention"


def test_half_activations_run_along_the_layers_under_autocast_alone():
    model = tiny(TEXTS["qwen3"])
    exact = alone(model, ITEMS[0])
    keep_activations_half(model, torch.bfloat16)
    assert torch.equal(alone(model, ITEMS[0]), exact)
    seen = []
    model.model.language_model.layers[1].register_forward_pre_hook(lambda module, args: seen.append(args[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        half = alone(model, ITEMS[0])
    assert seen == [torch.bfloat16]
    assert (half - exact).abs().max() < 0.05


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("key_heads", [4, 2])
def test_attention_by_products_is_that_of_the_fused_kernel_with_its_gradients(causal, key_heads):
    torch.manual_seed(0)
    parts = [torch.randn(2, heads, 77, 16, requires_grad=True) for heads in (4, key_heads, key_heads)]
    far = torch.randn(2, 77, 4, 16)
    exact = torch.nn.functional.scaled_dot_product_attention(*parts, is_causal=causal, enable_gqa=key_heads < 4)
    wanted = torch.autograd.grad((exact.transpose(1, 2) * far).sum(), parts)
    found = _by_products(*parts, scale=None, causal=causal)
    gradients = torch.autograd.grad((found.float() * far).sum(), parts)
    assert found.dtype == torch.bfloat16
    assert (found - exact.transpose(1, 2)).abs().max() < 0.03
    for one, other in zip(gradients, wanted, strict=True):
        assert (one - other).abs().max() < 0.03 * other.abs().max()


@pytest.mark.parametrize(
    ("length", "kind", "pays"), [(64, torch.bfloat16, True), (64, torch.float32, False), (2048, torch.bfloat16, False)]
)
def test_products_are_taken_for_short_samples_in_half_precision(monkeypatch, length, kind, pays):
    monkeypatch.setattr(segments, "HALF_PRODUCTS", True)
    assert _products_pay(torch.zeros(1, 2, length, 8, dtype=kind)) == pays


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@torch.no_grad()
def test_variable_length_kernel_gives_what_segments_give():
    model = tiny(Qwen3Config(**SIZES, head_dim=64)).cuda().bfloat16()
    set_attention(model, "segments")
    assert packing_error(model) < 0.3
