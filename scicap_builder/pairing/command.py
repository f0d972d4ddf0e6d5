"""What `scicap_builder import --pair` shows: papers while they are read, and at the end what was found and how it compares."""

from collections.abc import Iterator
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from llava_graph.command import stderr
from llava_graph.errors import InputError
from scicap_builder.fetch import FetchOptions
from scicap_builder.pairing.driver import Paired, PairOptions, pair
from scicap_builder.pairing.notes import FILE, REPORT
from scicap_builder.pairing.records import READ
from scicap_builder.progress import listening
from scicap_builder.sources.contract import ImportOptions, Source
from scicap_builder.terminal import ProgressBar, import_summary, summary, this_command


def pair_and_tell(
    source: Source,
    root: Path,
    out: Path,
    options: ImportOptions,
    pairing: PairOptions,
    *,
    fetch: FetchOptions,
    metadata: Path | None,
) -> None:
    """Pair, and tell what came of it. Raises what stopped the run; Ctrl-C ends the command with 130."""
    if options.check:
        raise InputError("--check reads the published files alone", next_step="Leave --pair out")
    with ProgressBar(stderr) as bar, listening(bar.step):
        done = pair(source, root, out, options, pairing, fetch=fetch, metadata=metadata, on_progress=bar)
    result = done.run
    if result.papers_left or result.error or result.interrupted:
        Console().print(summary(result, again=this_command()))
    else:
        Console().print(import_summary(done.imported), soft_wrap=True)
    Console().print(Text("\n".join(pairing_lines(done))), soft_wrap=True)
    if result.error:
        raise result.error
    if result.interrupted:
        raise typer.Exit(130)
    if not done.imported.integrity.figures:
        raise InputError("no record was read", where=str(root), next_step="See the reasons above")


def pairing_lines(done: Paired) -> Iterator[str]:
    """What was found in the papers, and how the published texts compare."""
    states = sorted(done.papers.most_common(), key=lambda state: state[0] != READ)
    papers = ", ".join(f"{state} {count}" for state, count in states)
    yield f"papers: {papers or 'none'}"
    yield from done.report.lines()
    yield f"A note on each figure, with the published texts, is in data/shard-*/{FILE}; the sums are in {REPORT}"
