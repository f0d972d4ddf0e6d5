"""`llava-graph memory`: bytes by part and type, the peak of each question, times, and what has changed against another model."""

import gc
import json
import os
import time
from itertools import islice

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_quantize import figures, full, invoke, packed  # noqa: F401  (fixtures)

from llava_graph.commands.memory import apart, printed, size
from llava_graph.errors import CheckpointError, InputError
from llava_graph.model import PACKAGED, load
from llava_graph.model.build import PRESETS
from llava_graph.model.quantizing import costs, quantize_checkpoint
from llava_graph.model.quantizing.answering import example_questions
from llava_graph.model.quantizing.costs import Measured, compare, measure, spread
from llava_graph.model.quantizing.footprint import weight_bytes
from llava_graph.model.quantizing.meters import Meter, ResidentMeter, SampledMeter, meter_of

MB = 10**6


def total(parts):
    return sum(sum(kinds.values()) for kinds in parts.values())


def test_every_weight_is_counted_once(full):  # noqa: F811
    model = load(full, device="cpu").model
    parts = weight_bytes(model)
    assert list(parts) == ["vision_tower", "multi_modal_projector", "embeddings", "language_model"]  # the head is tied
    shape = PRESETS["nano"]
    assert parts["embeddings"] == {"float32": model.get_input_embeddings().weight.shape[0] * shape.width * 4}
    buffers = sum(tensor.numel() * tensor.element_size() for tensor in model.buffers())
    assert total(parts) == sum(weight.numel() * 4 for weight in model.parameters()) + buffers
    assert total(parts) == model.get_memory_footprint()


def test_an_untied_head_is_a_part_of_its_own():
    loaded = load(device="cpu", empty=True)
    loaded.model.lm_head = torch.nn.Linear(256, 4096, bias=False)
    loaded.model.lm_head.weight.data.zero_()
    # Weights without memory have no address of their own: only the head counts.
    assert weight_bytes(loaded.model)["lm_head"] == {"float32": 256 * 4096 * 4}


@pytest.mark.parametrize("bits", [8, 4])
def test_packed_weights_are_counted_with_their_scales(full, packed, bits):  # noqa: F811
    parts = weight_bytes(load(packed[bits], device="cpu").model)
    exact = weight_bytes(load(full, device="cpu").model)
    assert {part: parts[part] for part in ("vision_tower", "multi_modal_projector", "embeddings")} == {
        part: exact[part] for part in ("vision_tower", "multi_modal_projector", "embeddings")
    }
    language = parts["language_model"]
    linear = PRESETS["nano"].layers * (64 * 64 * 2 + 64 * 32 * 2 + 64 * 128 * 3)
    assert language["int8" if bits == 8 else "uint8"] == linear * bits // 8
    stored = load_file(packed[bits] / "model.safetensors")
    scales = [
        tensor.numel() * tensor.element_size()
        for name, tensor in stored.items()
        if name.endswith(("SCB", "absmax", "quant_map"))
    ]
    offsets = 4 * sum(name.endswith("nested_absmax") for name in stored)  # kept in JSON on disk
    assert language["scales"] == sum(scales) + offsets


@pytest.mark.parametrize("meter", [ResidentMeter, SampledMeter])
def test_a_peak_that_is_over_is_seen(meter):
    if meter is ResidentMeter and not isinstance(meter_of(torch.device("cpu")), ResidentMeter):
        pytest.skip("this system does not let a process reset its peak")
    watch = meter()
    gc.freeze()  # collecting what all tests hold takes a second
    try:
        before = watch.now()
        watch.reset()
        held = np.ones(50 * MB, dtype=np.uint8)
        time.sleep(0.05)
        del held
        assert 45 * MB < watch.peak() - before < 70 * MB
        assert watch.now() - before < 10 * MB
        watch.reset()
        assert watch.peak() - before < 20 * MB
    finally:
        gc.unfreeze()
        watch.close()


@pytest.fixture(scope="module")
def pair(full, packed, figures):  # noqa: F811
    """The costs of the full model and of the one in 4 bits."""
    common = {"device": "cpu", "questions": 3, "max_new_tokens": 6, "data": figures, "split": "test"}
    return [measure(Measured(model=str(folder), **common)) for folder in (full, packed[4])]


def test_what_is_measured(pair, full, packed):  # noqa: F811
    before, after = pair
    assert (before["name"], after["name"]) == ("test-nano", "test-nano-4bit")
    assert (before["quantized"], after["quantized"]) == ("", "4 bits, bitsandbytes")
    for found, folder in zip(pair, (full, packed[4]), strict=True):
        static, dynamic, times = found["static"], found["dynamic"], found["time"]
        assert static["files"] == (folder / "model.safetensors").stat().st_size
        assert static["weights"] == total(static["parts"])
        assert dynamic["peak_above"]["median"] >= 0
        assert [answer["id"] for answer in found["answers"]] == ["f0", "f1", "f2"]
        assert times["answer_tokens"]["high"] <= 6
        assert 0 < times["first_token_s"]["median"] <= times["seconds"]["median"]
        assert 0 < times["cpu_s"]["median"] < 30
        assert times["tokens_per_s"]["low"] > 0
        assert found["asked"]["data"] == "figures"
    assert json.loads(json.dumps(pair)) == pair


