"""docs/security.md tells the truth: every test that it names is there, and what it says of packages and checks holds."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE)))


def names_in(file):
    return {
        node.name for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)
    }


def test_the_page_names_a_test_for_every_incident():
    rows = [line for line in PAGE.split("## Incidents")[1].split("\n## ")[0].splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 35
    for row in rows:
        assert re.search(r"`test_\w+\.py::test_\w+`", row), row


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_every_test_that_is_named_exists(file):
    missing = {name for known, name in NAMED if known == file} - names_in(ROOT / "tests" / file)
    assert not missing, f"{file} has no {missing}"


@pytest.mark.parametrize(("package", "safe"), [("gradio", "6.7"), ("torch", "2.10"), ("pillow", "11.3")])
def test_packages_with_known_holes_have_a_floor(package, safe):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    wanted = [Requirement(text) for text in listed if Requirement(text).name == package]
    assert wanted
    below = ".".join(str(int(part) - (index == 1)) for index, part in enumerate(safe.split(".")))
    assert not any(one.specifier.contains(below) for one in wanted), f"{package} {below} would be accepted"


def test_no_pickle_and_no_assert_guards_anything():
    """The linter's own rules: S101 (assert), S301 (pickle), S307 (eval), S102 (exec), S602 and S605 (shell)."""
    rooms = ["llava_graph", "ocr", "scicap_builder", "train", "serve"]
    rules = "S101,S301,S302,S307,S102,S602,S604,S605"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--select",
            rules,
            "--ignore-noqa",
            "--output-format",
            "concise",
            *rooms,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
