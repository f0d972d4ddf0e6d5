"""`scicap_builder import`, `download`, `images` and `clean`: the options, a bar while they run, and the report at the end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from llava_graph.command import complain, stderr
from llava_graph.errors import InputError
from llava_graph.openai_client import ApiModel
from scicap_builder.fetch import DEFAULTS, FetchOptions
from scicap_builder.obtain import ROUTES
from scicap_builder.one_paper import DEFAULT_READING, ReadOptions
from scicap_builder.pairing.command import pair_and_tell
from scicap_builder.pairing.driver import DEFAULT_PAIRING, PairOptions
from scicap_builder.progress import Step, listening
from scicap_builder.settings import DEFAULT_BUILD, ENGINES, BuildOptions
from scicap_builder.sources import SOURCES, source_of
from scicap_builder.sources.access import MAY_BE_SENT, refuse_leaks
from scicap_builder.sources.cleaning import STEPS, CleanOptions, clean
from scicap_builder.sources.contract import MISSING_IMAGES, PIXELS, ImportOptions
from scicap_builder.sources.download import SAVED, download, listed
from scicap_builder.sources.importing import import_source
from scicap_builder.sources.pmc_images import BASE_URL, fetch_images, pmc_options
from scicap_builder.terminal import import_summary

CONTACT_VARIABLE = "SCICAP_BUILDER_CONTACT"
PAIRING: Any = {"rich_help_panel": "With --pair"}


def import_command(  # noqa: PLR0917  (typer reads the options from the signature)
    context: typer.Context,
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
    workers: Annotated[
        int, typer.Option(min=1, help="Threads that decode images; with --pair, processes that read papers.")
    ] = 1,
    check: Annotated[bool, typer.Option("--check", help="Read everything and report; write nothing.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew where --out holds a data set.")] = False,
    pair: Annotated[
        bool, typer.Option("--pair", help="Find each figure in its arXiv paper: citing paragraphs, OCR.", **PAIRING)
    ] = False,
    papers_root: Annotated[
        Path | None, typer.Option(help="Folder of papers or bulk tars, by arXiv id. Default: fetched.", **PAIRING)
    ] = None,
    fetch_missing: Annotated[
        bool, typer.Option("--fetch-missing", help="Fetch papers that are not in --papers-root.", **PAIRING)
    ] = False,
    unpaired: Annotated[
        str, typer.Option(help="Figures without paragraphs out of their paper: keep (as published), drop.", **PAIRING)
    ] = DEFAULT_PAIRING.unpaired,
    route: Annotated[
        str, typer.Option(help=f"What is read of a paper: {', '.join(ROUTES)}.", **PAIRING)
    ] = DEFAULT_READING.route,
    ocr: Annotated[str, typer.Option(help="OCR engine by name, or none.", **PAIRING)] = DEFAULT_READING.ocr,
    engine: Annotated[
        str, typer.Option(help=f"Where papers are read: {', '.join(ENGINES)}.", **PAIRING)
    ] = DEFAULT_BUILD.engine,
    address: Annotated[str, typer.Option(help="Ray cluster to join, as for build.", **PAIRING)] = "",
    paper_timeout: Annotated[
        float, typer.Option(help="Seconds for one paper with its figures.", **PAIRING)
    ] = DEFAULT_BUILD.paper_timeout_s,
    paper_memory: Annotated[
        float, typer.Option(help="GiB for one paper (Linux).", **PAIRING)
    ] = DEFAULT_BUILD.paper_memory_gb,
    papers_per_shard: Annotated[
        int, typer.Option(min=1, help="Papers written at once.", **PAIRING)
    ] = DEFAULT_BUILD.papers_per_shard,
    metadata: Annotated[
        Path | None, typer.Option(help="arXiv's metadata, as for build: licences, titles.", **PAIRING)
    ] = None,
    contact: Annotated[
        str,
        typer.Option(envvar=CONTACT_VARIABLE, help="Your e-mail, told to arXiv with every request.", **PAIRING),
    ] = "",
    cache: Annotated[
        Path | None, typer.Option(help="Folder for downloads. Default: the user's cache folder.", **PAIRING)
    ] = None,
    base_url: Annotated[
        str, typer.Option(help="Another arXiv: a mirror of yours, a test server.", **PAIRING)
    ] = DEFAULTS.base_url,
) -> None:
    """Read a published data set into ordinary figure records, with its licence, its splits and a report on its integrity.

    Nothing is downloaded: --root is what you have fetched. Killed or stopped, the same command goes on where it was.

    With --pair figures of SciCap, SciCap+ and the SciCap Challenge get what their papers say of them (docs/pairing.md);
    papers are fetched from arXiv, or come from --papers-root.

    Examples:

        scicap_builder import vqa-rad --root VQA_RAD --out vqa_rad

        scicap_builder import llava-json --root my_llava --out mine --missing-images keep

        scicap_builder import pmc-vqa --root PMC-VQA --out pmc_vqa --images link --workers 4

        scicap_builder import scicap --root scicap_data --check

        scicap_builder import scicap --root scicap_data --out paired --pair --contact me@example.org

        scicap_builder import scicap --root scicap_data --out paired --pair --papers-root bulk/ --workers 16
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
    if pair:
        build = BuildOptions(
            read=ReadOptions(route=route, ocr=ocr),
            workers=workers,
            engine=engine,
            address=address,
            paper_timeout_s=paper_timeout,
            paper_memory_gb=paper_memory,
            papers_per_shard=papers_per_shard,
        )
        pairing = PairOptions(build=build, papers_root=papers_root, fetch_missing=fetch_missing, unpaired=unpaired)
        fetch = FetchOptions(base_url=base_url, contact=contact, cache=cache)
        pair_and_tell(source, root, out, options, pairing, fetch=fetch, metadata=metadata)
        return
    if asked := _pairing_options(context):
        raise InputError(f"only for pairing: {', '.join(asked)}", next_step="Add --pair, or leave it out")
    with step_bar():
        done = import_source(source, root, out, options)
    Console().print(import_summary(done), soft_wrap=True)
    if not done.integrity.figures:
        raise InputError("no record was read", where=str(root), next_step="See the reasons above")