class Counted(Meter):
    """1,000 bytes before the model, 1,500 with it; at most 2,000 while it loads, and 1,800, 1,900 and 2,300 in questions."""

    how = "told"

    def __init__(self, _):
        self.held, self.peaks = iter([1000]), iter([2000, 1800, 1900, 2300])

    def now(self):
        return next(self.held, 1500)

    def reset(self):
        pass

    def peak(self):
        return next(self.peaks)


def test_static_is_what_the_model_added_and_dynamic_what_a_question_added(full, monkeypatch):  # noqa: F811
    monkeypatch.setattr(costs, "meter_of", Counted)
    found = measure(Measured(model=str(full), device="cpu", questions=2, max_new_tokens=2))
    static, dynamic = found["static"], found["dynamic"]
    assert [static[name] for name in ("in_use", "peak_while_loading", "in_use_after_an_answer")] == [500, 1000, 500]
    # The first question does not count.
    assert (dynamic["peak_above"]["median"], dynamic["peak"]["median"], dynamic["mean_peak"]) == (600, 1100, 1100)


def test_the_rate_is_of_the_tokens_behind_the_first(monkeypatch):
    from llava_graph.model.quantizing.answering import Answered

    answer = Answered(tokens=(1, 2, 3, 4, 5), text="", prompt_tokens=9, first_s=0.5, seconds=2.5)
    assert answer.tokens_per_s == 2.0
    assert Answered(tokens=(1,), text="", prompt_tokens=9, first_s=0.5, seconds=0.5).tokens_per_s is None
    assert spread([1, 2, 3, 4, 100]) == {"median": 3, "low": 1.4, "high": pytest.approx(61.6)}
    assert spread([]) is None


def test_the_change_is_said_as_a_share(pair):
    found = compare(*pair)
    weights = [one["static"]["weights"] for one in pair]
    assert found["change"]["weights"] == weights[1] / weights[0] - 1 < -0.05
    assert compare(pair[0], pair[0])["answers"] == {
        "questions": 3,
        "exact": 1,
        "first_difference": None,
        "rouge_l": 1,
    }
    text = printed(pair, found)
    assert f"{found['change']['weights']:+.1%}".replace("-", "−") in text
    assert "uint8" in text
    assert "3 questions of figures, greedy, 6 tokens at most" in text


def test_any_number_of_questions_is_asked_one_after_the_other():
    asked = example_questions(10**12)
    ids = [question.id for question in islice(asked, 20)]
    assert ids == [str(number) for number in range(1, 21)]


def test_what_cannot_be_asked_is_counted(full, monkeypatch):  # noqa: F811
    from llava_graph.errors import ImageError

    read = costs.read_prompt

    def sometimes(loaded, question, **more):
        if question.id == "2":
            raise ImageError("cannot be opened", where=question.id)
        return read(loaded, question, **more)

    monkeypatch.setattr(costs, "read_prompt", sometimes)
    found = measure(Measured(model=str(full), device="cpu", questions=3, max_new_tokens=2))
    assert found["left_out"] == {"bad-image": 1}
    assert [answer["id"] for answer in found["answers"]] == ["1", "3"]
    assert "left out by test-nano: bad-image 1" in printed([found], None)
    monkeypatch.setattr(costs, "example_questions", lambda _: [])
    monkeypatch.setattr(costs, "_ask", lambda *_: ([], [costs.Dropped(item="1", reason="bad-image", detail="x")], 0))
    with pytest.raises(InputError, match="no question can be asked"):
        measure(Measured(model=str(full), device="cpu", questions=1, max_new_tokens=2))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("bits", [8, 4])
def test_a_gpu_counts_what_torch_has_allocated(full, packed, tmp_path, bits):  # noqa: F811
    made = quantize_checkpoint(full, tmp_path / "made", bits=bits, dtype="bfloat16", device="cuda")
    for folder in (made, packed[bits]):  # one made on a GPU, one made on a CPU
        found = measure(Measured(model=str(folder), device="cuda", questions=2, max_new_tokens=4))
        assert "torch.cuda" in found["how"]
        assert found["static"]["in_use"] >= 0.9 * found["static"]["weights"]
        assert found["dynamic"]["peak_above"]["low"] > 0


@pytest.mark.long
def test_the_command_measures_the_other_model_in_a_process_of_its_own(packed, full):  # noqa: F811
    done = invoke(
        "memory", packed[8], "--against", full, "--device", "cpu", "--questions", 2, "--max-new-tokens", 3, "--json"
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["before"]["name"], found["after"]["name"]) == ("test-nano", "test-nano-8bit")
    assert found["change"]["weights"] < 0
    assert found["answers"]["questions"] == 2
    assert found["before"]["static"]["in_use"] < 100 * MB


def test_a_process_that_dies_is_an_error_that_names_its_model():
    with pytest.raises(CheckpointError, match=r"big-model: the process that measured it has died"):
        apart(os._exit, 9, "big-model")


def test_what_does_not_go_together_is_refused(packed, full):  # noqa: F811
    for words, told in (
        (("--bits", 5), "no weights in 5 bits"),
        (("--bits", 4, packed[8]), "is quantized already"),
        (("--task", "scicap"), "--task is for --data"),
        (("--dtype", "fp8"), "unknown number format"),
        (("--against-bits", 4), "--against-bits is for --against"),
    ):
        done = invoke("memory", "--device", "cpu", "--questions", 1, *words)
        assert isinstance(done.exception, InputError), words
        assert told in str(done.exception)


def test_sizes_are_decimal():
    assert (size(12_345_678), size(1_500_000_000), size(0)) == ("12.3 MB", "1.50 GB", "0.0 MB")
    assert PACKAGED.is_dir()
