"""The chains of docs/medical.md hang together: every command is understood, and works on what an earlier one has made."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from parsing import clean_process
from typer.main import get_command

from llava_graph.cli import app as llava_graph
from llava_graph.evaluate.tasks import TASKS
from scicap_builder.cli import app as scicap_builder
from scicap_builder.sources import source_of
from train.contrastive.arguments import parse_contrastive
from train.flags.command import RECIPES, parse_command, split_flags

PAGE = (Path(__file__).parent.parent / "docs" / "medical.md").read_text()
SYSTEMS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
FOLDERS = {
    "Quilt-LLaVA": "quilt_llava",
    "TinyLLaVA-Med-F": "tinyllava_med_f",
    "X-ray reports": "xray_report",
    "PA-LLaVA": "pa_llava",
}
NEEDED = (
    "data", "data_path", "model", "model_name_or_path", "vision_tower", "lora_weight_path", "pretrain_mm_mlp_adapter",
    "against",
)  # fmt: skip
"""Flags that name what there has to be; a published file or folder is in capitals, or a JSON, or a name on the hub."""


def commands(text):
    """Words of each command, shell loops unrolled once."""
    for line in re.findall(r"^ {4}(\S.*)$", re.sub(r"\\\n\s*", "", text), re.MULTILINE):
        words = shlex.split(line.replace("$i", "0").partition(" & done")[0])
        start = next(place for place, word in enumerate(words) if word in ("scicap_builder", "llava-graph", "torchrun"))
        yield words[start:]


def of_trainer(words):
    """(the script, its flags) of a torchrun."""
    place = next(place for place, word in enumerate(words) if word.endswith(".py"))
    return words[place], words[place + 1 :]


def made(words):
    """The folder that a command makes, and those that it needs."""
    program, *rest = words
    if program == "torchrun":
        flags = split_flags(of_trainer(words)[1])
        [out] = flags["output_dir"]
        return out, [value for name in NEEDED for value in flags.get(name, [])]
    app = scicap_builder if program == "scicap_builder" else llava_graph
    given = get_command(app).commands[rest[0]].make_context(rest[0], rest[1:]).params
    source = next((given[name] for name in ("root", "folder", "source", "checkpoint") if given.get(name)), None)
    return str(given.get("out")), [str(given[name]) for name in NEEDED if given.get(name)] + [str(source)] * bool(
        source
    )


def published(name):
    return bool(re.match(r"[A-Z][A-Z0-9_]{3,}\b|[\w.-]+\.json$|(bczhou|liuhaotian)/", name))


@pytest.mark.parametrize("system", FOLDERS)
def test_commands_work_on_what_earlier_ones_made(system):
    there = set()
    for words in commands(SYSTEMS[system]):
        out, needed = made(words)
        for name in needed:
            known = any(name == one or name.startswith(f"{one}/") for one in there)
            assert known or published(name) or name == "reference", f"{name} of {shlex.join(words)} comes from nowhere"
        there.add(out)


@pytest.mark.parametrize("system", FOLDERS)
def test_every_recipe_of_a_system_is_told(system):
    names = {path.stem for path in (RECIPES / FOLDERS[system]).glob("*.yaml")}
    told = set(re.findall(r"`(\w+)`", SYSTEMS[system].replace(f"{FOLDERS[system]}/", "")))
    assert names <= told
    for words in commands(SYSTEMS[system]):
        if words[0] == "torchrun":
            # On one process, as this one is.
            script, flags = of_trainer(words)
            with clean_process():
                if script == "train/train_mem.py":
                    command = parse_command([*flags, "--deepspeed", "none", "--fsdp", "none"])
                else:
                    command = parse_contrastive(flags)
            [recipe] = [note.removeprefix("recipe ") for note in command.notes if note.startswith("recipe ")]
            assert recipe.partition("/")[2] in names


@pytest.mark.parametrize("system", FOLDERS)
def test_numbers_of_the_stages_are_the_recipes(system):
    rows = re.findall(r"^\| [^|]*\| (`[^|]*) \| [^|]* \| ([^|]*) \|", SYSTEMS[system], re.MULTILINE)
    assert rows
    for names, told in rows:
        for name in re.findall(r"`(?:\w+/)?(\w+)`", names):
            recipe = yaml.safe_load((RECIPES / FOLDERS[system] / f"{name}.yaml").read_text())
            numbers = {float(word) for word in re.findall(r"\d+(?:e-\d+)?", told)}
            rates = {recipe["learning_rate"], recipe.get("mm_projector_lr", recipe["learning_rate"])}
            batch = recipe.get("global_batch_size", recipe["per_device_train_batch_size"])
            assert {*rates, batch, recipe["num_train_epochs"]} <= numbers


@pytest.mark.parametrize("system", FOLDERS)
def test_data_sets_and_tasks_are_known(system):
    for program, verb, *rest in commands(SYSTEMS[system]):
        if (program, verb) == ("scicap_builder", "import"):
            source = source_of(rest[0])
            if "--subset" in rest:
                assert rest[rest.index("--subset") + 1] in source.subsets
        if program == "llava-graph" and "--task" in rest:
            assert rest[rest.index("--task") + 1] in TASKS
