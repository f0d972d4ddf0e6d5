"""`scicap_builder narratives`: the options, a bar while videos are read, and what came of them."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from llava_graph.errors import InputError
from llava_graph.record import Box
from scicap_builder.narratives.build import NarrativeResult, build_narratives
from scicap_builder.narratives.clusters import BOXES, DEFAULT_CLUSTERS, MATCHES, WEIGHTINGS, ClusterOptions
from scicap_builder.narratives.cursor import DEFAULT_CURSOR, CursorOptions
from scicap_builder.narratives.options import DEFAULT_NARRATIVES, NarrativeOptions
from scicap_builder.narratives.segments import DEFAULT_SEGMENTS, SegmentOptions
from scicap_builder.sources.command import step_bar


def narratives_command(  # noqa: PLR0917  (typer reads the options from the signature)
    videos: Annotated[list[Path], typer.Argument(help="Videos, or folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder for the data set. Begun before: the work goes on.")],
    asr: Annotated[
        Path | None,
        typer.Option(help="What is said: NAME.json, .vtt or .srt of one video, or their folder. Default: beside it."),
    ] = None,
    fps: Annotated[float, typer.Option(help="Frames/s that are looked at.")] = DEFAULT_NARRATIVES.rate,
    boxes: Annotated[
        str, typer.Option(help=f"Where boxes come from: {', '.join(BOXES)} (the cursor while a thing is said).")
    ] = DEFAULT_CLUSTERS.boxes,
    weighting: Annotated[
        str, typer.Option(help=f"Time under which the trace is clustered: {', '.join(WEIGHTINGS)}.")
    ] = DEFAULT_CLUSTERS.weighting,
    match: Annotated[
        str, typer.Option(help=f"An utterance's time that decides on its cluster: {', '.join(MATCHES)}.")
    ] = DEFAULT_CLUSTERS.match,
    min_seconds: Annotated[
        float, typer.Option(help="A background stands still for so long.")
    ] = DEFAULT_SEGMENTS.min_seconds,
    max_seconds: Annotated[
        float, typer.Option(help="A record speaks of at most so much of it.")
    ] = DEFAULT_SEGMENTS.max_seconds,
    blur: Annotated[
        int, typer.Option(help="px by which grain is smoothed before frames are compared; 0: as published.")
    ] = DEFAULT_SEGMENTS.blur,
    threshold: Annotated[
        int, typer.Option(help="A cursor differs so much from what is behind it, of 255.")
    ] = DEFAULT_CURSOR.threshold,
    hide: Annotated[
        list[str] | None,
        typer.Option(
            help="x1,y1,x2,y2 (0..1) that is painted black first: a camera picture in a corner. Several times."
        ),
    ] = None,
    fallback: Annotated[
        bool, typer.Option("--fallback/--no-fallback", help="Nothing stands still: different images, without boxes.")
    ] = DEFAULT_NARRATIVES.fallback,
    classifier: Annotated[
        list[Path] | None, typer.Option(help="Folder of an image classifier that votes on images; several: one yes.")
    ] = None,
    label: Annotated[str, typer.Option(help="Its label of the images that are kept.")] = DEFAULT_NARRATIVES.label,
    kind: Annotated[str, typer.Option(help="Kind of the records.")] = DEFAULT_NARRATIVES.kind,
    licence: Annotated[str, typer.Option(help="Licence of the videos.")] = DEFAULT_NARRATIVES.licence,
    prefix: Annotated[
        str, typer.Option(help="Of ids; `youtube` where files are named by YouTube's ids, as Quilt's.")
    ] = DEFAULT_NARRATIVES.prefix,
    seed: Annotated[int, typer.Option(help="Of the crops and of the clusters.")] = DEFAULT_CLUSTERS.seed,
    workers: Annotated[int, typer.Option(min=1, help="Videos read at once, each in a process.")] = 1,
    video_timeout: Annotated[
        float, typer.Option(help="Seconds for one video; a slower one is dropped.")
    ] = DEFAULT_NARRATIVES.timeout_s,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew where --out holds a data set.")] = False,
) -> None:
    """Make localized narratives of teaching videos: the still picture, and what is said with the boxes of the cursor.

    Killed or stopped, the same command goes on with the next video. Needs the extra `narratives`.

    Examples:

        scicap_builder narratives lecture.mp4 --asr lecture.vtt --out narratives

        scicap_builder narratives videos/ --asr transcripts/ --out narratives --workers 4 --prefix youtube

        scicap_builder narratives videos/ --out as_published --weighting published --match end --blur 0
    """
    options = NarrativeOptions(
        rate=fps,
        segments=SegmentOptions(min_seconds=min_seconds, max_seconds=max_seconds, blur=blur, seed=seed),
        cursor=CursorOptions(threshold=threshold),
        clusters=ClusterOptions(boxes=boxes, weighting=weighting, match=match, seed=seed),
        hidden=tuple(read_box(text) for text in hide or ()),
        fallback=fallback,
        classifiers=tuple(str(folder) for folder in classifier or ()),
        label=label,
        kind=kind,
        licence=licence,
        prefix=prefix,
        workers=workers,
        timeout_s=video_timeout,
        overwrite=overwrite,
    )
    with step_bar():
        done = build_narratives(videos, out, options, transcripts=asr)
    Console().print(narratives_summary(done), soft_wrap=True)
    if not done.summary.figures:
        reasons = ", ".join(f"{reason} {count}" for reason, count in done.summary.dropped.items())
        raise InputError(f"no narrative was found ({reasons})", where=", ".join(map(str, videos)))


def read_box(text: str) -> Box:
    """ "0.75,0,1,0.3" -> its four numbers. Raises InputError."""
    try:
        left, top, right, bottom = (float(number) for number in text.split(","))
    except ValueError as error:
        raise InputError(f"--hide takes x1,y1,x2,y2 in 0..1, got {text!r}") from error
    return left, top, right, bottom


def narratives_summary(done: NarrativeResult) -> Text:
    """The end of a run: records by kind, what was left out and why."""
    summary = done.summary
    kinds = ", ".join(f"{name.partition('/')[2]} {count}" for name, count in summary.sources.items())
    left_out = ", ".join(f"{reason} {count}" for reason, count in summary.dropped.items())
    said = ", ".join(f"{name} {count}" for name, count in done.counts.items())
    lines = [
        f"{summary.keys} of {done.videos} videos read: {summary.figures} narratives ({kinds or 'none'})",
        f"dropped: {left_out or 'nothing'}",
        f"in transcripts: {said or 'nothing'}",
        *(
            [f"not read again, though the transcript is new: {', '.join(done.stale)} (another --out reads them)"]
            if done.stale
            else []
        ),
        f"The data set is in {done.out}.  Look at it:  scicap_builder show {done.out}",
    ]
    return Text("\n".join(lines))
