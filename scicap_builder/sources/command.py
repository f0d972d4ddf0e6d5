"""`scicap_builder import`, `images` and `clean`: the options, a bar while they run, and the report at the end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from llava_graph.command import complain, stderr
from llava_graph.errors import InputError
from llava_graph.licences import is_redistributable
from llava_graph.openai_client import ApiModel
from scicap_builder.progress import Step, listening
from scicap_builder.sources import SOURCES, source_of
from scicap_builder.sources.cleaning import STEPS, CleanOptions, clean
from scicap_builder.sources.contract import MISSING_IMAGES, PIXELS, ImportOptions
from scicap_builder.sources.importing import Imported, import_source
from scicap_builder.sources.pmc_images import BASE_URL, fetch_images, pmc_options


def import_command(  # noqa: PLR0917  (typer reads the options from the signature)
    name: Annotated[str, typer.Argument(help=f"One of: {', '.join(SOURCES)}.")],
    root: Annotated[Path, typer.Option(help="Folder that holds the published files.")],
    out: Annotated[Path, typer.Option(help="Folder for the data set. Begun before: the import goes on.")] = Path(
        "figures"
    ),
    subset: Annotated[str, typer.Option(help="Part of a data set that has several; docs/sources.md names them.")] = "",
    missing_images: Annotated[
        str,
        typer.Option(help=f"A missing or broken image: {', '.join(MISSING_IMAGES)} (the record without it, or stop)."),
    ] = MISSING_IMAGES[0],
    images: Annotated[
        str,
        typer.Option(help=f"{PIXELS[0]}: copied into the data set. {PIXELS[1]}: files stay, records have their paths."),
    ] = PIXELS[0],
    image_folder: Annotated[Path | None, typer.Option(help="Where images lie, if not below --root.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Threads that decode images.")] = 1,
    check: Annotated[bool, typer.Option("--check", help="Read everything and report; write nothing.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew where --out holds a data set.")] = False,
) -> None:
    """Read a published data set into ordinary figure records, with its licence, its splits and a report on its integrity.

    Nothing is downloaded: --root is what you have fetched. Killed or stopped, the same command goes on where it was.

    Examples:

        scicap_builder import vqa-rad --root VQA_RAD --out vqa_rad

        scicap_builder import llava-json --root my_llava --out mine --missing-images keep

        scicap_builder import pmc-vqa --root PMC-VQA --out pmc_vqa --images link --workers 4

        scicap_builder import scicap --root scicap_data --check
    """
    options = ImportOptions(
        subset=subset,
        missing_images=missing_images,
        pixels=images,
        image_folder=image_folder,
        workers=workers,
        overwrite=overwrite,
        check=check,
    )
    source = source_of(name)
    with step_bar():
        done = import_source(source, root, out, options)
    Console().print(import_summary(done), soft_wrap=True)
    if not done.integrity.figures:
        raise InputError("no record was read", where=str(root), next_step="See the reasons above")


def images_command(
    root: Annotated[Path, typer.Option(help="Folder with llava_med_image_urls.jsonl and the files that name images.")],
    archives: Annotated[int | None, typer.Option(min=1, help="Only so many archives in this run.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Ask again for images that were not found before.")] = False,
    contact: Annotated[
        str, typer.Option(envvar="SCICAP_BUILDER_CONTACT", help="Your e-mail, told to the server with every request.")
    ] = "",
    base_url: Annotated[
        str, typer.Option(help="Another server with the same paths: a mirror, a test server.")
    ] = BASE_URL,
) -> None:
    """Fetch LLaVA-Med's images from PubMed Central: each archive is gone through once, only wanted images are kept.

    Wanted is what the files in --root name (alignment, instruct, captions, qa50). Every archive's end is written to a ledger;
    stopped or killed, the same command goes on. All of LLaVA-Med are some 3.6 TB of archives for 69 GB of images.

    Examples:

        scicap_builder images --root llava_med --contact me@example.org

        scicap_builder images --root llava_med --archives 1000
    """
    with step_bar():
        done = fetch_images(root, pmc_options(base_url, contact), archives=archives, retry=retry)
    counts = ", ".join(f"{what} {count}" for what, count in done.counts.most_common())
    Console().print(Text(
        f"{done.wanted} images wanted: {done.there} were there" + (f", {counts}" if counts else "")
        + (f", {done.later} for another run (no answer)" if done.later else "")
        + (f", {done.left} not asked for yet" if done.left else "")
    ), soft_wrap=True)  # fmt: skip


def clean_command(  # noqa: PLR0917  (typer reads the options from the signature)
    folder: Annotated[Path, typer.Argument(help="A data set.")],
    out: Annotated[Path, typer.Option(help="Folder for what passes. Begun before: the cleaning goes on.")],
    steps: Annotated[str, typer.Option(help="Steps in their order, with commas.")] = ",".join(STEPS),
    api: Annotated[str, typer.Option(help="A chat endpoint (OpenAI's form); its key is OPENAI_API_KEY.")] = "",
    model: Annotated[
        str, typer.Option(help="The model there, if it has several. It must see images for `pathology`.")
    ] = "",
    workers: Annotated[int, typer.Option(min=1, help="Questions asked at once.")] = 4,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew where --out holds a data set.")] = False,
) -> None:
    """Keep the records that PA-LLaVA's cleaning keeps: 20 words or more, a pathology image, human.

    words: counted. pathology: a model looks at the image. human: a model reads the caption. What does not pass is in
    dropped.parquet with what the model said. Stopped, the same command goes on; nothing is asked twice.

    Examples:

        scicap_builder clean pairs --out pairs_clean --api http://localhost:8000/v1

        scicap_builder clean pairs --out pairs_long --steps words
    """
    options = CleanOptions(steps=tuple(steps.split(",")), workers=workers, overwrite=overwrite)
    with step_bar():
        done = clean(folder, out, ApiModel(api, model) if api else None, options)
    left_out = "".join(f", {reason} {count}" for reason, count in done.dropped.items())
    Console().print(Text(f"{done.figures} of {done.keys} records are kept in {out}{left_out}"), soft_wrap=True)


@contextmanager
def step_bar() -> Iterator[None]:
    """Rows done, table by table. Ctrl-C ends the command with one line."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr, transient=True) as bar:
        task = bar.add_task("opening", total=None)

        def show(step: Step) -> None:
            bar.update(task, description=step.what, completed=step.done, total=step.total or None)

        try:
            with listening(show):
                yield
        except KeyboardInterrupt:
            complain("stopped; the same command goes on where it was")
            raise typer.Exit(130) from None


def import_summary(done: Imported) -> RenderableType:
    """The end of an import: the report, the counts, the licence."""
    report, source = done.integrity, done.source
    left_out = ", ".join(f"{reason} {count}" for reason, count in report.dropped.items())
    splits = ", ".join(f"{name} {count}" for name, count in done.summary.splits.items()) if done.summary else ""
    lines = [
        *report.lines(),
        f"{report.rows} rows = {report.figures} records"
        + (f" ({splits})" if splits else "")
        + f" + {sum(report.dropped.values())} dropped"
        + (f": {left_out}" if left_out else ""),
        f"split: {source.split}",
        f"licence: {source.licence or 'not stated'}; access: {source.access}"
        + ("" if is_redistributable(source.record_licence) else ". Do not publish the data set with its images"),
    ]
    if done.out:
        lines.append(f"The data set is in {done.out}.  Look at it:  scicap_builder show {done.out}")
    return Group(*(Text(line) for line in lines))