def _pairing_options(context: typer.Context) -> list[str]:
    """The options of the panel of --pair that stand in the command; one from the environment (--contact) is no wish to pair."""
    return [
        max(param.opts, key=len)
        for param in context.command.params
        if getattr(param, "rich_help_panel", None) == PAIRING["rich_help_panel"]
        and (source := context.get_parameter_source(str(param.name)))
        and source.name == "COMMANDLINE"
    ]


def download_command(
    name: Annotated[str, typer.Argument(help="A data set on the Hugging Face hub; docs/sources.md marks them.")],
    root: Annotated[Path, typer.Option(help="Folder for the files. Begun before: the download goes on.")],
    only: Annotated[
        list[str] | None, typer.Option(help="Files whose name matches (test*, *.json); may be given again.")
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="Name the files and their sizes; fetch nothing.")] = False,
    endpoint: Annotated[str | None, typer.Option(envvar="HF_ENDPOINT", help="Another hub: a mirror.")] = None,
) -> None:
    """Fetch the published files of a data set into a folder that `import` reads.

    A ledger in the folder has a line a file. Stopped or killed, the same command goes on, half a file too; what cannot be had is
    counted and asked for by the next run. For data sets with terms: accept them on their page and set HF_TOKEN.

    Examples:

        scicap_builder download slake --root slake

        scicap_builder download pmc-vqa --root pmc_vqa --only 'test*' --list
    """
    source = source_of(name)
    out = Console()
    if listing:
        _, files = listed(source, only or (), endpoint=endpoint)
        for file in files:
            out.print(Text(f"{file.size:>15,} bytes  {file.name}"), soft_wrap=True)
        return
    with step_bar():
        done = download(source, root, only or (), endpoint=endpoint)
    counts = "".join(f", {what} {count}" for what, count in done.counts.most_common())
    out.print(Text(f"{done.files} files of {source.hub}: {done.there} were there{counts}"), soft_wrap=True)
    if set(done.counts) - {SAVED}:
        raise typer.Exit(1)


def images_command(
    root: Annotated[Path, typer.Option(help="Folder with llava_med_image_urls.jsonl and the files that name images.")],
    archives: Annotated[int | None, typer.Option(min=1, help="Only so many archives in this run.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Ask again for images that were not found before.")] = False,
    contact: Annotated[
        str, typer.Option(envvar=CONTACT_VARIABLE, help="Your e-mail, told to the server with every request.")
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
    may_be_sent: Annotated[bool, typer.Option("--may-be-sent", help=MAY_BE_SENT)] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew where --out holds a data set.")] = False,
) -> None:
    """Keep the records that PA-LLaVA's cleaning keeps: 20 words or more, a pathology image, human.

    words: counted. pathology: a model looks at the image. human: a model reads the caption. What does not pass is in
    dropped.parquet with what the model said. Stopped, the same command goes on; nothing is asked twice.

    Examples:

        scicap_builder clean pairs --out pairs_clean --api http://localhost:8000/v1

        scicap_builder clean pairs --out pairs_long --steps words
    """
    refuse_leaks(folder, [api], may_be_sent=may_be_sent)
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
