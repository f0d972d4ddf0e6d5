"""`llava-graph-serve votes`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from llava_graph.errors import DatasetError


def votes(
    log_dir: Annotated[Path, typer.Argument(help="The --log-dir of the web page, or a log of FastChat's.")],
    rounds: Annotated[int, typer.Option(min=10, help="Draws of the bootstrap that the intervals come from.")] = 1000,
    records: Annotated[
        Path | None,
        typer.Option(
            help="Also write approved and corrected answers, whose figure was kept, as training records to this new folder."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Say what visitors think of the models: blind battles with ratings, votes on answers, and the reasons given.

    Examples:

        llava-graph-serve votes ./log

        llava-graph-serve votes ./log --records ./approved
    """
    from rich.console import Console

    from serve.feedback.report import report, tables
    from serve.feedback.votes import read_votes

    read = read_votes(log_dir)
    if records is not None:
        from serve.feedback.records import write_records

        try:
            summary = write_records(log_dir, records)
        except DatasetError as error:
            raise DatasetError(
                error.what, where=error.where, next_step="Give a new folder, with room, to --records"
            ) from error
        left_out = sum(summary.dropped.values())
        print(f"{summary.figures} records in {records}; {left_out} votes left out, see its README.md", file=sys.stderr)
    if as_json:
        print(json.dumps(report(read, rounds=rounds), indent=2))
    else:
        Console().print(tables(read, rounds=rounds))
