"""The trainer's command line: other trainers' flags, as published and in any mixture, become ours or are refused."""

import dataclasses
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsing import clean_process

from llava_graph.chat import template_names
from llava_graph.errors import InputError
from train.flags.aliases import DEFAULTS, RENAMED, STAGE_FLAGS, VERSIONS, WITHOUT_EFFECT
from train.flags.arguments import DataArguments, ModelArguments, TrainArguments
from train.flags.command import accumulation, parse_command, split_flags
from train.flags.ranges import RANGES
from train.flags.translate import merge, translate
from train.running.distributed import start

PUBLISHED = {
    line.partition(": ")[0]: shlex.split(line.partition(": ")[2])
    for line in (Path(__file__).parent / "published_commands.txt").read_text().splitlines()
    if not line.startswith("#")
}

# command -> stage, template, connector, image preparation, samples a step on one process, rate, epochs
EXPECTED = {
    "llava_graph/pretrain-13b": ("projector", "v0", "linear", "square", 16, 2e-3, 1),
    "llava_graph/pretrain-7b": ("projector", "v0", "linear", "square", 128, 2e-3, 1),
    "llava_graph/deepspeed-pretrain-7b": ("projector", "vicuna_v1", "linear", "square", 16, 2e-3, 1),
    "llava_graph/deepspeed-finetune-7b": ("frozen-tower", "vicuna_v1", "linear", "square", 4, 2e-5, 3),
    "llava_graph/deepspeed-finetune-lora-7b": ("frozen-tower", "vicuna_v1", "linear", "square", 4, 2e-4, 3),
    "llava_graph/lightning-pretrain": ("projector", "vicuna_v1", "linear", "square", 16, 2e-3, 1),
    "llava_graph/lightning-finetune": ("frozen-tower", "vicuna_v1", "linear", "square", 16, 2e-5, 1),
    "quilt_llava/finetune-qlora": ("frozen-tower", "vicuna_v1", "linear", "square", 16, 2e-5, 1),
    "quilt_llava/pretrain": ("projector", "plain", "mlp2x_gelu", "square", 32, 1e-3, 1),
    "quilt_llava/finetune": ("frozen-tower", "vicuna_v1", "mlp2x_gelu", "pad", 16, 2e-5, 1),
    "quilt_llava/finetune-lora": ("frozen-tower", "vicuna_v1", "mlp2x_gelu", "pad", 16, 2e-4, 1),
    "quilt_llava/finetune-task": ("frozen-tower", "vicuna_v1", "mlp2x_gelu", "pad", 16, 2e-5, 1),
    "tinyllava_med_f/alignment": ("frozen-tower", "vicuna_v1", "mlp2x_gelu", "pad", 64, 2e-5, 1),
    "tinyllava_med_f/instruct": ("frozen-tower", "vicuna_v1", "mlp2x_gelu", "pad", 64, 2e-5, 10),
    "tinyllava_med_f/downstream": ("frozen-tower", "vicuna_v1", "mlp2x_gelu", "pad", 64, 2e-5, 18),
    "xray_report/sft": ("projector", "v0", "linear", "square", 16, 2e-3, 1),
    "xray_report/later-sft": ("projector", "v0", "linear", "square", 8, 2e-5, 1),
    "quilt_llava/finetune-task-lora": ("frozen-tower", "vicuna_v1", "mlp2x_gelu", "pad", 16, 2e-4, 1),
    "xray_report/mimic-sft": ("projector", "v0", "linear", "square", 16, 2e-5, 3),
    "xray_report/reports-sft": ("projector", "v0", "linear", "square", 1, 2e-5, 1),
    "llava_med/alignment": ("projector", "v0", "linear", "square", 16, 2e-3, 1),
    "llava_med/instruct": ("frozen-tower", "v0", "linear", "square", 8, 2e-5, 3),
    "llava_med/vqa": ("frozen-tower", "v0", "linear", "square", 8, 2e-5, 3),
    "llava_1_5/pretrain": ("projector", "plain", "mlp2x_gelu", "square", 32, 1e-3, 1),
    "llava_1_5/finetune-lora": ("frozen-tower", "vicuna_v1", "mlp2x_gelu", "pad", 16, 2e-4, 1),
    "tinyllava_factory/pretrain": ("projector", "plain", "mlp2x_gelu", "square", 64, 1e-3, 1),
    "tinyllava_factory/finetune": ("frozen-tower", "vicuna_v1", "mlp2x_gelu", "square", 32, 2e-5, 1),
    "tinyllava_factory/share-pretrain": ("frozen-tower", "plain", "mlp2x_gelu", "square", 64, 2e-5, 1),
    "tinyllava_factory/share-finetune": ("frozen-tower", "vicuna_v1", "mlp2x_gelu", "square", 32, 2e-5, 1),
    "tinyllava_factory/finetune-lora": ("frozen-tower", "vicuna_v1", "mlp2x_gelu", "square", 32, 2e-4, 1),
    "tinyllava_factory/custom-finetune": ("frozen-tower", "vicuna_v1", "mlp2x_gelu", "square", 32, 1e-4, 1),
}
LORA = {
    "llava_graph/deepspeed-finetune-lora-7b": (64, 16, 16),
    "quilt_llava/finetune-qlora": (64, 16, 4),
    "quilt_llava/finetune-lora": (128, 256, 16),
    "quilt_llava/finetune-task-lora": (128, 256, 16),
    "llava_1_5/finetune-lora": (128, 256, 16),
    "tinyllava_factory/finetune-lora": (128, 256, 16),
    "tinyllava_factory/custom-finetune": (128, 256, 16),
}


