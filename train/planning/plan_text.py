"""The plan for a person. In: the plan as plain values. Out: lines for a pipe, a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Rows = list[tuple[str, str]]

SHOWN_VERSIONS = ("llava-graph", "torch", "transformers")


def plan_lines(plan: Mapping[str, Any]) -> list[str]:
    """One line each, with what it is about in front."""
    rows = plan_rows(plan)
    return [f"{label:<8}{text}" for label, text in rows]


def plan_page(plan: Mapping[str, Any], *, terminal: bool) -> str:
    """The plan as it is printed: a table as wide as the terminal, or plain lines."""
    if not terminal:
        return "\n".join(plan_lines(plan))
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, padding=(0, 1, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in plan_rows(plan):
        style = "yellow" if label == "warning" else "dim" if label in ("note", "with") else ""
        table.add_row(label, Text(text, style=style))
    console = Console()
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip("\n")


def plan_rows(plan: Mapping[str, Any]) -> Rows:
    """(what it is about, what it is)."""
    rows = [
        *_model_rows(plan["model"]),
        *_data_rows(plan["data"]),
        _batch_row(plan["batches"], estimated="streamed" in plan["data"]),
        *_run_rows(plan["run"]),
        *_memory_rows(plan),
        ("with", ", ".join(f"{name} {plan['versions'][name]}" for name in SHOWN_VERSIONS if name in plan["versions"])),
    ]
    rows += [("note", note) for note in plan["notes"]]
    return rows + [("warning", warning) for warning in plan["warnings"]]


def _model_rows(model: Mapping[str, Any]) -> Rows:
    parts = []
    for part, count in model["parameters"].items():
        if not count["trained"]:
            parts.append(f"{part} frozen ({millions(count['all'])})")
            continue
        whole = "all" if count["trained"] == count["all"] else millions(count["trained"])
        parts.append(f"{part} {whole} of {millions(count['all'])} at {model['rates'][part]:g}")
    if lora := model["lora"]:
        parts.append(f"LoRA of rank {lora['rank']}, alpha {lora['alpha']}, dropout {lora['dropout']:g}")
    if model["bits"] != 16:
        parts.append(f"language model in {model['bits']} bits")
    return [
        (
            "model",
            f"{model['name']}, template {model['template']}, {model['image_tokens']} tokens an image, "
            f"context of {model['context_length']}",
        ),
        ("learns", "; ".join(parts)),
    ]


def _data_rows(data: Mapping[str, Any]) -> Rows:
    looked = (
        f"streaming {data['streamed']:,} samples, which are checked while training; "
        f"{data['kept']} of the first {data['of_the_first']} are good"
        if "streamed" in data
        else f"{data['kept']} of {data['seen']} samples"
    )
    cut = f"; answers cut: {data['answers_cut']}" + (f", turns cut: {data['turns_cut']}" if data["turns_cut"] else "")
    return [
        (
            "data",
            f"{looked} ({data['with_image']} with image), {data['tokens_median']} tokens "
            f"each, at most {data['tokens_longest']}; {data['tokens_learnt']:.0%} of them are learnt",
        ),
        ("", f"dropped: {counted(data['dropped'])}; repaired: {counted(data['repaired'])}{cut}"),
    ]


def _batch_row(batches: Mapping[str, Any], *, estimated: bool) -> tuple[str, str]:
    told = (
        f"{batches['tokens']:,} tokens, {batches['images']:,} images in {batches['batches']:,} batches, {batches['way']}: "
        f"{batches['padding']:.1%} padding"
    )
    return "epoch", f"about {told}" if estimated else told


def _run_rows(run: Mapping[str, Any]) -> Rows:
    devices = f"{run['processes']} x {run['device']}" if run["processes"] > 1 else run["device"]
    kept = ", activations computed again" if run["checkpointing"] else ""
    rows = [
        (
            "run",
            f"stage {run['stage']}, {run['steps']:,} steps ({run['epochs']:g} epochs) of {run['batch_size']} "
            f"{run['batch_of']}, {run['tokens_a_step']:,} tokens each",
        ),
        (
            "rate",
            f"{run['learning_rate']:g}, {run['schedule']} after {run['warmup_steps']} steps of warm-up, {run['optimizer']}, "
            f"weight decay {run['weight_decay']:g}",
        ),
        (
            "on",
            f"{devices}, {run['precision']}, {run['sharding']}, attention {run['attention']} ({run['attention_because']})"
            f"{kept}",
        ),
    ]
    return rows + ([("resume", f"goes on from {run['resume_from']}")] if run["resume_from"] else [])


def _memory_rows(plan: Mapping[str, Any]) -> Rows:
    memory = plan["memory"]
    if memory is None:
        return [("memory", "not known for this kind of model")]
    uses = ", ".join(f"{name} {size:g}" for name, size in memory.items() if name != "total" and size)
    there = f" of {plan['device_memory']:g}" if plan["device_memory"] else ""
    return [("memory", f"about {memory['total']:g}{there} GB each at the peak: {uses}")]


def counted(counts: Mapping[str, int]) -> str:
    """'3 image-missing, 1 bad-record', or 'none'."""
    return ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "none"


def millions(count: int) -> str:
    """A number of parameters."""
    if count < 1e5:
        return f"{count:,}"
    return f"{count / 1e9:.2f} B" if count >= 1e9 else f"{count / 1e6:.2f} M"
