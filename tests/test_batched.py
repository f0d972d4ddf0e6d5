"""Answers written together are the answers written alone: token for token, for every language model, image and family we open."""

import random
import warnings
from contextlib import contextmanager

import pytest
import torch
from other_models import FAMILIES
from PIL import Image, ImageDraw
from tiny_parts import save_language_model, save_tower
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from llava_graph.batched import Batch, Prompt, Row, prepare, row_of
from llava_graph.batched.proof import prove
from llava_graph.chat import load_template
from llava_graph.generate import TokenStream
from llava_graph.model import LoadedModel, load
from llava_graph.model.assemble import assemble_checkpoint
from llava_graph.model.assembly import Assembly
from llava_graph.model.prompts import count_image_tokens
from llava_graph.sampling import NO_NUMBER, GenerationOptions, Sampler, Sampling

LANGUAGE_MODELS = {
    "llama": (LlamaForCausalLM, LlamaConfig, {}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {}),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {}),
    "mistral": (MistralForCausalLM, MistralConfig, {"sliding_window": None}),
    "windows": (MistralForCausalLM, MistralConfig, {"sliding_window": 24}),
}
CASES = {
    **{name: (name, "pad") for name in LANGUAGE_MODELS},
    "anyres": ("llama", "anyres"),
}
QUESTIONS = ("What?", "Which curve is highest at the end, and by how much?", "Explain this figure.", "And so on " * 12)


def build(name, preparation, out):
    kind, config, more = LANGUAGE_MODELS[name]
    language = save_language_model(out / "lm", kind=kind, config=config, **more)
    parts = {"language_model": str(language), "vision_tower": str(save_tower(out / "clip"))}
    made = assemble_checkpoint(
        out / "model", Assembly(template=load_template("chatml"), preparation=preparation, **parts)
    )
    return load(made, device="cpu")


def build_adapter(out):
    """LoRA weights that change every answer, over a base of their own."""
    from peft import LoraConfig, get_peft_model

    base = build("llama", "pad", out)
    torch.manual_seed(5)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT asks transformers for a name that is going
        adapted = get_peft_model(base.model, config)
    adapted.peft_config["default"].base_model_name_or_path = str(out / "model")
    adapted.save_pretrained(out / "adapter")
    return load(out / "adapter", device="cpu")


@pytest.fixture(scope="module", params=[*CASES, "lora", "packaged"])
def loaded(request, tmp_path_factory):
    if request.param == "packaged":
        return load(device="cpu")
    if request.param == "lora":
        return build_adapter(tmp_path_factory.mktemp("lora"))
    return build(*CASES[request.param], tmp_path_factory.mktemp(request.param))


def asked(number):
    """Messages and images of one request: none, one or two images of several shapes."""
    images = [picture(60 + 37 * number, 40 + 23 * (number % 3))] * (0 if number % 5 == 4 else 1 + (number % 7 == 3))
    text = {"type": "text", "text": f"{number}. {QUESTIONS[number % len(QUESTIONS)]}"}
    return [{"role": "user", "content": [*({"type": "image"} for _ in images), text]}], images


def picture(width, height):
    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).line((0, 0, width, height - 9), fill="navy", width=4)
    return image


def ids_alone(loaded, number, options):
    """Token ids of transformers' generate(), as answers alone are written."""
    prompt = prepare(loaded, *asked(number))
    return list(TokenStream(loaded, prompt, row_of(loaded, prompt, options)))


def write_together(loaded, options, seed=0, most=6):
    """number -> ids, for requests that join and leave in a random order; `options`: number -> GenerationOptions."""
    dice = random.Random(seed)
    waiting, running, written = list(options), {}, {}
    batch = Batch(loaded)
    while waiting or running:
        count = min(len(waiting), most - len(running), dice.randint(0, 3))
        if count > 1 and not batch.joins_several:
            count = 1
        if count:
            group, waiting = waiting[:count], waiting[count:]
            prompts = [prepare(loaded, *asked(number)) for number in group]
            rows = [row_of(loaded, prompt, options[number]) for number, prompt in zip(group, prompts, strict=True)]
            for number, row, token in zip(group, rows, batch.admit(prompts, rows), strict=True):
                running[row], written[number] = number, [token]
        elif running:
            for row, token in zip(list(batch.rows), batch.step(), strict=True):
                written[running[row]].append(token)
        for row, number in list(running.items()):
            if len(written[number]) >= options[number].max_new_tokens:
                batch.remove(row)
                del running[row]
    return written