def parse(*words):
    with clean_process():
        return parse_command(["--model_name_or_path", "m", "--data_path", "d", *words])


def translated(*words):
    return translate(split_flags(words))


def test_every_published_command_is_expected():
    assert PUBLISHED.keys() == EXPECTED.keys()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_commands_run_as_they_stand(name):
    with clean_process():
        command = parse_command(PUBLISHED[name])
    model, training = command.model, command.training
    batch = training.train_batch_size * training.gradient_accumulation_steps
    assert (
        model.stage,
        model.chat_template,
        model.mm_projector_type,
        model.image_aspect_ratio,
        batch,
        training.learning_rate,
        training.num_train_epochs,
    ) == EXPECTED[name]
    assert (model.lora_r, model.lora_alpha, model.bits) == LORA.get(name, (64, 16, 16))
    assert model.lora_enable == (name in LORA)
    assert training.warmup_steps == 0.03
    assert training.lr_scheduler_type == "cosine"
    assert training.weight_decay == 0
    assert model.tune_vit_from_layer is None
    assert model.mm_vision_select_layer == -2
    assert bool(training.deepspeed) == any(word == "--deepspeed" for word in PUBLISHED[name])
    assert bool(training.fsdp) == ("--fsdp" in PUBLISHED[name])
    assert all(note for note in command.notes)


