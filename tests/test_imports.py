"""The house's arrows (DESIGN §2): who may import whom, and that light packages stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "llava_graph": set(),
    "ocr": {"llava_graph"},
    "scicap_builder": {"ocr", "llava_graph"},
    "train": {"llava_graph"},
    "serve": {"ocr", "llava_graph", "scicap_builder"},
}


def imported(file: Path) -> set[str]:
    """Top-level names of all imports in a file, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_one_way(package):
    rooms = set(MAY_IMPORT)
    for file in (ROOT / package).rglob("*.py"):
        wrong = (imported(file) & rooms) - MAY_IMPORT[package] - {package}
        assert not wrong, f"{file.relative_to(ROOT)} imports {wrong}"


@pytest.mark.parametrize(
    ("package", "heavy"),
    [
        ("llava_graph", "torch transformers gradio rapidocr"),
        ("ocr", "torch transformers gradio rapidocr"),
        ("scicap_builder", "torch transformers gradio rapidocr"),
        # Without the extras these commands still start, and say which one is missing.
        ("serve.cli", "torch transformers gradio starlette fastapi uvicorn prometheus_client"),
        ("llava_graph.cli", "torch transformers"),
    ],
)
def test_light_packages_stay_light(package, heavy):
    code = f"import sys, {package}; print(sorted(set({heavy.split()}) & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
