"""The data card of a built data set: counts and options in, the README.md that `datasets` and a hub read out."""

from collections.abc import Mapping
from typing import Any


def data_card(name: str, options: Mapping[str, Any], counts: Mapping[str, Any]) -> str:
    """Markdown with the YAML head that names the split files (https://huggingface.co/docs/hub/datasets-manual-configuration)."""
    splits: Mapping[str, int] = counts["splits"]
    files = "\n".join(f"  - split: {split}\n    path: data/*/{split}.parquet" for split in splits)
    head = f"configs:\n- config_name: default\n  data_files:\n{files}\n" if splits else ""
    seen = counts["figures"] + sum(counts["dropped"].values())
    return f"""---
{head}task_categories:
- image-to-text
tags:
- scientific-figures
- figure-explanation
---

# {name}

Figures with caption, the text inside the figure (with boxes) and the paragraphs that cite it; built with LLaVA-Graph.

    from datasets import load_dataset
    dataset = load_dataset("path/to/this/folder")

Figures: {counts["figures"]} from {counts["keys"]} units of work (papers or files). Seen: {seen} = read + dropped.
The split is by hash of the paper, never of the figure.

{_table("Split", "figures", splits)}
{_table("Dropped because", "items", counts["dropped"])}
{_table("Licence", "figures", counts["licences"])}
{_table("Source", "figures", counts["sources"])}
Every figure keeps its paper's licence. Publish the images only of papers whose licence allows it: most arXiv papers do not.

## Options

{chr(10).join(f"- `{key}`: {value!r}" for key, value in options.items()) or "- none"}
"""


def _table(left: str, right: str, counts: Mapping[str, int]) -> str:
    rows = "\n".join(f"| {key} | {count} |" for key, count in counts.items())
    return f"| {left} | {right} |\n|---|---|\n{rows}\n" if rows else ""