@pytest.mark.parametrize(
    ("words", "stage", "layer"),
    [
        ("--vision_tower t", "frozen-tower", None),
        ("--version v1", "frozen-tower", None),
        ("--version v1 --stage full", "full", None),
        ("--vision_tower t --stage projector", "projector", None),
        ("--learning_rate 1", None, None),
        ("--tune_mm_mlp_adapter", "projector", None),
        ("--tune_mm_mlp_adapter False", "frozen-tower", None),
        ("--freeze_backbone True", "projector", None),
        ("--tune_mm_mlp_adapter True --tune_entire_model True", "frozen-tower", None),
        ("--tune_mm_mlp_adapter True --tune_entire_model True --tune_vit_from_layer 100", "frozen-tower", None),
        ("--tune_mm_mlp_adapter True --tune_entire_model True --tune_vit_from_layer -1", "full", 0),
        ("--tune_entire_model True --tune_vit_from_layer 12", "full", 12),
        ("--tune_vit_from_layer 12", None, 12),
        ("--tune_vit_from_layer -1", None, 0),
        ("--tune_vit_from_layer 100", "frozen-tower", None),
        ("--tune_mm_mlp_adapter True --unfreeze_mm_vision_tower True", "projector", 0),
        ("--unfreeze_mm_vision_tower True", "full", None),
        ("--mm_tunable_parts mm_mlp_adapter", "projector", None),
        ("--mm_tunable_parts mm_vision_tower,mm_mlp_adapter,mm_language_model", "full", None),
        ("--mm_tunable_parts=mm_mlp_adapter,mm_language_model", "frozen-tower", None),
        ("--mm_tunable_parts mm_vision_tower,mm_mlp_adapter", "projector", 0),
        ("--tune_type_llm full --tune_type_vision_tower frozen", "frozen-tower", None),
        ("--tune_type_llm full --tune_type_vision_tower full", "full", 0),
        (
            "--tune_type_llm full --tune_type_vision_tower partially-tune --tune_vision_tower_from_layer 12",
            "full",
            12,
        ),
        ("--tune_type_llm frozen --tune_type_vision_tower full", "projector", 0),
    ],
)
def test_what_learns_follows_from_all_stage_flags_together(words, stage, layer):
    flags, notes = translated(*words.split())
    assert flags.get("stage") == ([stage] if stage else None)
    assert flags.get("tune_vit_from_layer") == ([str(layer)] if layer is not None else None)
    assert not set(flags) & set(STAGE_FLAGS)
    assert notes or not STAGE_FLAGS.keys() & split_flags(words.split()).keys()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--stage full --tune_mm_mlp_adapter True", "both say what learns"),
        ("--freeze_mm_mlp_adapter True", "connector always learns"),
        ("--mm_tunable_parts mm_language_model", "connector always learns"),
        ("--mm_tunable_parts mm_tower", "Did you mean 'mm_vision_tower'"),
        ("--tune_type_llm some", "not supported"),
        ("--tune_type_connector frozen --tune_type_llm full", "connector always learns"),
        ("--tune_vision_tower True", "--tune_vit_from_layer 0 tunes the tower"),
        ("--save_safetensors False", "never pickles"),
        ("--image_aspect_ratio keep", "pad keeps the proportions"),
        ("--mm_projector_type resampler", "scale_invariant"),
        ("--image_aspect_ratio anyres --mm_patch_merge_type flat", "spatial_unpad with anyres"),
        ("--mm_patch_merge_type unpad", "spatial_unpad with anyres"),
        ("--vision_tower2 dino", "one vision tower"),
        ("--version v9", "no such chat template"),
        ("--version mpt --chat_template v0", "both choose the template"),
        ("--evaluation_strategy no --eval_strategy steps", "the same flag"),
        ("--tune_vit_from_layer some", "no number"),
        ("stray", "belongs to no flag"),
    ],
)
def test_what_we_do_not_do_is_refused_with_the_reason(words, says):
    with pytest.raises(InputError, match=says):
        translated(*words.split())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--tune_mm_mlp_adaptor True", "Did you mean --tune_mm_mlp_adapter"),
        ("--lazy_preproces True", "Did you mean --lazy_preprocess"),
        ("--qqqqqqqq 1", "See --help all"),
        ("--bits 5", "unknown --bits '?5"),
        ("--quant_type int4", "nf4"),
        ("--mm_projector_type mlp_gelu", "mlp2x_gelu"),
        ("--image_aspect_ratio padded", "Did you mean 'pad'"),
        ("--deepspeed zero4", "zero3"),
        ("--fsdp full_shards", "fsdp"),
        ("--data_weights 1 2", "2 weights for 1 data paths"),
        ("--global_batch_size 12", "no multiple of 8"),
        ("--packing_length 100", "no use without --packing"),
        ("--evaluation_strategy steps", "no data to evaluate on"),
        ("--max_refused 2", "0..1"),
        ("--config quilt_llava/finetun", "Did you mean 'quilt_llava/finetune'"),
        ("--config a b", "takes one value"),
        ("--output_dir=", "--output_dir is empty"),
    ],
)
def test_wrong_values_name_the_right_ones(words, says):
    with pytest.raises(InputError, match=says):
        parse(*words.split())


def test_fsdp_on_one_process_names_the_way_out():
    with clean_process():
        training = parse_command(["--model_name_or_path", "m", "--data_path", "d", "--fsdp", "full_shard auto_wrap"])
        with pytest.raises(InputError, match="Add --fsdp none"):
            start(training.training)


