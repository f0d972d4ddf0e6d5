"""How long the samples are and what padding costs. In: `Checked` and the run's batches. Out: lines for a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from io import StringIO

import numpy as np

from train.batching.checking import Checked
from train.batching.order import Order

PERCENTS = (0, 50, 90, 95, 99, 100)
LIMITS = (256, 512, 1024, 2048, 4096, 8192, 16384)
BINS = 12
BAR = 40
"""Characters of the longest bar."""
LOOKED_AT = 20_000
"""Samples whose batches are laid out: enough for three digits, seconds on any machine."""
WORTH_IT = 1.1
"""A suggestion is made from this gain in slots on."""


def audit_lines(checked: Checked, order: Order, *, max_length: int) -> list[str]:
    """Percentiles, histogram, refusals, and the padding of random, grouped and packed batches, with a suggestion.

    `order` is that of the run; `max_length` the tokens of the longest sample allowed.
    """
    lines = _counts(checked)
    if not len(checked.kept):
        return lines
    columns = {"tokens": checked.lengths, "answer tokens": checked.answers, "images": checked.images}
    lines += ["", *_table(columns), "", *_histogram(checked.lengths), "", _longer(checked, max_length)]
    shares = padding_shares(order, max_length)
    told = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
    lines += [f"padding       {told}", f"suggestion    {suggestion(checked, shares, max_length)}"]
    return lines


def padding_shares(order: Order, max_length: int) -> dict[str, float]:
    """Share of the slots of an epoch that hold padding, for each way to batch (of at most LOOKED_AT samples)."""
    rows = np.random.default_rng(order.seed).permutation(order.rows(0))[:LOOKED_AT]
    some = replace(order, lengths=order.lengths[rows], images=order.images[rows], shown=None)
    length = order.packing_length or max_length
    ways = {
        "random batches": replace(some, grouped=False, packing_length=None),
        "grouped by length": replace(some, grouped=True, packing_length=None),
        f"packed to {length}": replace(some, packing_length=length),
    }
    shares = {}
    for name, way in ways.items():
        found = way.summary()
        shares[name] = 1 - found["tokens"] / max(1, found["slots"])
    return shares


def suggestion(checked: Checked, shares: dict[str, float], max_length: int) -> str:
    """What would save most."""
    random, grouped, packed = shares.values()
    longest = int(checked.lengths.max())
    gain_packed, gain_grouped = (1 - packed) / (1 - random), (1 - grouped) / (1 - random)
    advice = []
    if gain_packed >= max(WORTH_IT, gain_grouped * 1.02):
        advice.append(f"--packing True: {gain_packed:.2f} x as many tokens a slot as random batches")
    elif gain_grouped >= WORTH_IT:
        advice.append(f"--group_by_modality_length True: {gain_grouped:.2f} x as many tokens a slot as random batches")
    rare = int(np.percentile(checked.lengths, 99.5))
    if longest > 2 * rare:
        advice.append(
            f"the longest 0.5 % are up to {longest} tokens, all others at most {rare}: look at them (--model_max_length)"
        )
    cut = checked.answers_cut / len(checked.kept)
    if cut > 0.01 and longest >= max_length:
        advice.append(
            f"{cut:.1%} of the answers are cut at {max_length} tokens: raise --model_max_length if the model can"
        )
    return "; ".join(advice) or "nothing to gain: lengths are alike"


def _counts(checked: Checked) -> list[str]:
    refused = ", ".join(f"{count} {reason}" for reason, count in checked.reasons.items()) or "none"
    mended = ", ".join(f"{count} {kind}" for kind, count in checked.repaired.items()) or "none"
    images = int(checked.with_image.sum())
    examples = {item.reason: item for item in reversed(checked.dropped)}
    return [
        f"samples       {len(checked.kept)} of {checked.seen} kept, {images} with images, {len(checked.kept) - images} without",
        f"refused       {refused}",
        *(f"              {reason}, such as {one.item}: {one.detail}" for reason, one in sorted(examples.items())),
        f"repaired      {mended}",
        f"cut           {checked.answers_cut} answers at their end, {checked.turns_cut} samples by whole turns",
    ]


def _table(columns: dict[str, np.ndarray]) -> list[str]:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="")
    table.add_column("of a sample", width=13)
    for percent in PERCENTS:
        table.add_column({0: "shortest", 100: "longest"}.get(percent, f"{percent} %"), justify="right")
    for heading in ("mean", "sum"):
        table.add_column(heading, justify="right")
    for name, values in columns.items():
        cells = [f"{int(value)}" for value in np.percentile(values, PERCENTS)]
        table.add_row(name, *cells, f"{values.mean():.1f}", f"{int(values.sum())}")
    return _printed(table)


def _histogram(lengths: np.ndarray) -> list[str]:
    from rich.table import Table

    edges = np.linspace(lengths.min(), lengths.max() + 1, BINS + 1)
    counts, borders = np.histogram(lengths, bins=np.unique(edges.astype(int)))
    table = Table(box=None, pad_edge=False, header_style="")
    table.add_column("tokens", width=13)
    table.add_column("samples", justify="right")
    table.add_column("")
    for count, first, last in zip(counts, borders, borders[1:], strict=False):
        width = count * BAR / max(counts)
        table.add_row(f"{first}–{last - 1}", str(count), "█" * int(width) or ("▏" if count else ""))
    return _printed(table)


def _longer(checked: Checked, max_length: int) -> str:
    limits = sorted({limit for limit in LIMITS if limit < checked.lengths.max()} | {max_length})
    shares = ", ".join(f"{limit}: {(checked.lengths > limit).mean():.2%}" for limit in limits)
    return f"longer than   {shares}"


def _printed(table: object) -> list[str]:
    from rich.console import Console

    console = Console(file=StringIO(), width=110, color_system=None)
    console.print(table)
    text: Sequence[str] = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return [line.rstrip() for line in text]
