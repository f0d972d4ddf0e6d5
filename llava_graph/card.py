"""The data card of a built data set: counts and options in, the README.md that `datasets` and a hub read out."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from llava_graph.licences import is_redistributable


def data_card(
    name: str, options: Mapping[str, Any], counts: Mapping[str, Any], notes: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Markdown with the YAML head that names the split files (https://huggingface.co/docs/hub/datasets-manual-configuration)."""
    splits: Mapping[str, int] = counts["splits"]
    files = "\n".join(f"  - split: {split}\n    path: data/*/{split}.parquet" for split in splits)
    head = f"configs:\n- config_name: default\n  data_files:\n{files}\n" if splits else ""
    seen = counts["figures"] + sum(counts["dropped"].values())
    free = sum(count for licence, count in counts["licences"].items() if is_redistributable(licence))
    return f"""---
{head}task_categories:
- image-to-text
tags:
- scientific-figures
- figure-explanation
---

# {name}

{_origin(options)}

    from datasets import load_dataset
    dataset = load_dataset("path/to/this/folder")

Figures: {counts["figures"]} from {counts["keys"]} units of work (papers or files). Seen: {seen} = read + dropped.
The split is {options.get("split", "by hash of the paper, never of the figure")}.

{_table("Split", "figures", splits)}
{_table("Dropped because", "items", counts["dropped"])}
{_table("Licence", "figures", counts["licences"])}
{_table("Source", "figures", counts["sources"])}
Every figure keeps its paper's licence. {free} figures may be passed on with their image, under that licence and by name of
the authors; {counts["figures"] - free} may not, or nobody knows: publish those without their image. (`llava_graph.licences` says
which; most arXiv papers are of the second kind.)

{_table("The work", "", notes)}
## Options

{chr(10).join(f"- `{key}`: {value!r}" for key, value in options.items()) or "- none"}
"""


def _origin(options: Mapping[str, Any]) -> str:
    """What the data set is: built from papers, or a published one as records."""
    if options.get("builder") == "dialogues":
        source = options.get("title") or options.get("source") or "a data set of LLaVA-Graph"
        return (
            f"Dialogues of the kind {options['kind']} about figures, written by the model {options['teacher']} from what is "
            f"known of each figure, with LLaVA-Graph. Figures from: {source}. No person has checked them. The terms of "
            "whoever runs that model hold for them, beside the figures' licences."
        )
    if about := options.get("about"):
        return str(about)
    if options.get("builder") != "import":
        return (
            "Figures with caption, the text inside the figure (with boxes) and the paragraphs that cite it; "
            "built with LLaVA-Graph."
        )
    paired = (
        " Each figure was looked for in its paper: citing paragraphs and what is said of the paper are from there, the text in "
        "the image is by OCR. `data/*/pairing.parquet` has the published texts, and what was found."
    )
    return (
        f"{options['title']} ({options['home']}) as figure records, imported with LLaVA-Graph. "
        f"Licence: {options['licence'] or 'not stated'}. Access: {options['access']}." + paired * ("pairing" in options)
    )


def _table(left: str, right: str, counts: Mapping[str, Any]) -> str:
    rows = "\n".join(f"| {key} | {count} |" for key, count in counts.items())
    return f"| {left} | {right} |\n|---|---|\n{rows}\n" if rows else ""