def ends_alike(alone, together):
    """The one alone stops at an end token; in a batch whoever drives it does that."""
    assert together[: len(alone)] == alone
    return True


def test_greedy_answers_are_the_same_token_for_token(loaded):
    options = {number: GenerationOptions(max_new_tokens=4 + number % 9, temperature=0) for number in range(14)}
    written = write_together(loaded, options)
    for number, asked_for in options.items():
        assert ends_alike(ids_alone(loaded, number, asked_for), written[number])


def test_a_seed_draws_the_same_whatever_runs_beside_it(loaded):
    options = {
        number: GenerationOptions(
            max_new_tokens=9,
            temperature=(0.7, 1.5)[number % 2],
            top_p=(0.8, 1.0, 0.95)[number % 3],
            top_k=(0, 20)[number % 2],
            repetition_penalty=(None, 1.3)[number % 2],
            presence_penalty=(0, 0.5, 0)[number % 3],
            frequency_penalty=(0, 0, 0.4)[number % 3],
            seed=number,
        )
        for number in range(8)
    }
    one, other = write_together(loaded, options, seed=1), write_together(loaded, options, seed=2, most=3)
    assert one == other
    for number, asked_for in options.items():
        assert ends_alike(ids_alone(loaded, number, asked_for), one[number])


def test_the_proof_holds_for_it(loaded):
    assert prove(loaded) == ""


@pytest.mark.parametrize("family", FAMILIES)
def test_other_families_answer_in_a_batch_as_alone_or_say_why_not(family):
    torch.manual_seed(0)
    model, processor = FAMILIES[family]()
    other = LoadedModel(
        model=model.eval(), processor=processor, template=processor.chat_template, name=family, about="",
        image_tokens=count_image_tokens(processor), context_length=500,
    )  # fmt: skip
    assert prove(other) == ""
    options = {number: GenerationOptions(max_new_tokens=5, temperature=0) for number in range(6)}
    written = write_together(other, options)
    for number, asked_for in options.items():
        assert ends_alike(ids_alone(other, number, asked_for), written[number])


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return build("llama", "pad", tmp_path_factory.mktemp("llama"))


