"""The model card of a quantized checkpoint. In: its config.json. Out: README.md as model hubs read it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llava_graph.model.hub import REPO_ID

USE = """\
    from transformers import AutoModelForImageTextToText, AutoProcessor
    model = AutoModelForImageTextToText.from_pretrained("path/to/this/folder")  # bitsandbytes must be installed
    processor = AutoProcessor.from_pretrained("path/to/this/folder")

    llava-graph explain figure.png --model path/to/this/folder
    llava-graph-serve all --model-path path/to/this/folder
"""
NOT_MEASURED = (
    "Not measured yet: `llava-graph quantize CHECKPOINT --bits {bits} --out THIS --check DATASET` writes it here."
)


def quantized_card(config: Mapping[str, Any], before: str = "") -> str:
    """Markdown with a YAML head; `before` is the card of the checkpoint that it was made from (its licence goes on)."""
    about = config["about"]
    made = about["quantized"]
    lines = [
        _head(config, before),
        f"# {about['name']}\n",
        f"{about['description']}\n",
        "| | |",
        "|---|---|",
        f"| language model | {made['bits']} bits: {made['method']} |",
        f"| not quantized ({made['dtype']}) | {', '.join(f'`{name}`' for name in made['kept'])}, embeddings, norms |",
        f"| computes in | {made['compute_dtype']} |",
        f"| made from | {made['from']['name']}, sha256 {made['from']['sha256']} |",
        f"| made with | {', '.join(f'{name} {found}' for name, found in made['versions'].items())} |",
        "\n## Use\n",
        USE,
        "## Agreement with full precision\n",
        *(_agreement(made["agreement"]) if "agreement" in made else [NOT_MEASURED.format(bits=made["bits"])]),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _head(config: Mapping[str, Any], before: str) -> str:
    origin = config["about"]["quantized"]["from"]["name"]
    known = re.match(r"---\n(?:.*\n)*?license: *([\w.-]+)\s*\n(?:.*\n)*?---\n", before)
    licence = known[1] if known else "other\nlicense_name: that-of-the-model-it-was-made-from"
    hub = ["base_model:", f"- {origin}", "base_model_relation: quantized"] if REPO_ID.fullmatch(origin) else []
    tags = [f"- {tag}" for tag in ("llava-graph", config["model_type"], "bitsandbytes")]
    head = [
        f"license: {licence}",
        *hub,
        "library_name: transformers",
        "pipeline_tag: image-text-to-text",
        "tags:",
        *tags,
    ]
    return "---\n" + "\n".join(head) + "\n---\n"


def _agreement(found: Mapping[str, Any]) -> list[str]:
    """The same numbers as `llava-graph quantize --check` prints, as a table."""
    from llava_graph.model.quantizing.agreement import told

    rows = [f"| {name} | {value} |" for name, value in told(found)]
    return ["Greedy answers of both, and the next token along the full model's answers.\n", "| | |", "|---|---|", *rows]