NUMBERS_REFUSED = {
    "per_device_train_batch_size": ("0", "-3"),
    "gradient_accumulation_steps": ("0",),
    "max_samples": ("0", "-1"),
    "dataloader_num_workers": ("-1",),
    "seed": ("-1", "99999999999"),
    "learning_rate": ("nan", "-1", "inf"),
    "mm_projector_lr": ("inf",),
    "weight_decay": ("nan",),
    "model_max_length": ("0", "-5"),
    "packing_length": ("0",),
    "num_train_epochs": ("-1", "0"),
    "max_steps": ("0", "-2"),
    "warmup_ratio": ("2", "-0.1"),
    "label_smoothing_factor": ("1",),
    "context_dropout": ("1",),
    "max_refused": ("2",),
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in NUMBERS_REFUSED.items() for value in values]
)
def test_numbers_out_of_range_are_refused_with_the_range(name, value):
    with pytest.raises(InputError, match=f"--{name} must be .*(0|1).*, got {value}"):
        parse(f"--{name}={value}")


def test_ranges_hold_under_other_trainers_names():
    with pytest.raises(InputError, match="--num_train_epochs must be finite and more than 0, got -2"):
        parse("--max_epochs", "-2")


def test_each_range_belongs_to_a_flag_and_holds_its_default():
    fields = {
        field.name: field.default
        for arguments in (ModelArguments, DataArguments, TrainArguments)
        for field in dataclasses.fields(arguments)
    }
    for name, allowed in RANGES.items():
        if name != "warmup_ratio":  # older transformers' name
            assert name in fields
            assert fields[name] is None or allowed.holds(float(fields[name]))


@pytest.mark.parametrize(
    ("words", "package"),
    [
        ("--use_liger_kernel True", "liger-kernel"),
        ("--optim galore_adamw", "galore-torch"),
        ("--optim lomo", "lomo-optim"),
    ],
)
def test_packages_that_are_not_installed_are_named_before_any_work(words, package, monkeypatch):
    monkeypatch.setattr("train.flags.packages.find_spec", lambda name: None)
    with pytest.raises(InputError, match=f"needs the package '{package}'"):
        parse(*words.split())
    assert parse("--optim", "adamw_torch_fused").training.optim == "adamw_torch_fused"


def test_lora_in_the_projector_stage_is_what_their_trainer_makes_of_it():
    flags, notes = translated("--lora_enable", "True", "--tune_mm_mlp_adapter", "True", "--version", "v1")
    assert flags["lora_enable"] == ["False"]
    assert any("--lora_enable is left out" in note for note in notes)


@pytest.mark.parametrize(
    ("tune_type", "bits"), [("lora", None), ("qlora", "4"), ("qlora_int4", "4"), ("qlora_int8", "8")]
)
def test_factory_tune_types_are_lora_and_bits(tune_type, bits):
    flags, _ = translated("--tune_type_llm", tune_type)
    assert (flags["lora_enable"], flags.get("bits"), flags["stage"]) == (["True"], bits and [bits], ["frozen-tower"])


def test_settings_of_pa_llava_under_xtuners_names():
    theirs = (
        "--llm_name_or_path meta-llama/Meta-Llama-3-8B-Instruct --visual_encoder_name_or_path plip --projector_type qformer_mlp "
        "--batch_size 6 --accumulative_counts 4 --max_epochs 12 --lr 2e-4 --max_norm 1 --deepspeed deepspeed_zero2"
    )
    with clean_process():
        command = parse_command([*theirs.split(), "--data_path", "d", "--output_dir", "o"])
    assert command.model.mm_projector_type == "scale_invariant"
    assert command.model.vision_tower == "plip"
    assert command.training.deepspeed["zero_optimization"]["stage"] == 2
    asked = command.training
    assert (asked.train_batch_size, asked.gradient_accumulation_steps, asked.num_train_epochs) == (6, 4, 12)
    assert (asked.learning_rate, asked.max_grad_norm) == (2e-4, 1)


def test_training_knows_v1_as_vicuna_though_a_conversation_of_that_name_is_another():
    for version, template in (("v1", "vicuna_v1"), ("v1-1", "vicuna_v1"), ("v0", "v0"), ("v0_plain", "plain")):
        assert translated("--version", version)[0]["chat_template"] == [template]


def test_every_shipped_template_is_a_version_and_no_table_names_a_template_that_is_not_there():
    for name in template_names():
        if name not in VERSIONS:
            assert translated("--version", name)[0]["chat_template"] == [name]
    assert set(VERSIONS.values()) <= set(template_names())