@contextmanager
def forward_changed(loaded, change):
    """Every call of the model goes through `change(keywords)`."""
    hook = loaded.model.register_forward_pre_hook(lambda _, args, kwargs: (args, change(kwargs)), with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def test_a_model_that_mixes_its_rows_up_is_found_out(llama):
    def unmasked(keywords):
        several = keywords["input_ids"].shape[0] > 1
        return keywords | ({"attention_mask": None} if several else {})

    with forward_changed(llama, unmasked):
        assert "logits in a batch differ" in prove(llama)


def test_a_model_that_breaks_in_a_batch_is_found_out(llama):
    def breaks(keywords):
        if keywords["input_ids"].shape[0] > 1:
            raise NotImplementedError("one row only")
        return keywords

    with forward_changed(llama, breaks):
        assert prove(llama) == "it fails in a batch (NotImplementedError: one row only)"


def test_settings_that_only_generate_knows_are_named(llama):
    own = llama.model.generation_config
    own.no_repeat_ngram_size = 3
    try:
        assert prove(llama) == "its generation_config sets no_repeat_ngram_size"
    finally:
        own.no_repeat_ngram_size = None


def test_beams_cannot_be_streamed_and_are_left_out(llama):
    greedy = GenerationOptions(max_new_tokens=6, temperature=0)
    expected = ids_alone(llama, 1, greedy)
    llama.model.generation_config.num_beams = 3
    try:
        assert prove(llama) == ""
        assert ids_alone(llama, 1, greedy) == expected
    finally:
        llama.model.generation_config.num_beams = None


def test_the_checkpoints_own_settings_are_followed_once(llama):
    own = llama.model.generation_config
    asked = {number: GenerationOptions(max_new_tokens=12) for number in range(3)}
    said = GenerationOptions(max_new_tokens=12, temperature=0.9, top_p=0.9, top_k=30, repetition_penalty=1.4, seed=3)
    asked[3] = GenerationOptions(max_new_tokens=12, seed=3)
    told = ids_alone(llama, 3, said)
    own.update(do_sample=True, temperature=0.9, top_p=0.9, top_k=30, repetition_penalty=1.4)
    try:
        assert ids_alone(llama, 3, asked[3]) == told
        assert write_together(llama, asked)[3][: len(told)] == told
    finally:
        own.update(do_sample=None, temperature=None, top_p=None, top_k=None, repetition_penalty=None)


def admit(batch, loaded, *numbers):
    """Greedy rows for these requests."""
    prompts = [prepare(loaded, *asked(number)) for number in numbers]
    rows = [Row(Sampler(Sampling())) for _ in prompts]
    batch.admit(prompts, rows)
    return rows


def test_a_step_that_failed_can_be_repeated(llama):
    calls = []

    def fails_once(keywords):
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError
        return keywords

    sound, shaken = Batch(llama), Batch(llama)
    admit(sound, llama, 0, 1)
    admit(shaken, llama, 0, 1)
    expected = [sound.step() for _ in range(4)]
    layer = llama.model.model.language_model.layers[1]
    hook = layer.register_forward_pre_hook(lambda _, args, kwargs: (args, fails_once(kwargs)), with_kwargs=True)
    try:
        written = [shaken.step()]
        with pytest.raises(MemoryError):
            shaken.step()
        written += [shaken.step() for _ in range(3)]
    finally:
        hook.remove()
    assert written == expected


def test_rows_that_cannot_join_leave_the_others_as_they_were(llama):
    sound, shaken = Batch(llama), Batch(llama)
    for batch in (sound, shaken):
        admit(batch, llama, 0, 1)
    expected = [sound.step() for _ in range(3)]
    written = [shaken.step()]
    whole = prepare(llama, *asked(3))
    broken = Prompt(whole.inputs | {"pixel_values": whole.inputs["pixel_values"][:1]}, whole.ids)
    with pytest.raises(ValueError, match="Image features and image tokens"):
        shaken.admit([broken], [Row(Sampler(Sampling()))])
    written += [shaken.step() for _ in range(2)]
    assert written == expected
    assert len(shaken.rows) == 2


def test_the_memory_is_that_of_the_rows_and_nothing_is_left_of_an_empty_batch(llama):
    batch = Batch(llama)
    rows = admit(batch, llama, 3, 4)
    assert batch._cache.columns == prepare(llama, *asked(3)).tokens
    for _ in range(200):
        batch.step()
    places = batch._cache.layers[0].keys.shape
    assert places[0] == 2
    assert batch._cache.columns <= places[2] < 1.6 * batch._cache.columns
    batch.remove(rows[0])  # the longer one: its columns are given up
    assert batch._cache.columns == prepare(llama, *asked(4)).tokens + 200
    batch.remove(rows[1])
    assert (batch._cache.layers, batch._cache.columns, batch.rows) == ([], 0, [])


def test_a_row_without_numbers_says_so_and_its_place_is_clean_afterwards(llama):
    batch = Batch(llama)
    admit(batch, llama, 0, 1)
    head = llama.model.lm_head
    hook = head.register_forward_hook(lambda *parts: parts[2].index_fill(0, torch.tensor([0]), float("nan")))
    try:
        tokens = batch.step()
    finally:
        hook.remove()
    assert tokens[0] == NO_NUMBER != tokens[1]
    batch.clear()
    sound = Batch(llama)
    long, bad = admit(batch, llama, 3, 1)
    admit(sound, llama, 3)
    with torch.inference_mode():
        for layer in batch._cache.layers:
            layer.keys[1], layer.values[1] = float("nan"), float("nan")
    batch.remove(bad)
    for one in (batch, sound):
        admit(one, llama, 0)  # shorter: what stands before it in this place is masked
    assert [batch.step() for _ in range(4)] == [sound.step() for _ in range(4)]
    assert batch.rows[0] is long