def test_their_defaults_count_only_for_their_command_lines():
    theirs, _ = translated("--vision_tower", "t", "--lazy_preprocess", "True")
    assert {name: theirs["chat_template" if name == "version" else name] for name in DEFAULTS["llava"]} == {
        "version": ["v0"],
        "mm_projector_type": ["linear"],
        "mm_vision_select_layer": ["-1"],
        "image_aspect_ratio": ["square"],
    }
    ours, _ = translated("--vision_tower", "t")
    assert ours == {"vision_tower": ["t"], "stage": ["frozen-tower"]}


def test_ratio_and_steps_of_warmup():
    assert translated("--warmup_ratio", "0.03", "--warmup_steps", "0")[0]["warmup_steps"] == ["0.03"]
    assert translated("--warmup_ratio", "0.03", "--warmup_steps", "50")[0]["warmup_steps"] == ["50"]


def test_flags_that_have_no_meaning_any_more_are_noted_one_by_one():
    for name, (values, _) in WITHOUT_EFFECT.items():
        flags, notes = translated(f"--{name}", values[0] if values else "anything")
        assert name not in flags
        assert len([note for note in notes if note.startswith(f"--{name} has no effect")]) == 1


def test_logging_dir_reaches_tensorboard(monkeypatch):
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "before")
    with clean_process():
        import os

        parse_command(["--model_name_or_path", "m", "--data_path", "d", "--logging_dir", "logs"])
        assert os.environ["TENSORBOARD_LOGGING_DIR"] == "logs"


def test_bare_switches_and_empty_values():
    command = parse("--mm_use_im_start_end", "--lora_weight_path", "", "--deepspeed", "none", "--bf16")
    assert command.model.mm_use_im_start_end
    assert command.training.bf16
    assert command.model.lora_weight_path is None
    assert command.training.deepspeed is None


def test_command_line_wins_over_the_recipe_in_whatever_spelling(tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "stage: full\nwarmup_steps: 0.1\nchat_template: v0\neval_strategy: no\nlora_r: 8\n"
        "lr_scheduler_kwargs: {min_lr: 1.0e-6}\nlora_weight_path: null\ntune_vit_from_layer: 3\n"
    )
    over = ("--tune_mm_mlp_adapter", "True", "--warmup_ratio", "0.03", "--version", "v1")
    command = parse("--config", str(recipe), *over)
    assert (command.model.stage, command.model.tune_vit_from_layer) == ("projector", None)
    assert (command.training.warmup_steps, command.model.chat_template) == (0.03, "vicuna_v1")
    assert (command.model.lora_r, command.model.lora_weight_path) == (8, None)
    assert command.training.lr_scheduler_kwargs == {"min_lr": 1e-6}
    assert command.training.eval_strategy == "no"
    assert command.notes[0] == f"recipe {recipe}"


def test_unreadable_recipes_are_named(tmp_path):
    for text, says in (("- a\n- b", "mapping"), ("a: [", "cannot be read")):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(InputError, match=says):
            parse("--config", str(tmp_path / "bad.yaml"))


@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 64))
def test_accumulation_keeps_the_batch(each, times, processes):
    assert accumulation(each * times * processes, each, processes) == times


def test_global_batch_size_becomes_accumulation(monkeypatch):
    asked = ("--global_batch_size", "32", "--per_device_train_batch_size", "4")
    assert parse(*asked).training.gradient_accumulation_steps == 8
    assert parse(*asked, "--gradient_accumulation_steps", "2").training.gradient_accumulation_steps == 2


NAMES = st.sampled_from([*RENAMED, *STAGE_FLAGS, *WITHOUT_EFFECT, *RENAMED.values(), "stage", "learning_rate"])
VALUES = st.lists(st.sampled_from(["True", "False", "0", "full", "v1", "0.5", "t", "-1"]), max_size=1)


@given(st.dictionaries(NAMES, VALUES, max_size=6), st.dictionaries(NAMES, VALUES, max_size=6))
def test_any_mixture_is_translated_or_refused_and_the_command_line_stays(recipe, given):
    merged = merge(recipe, given)
    assert all(merged[name] == values for name, values in given.items())
    try:
        flags, _ = translate(merged)
    except InputError:
        return
    assert not set(flags) & (set(RENAMED) | set(STAGE_FLAGS) | set(WITHOUT_EFFECT))
