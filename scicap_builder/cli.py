"""`scicap_builder`: build a data set from papers or import a published one, look at it, export it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from llava_graph.command import complain, run, stderr
from llava_graph.errors import InputError
from llava_graph.prompt import STYLES, PromptOptions
from scicap_builder.charts.corpus import charts_command
from scicap_builder.dialogues.command import dialogues_command
from scicap_builder.exports import FORMATS, IMAGES, ExportOptions, export
from scicap_builder.fetch import DEFAULTS, FetchOptions
from scicap_builder.fetch.harvest import harvest
from scicap_builder.fetch.http import PoliteHttp
from scicap_builder.narratives.command import narratives_command
from scicap_builder.obtain import ROUTES
from scicap_builder.one_paper import DEFAULT_READING, ReadOptions
from scicap_builder.pipeline import DEFAULT_BUILD, BuildOptions
from scicap_builder.pipeline import build as build_data_set
from scicap_builder.report import DEFAULT_REPORT, ReportOptions, write_report
from scicap_builder.settings import ENGINES
from scicap_builder.sources.command import clean_command, download_command, images_command, import_command
from scicap_builder.tables.command import tables_command
from scicap_builder.terminal import (
    ProgressBar,
    chosen,
    export_summary,
    panel,
    paper_bar,
    report_summary,
    summary,
    this_command,
)

DEFAULT_OUT = Path("figures")
CONTACT_VARIABLE = "SCICAP_BUILDER_CONTACT"

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="From papers to a data set of figures: caption, text inside, and the paragraphs that cite them.",
)


@app.command()
def build(
    papers: Annotated[
        str,
        typer.Option(help="A list with an id or a path a line; a folder of papers or bulk tars; one paper, tar or id."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the data set. Begun before: the build goes on.")] = DEFAULT_OUT,
    route: Annotated[str, typer.Option(help=f"What is read: {', '.join(ROUTES)}.")] = DEFAULT_READING.route,
    workers: Annotated[int, typer.Option(min=1, help="Papers read at once, each in a process.")] = 1,
    engine: Annotated[str, typer.Option(help=f"Where they are read: {', '.join(ENGINES)}.")] = DEFAULT_BUILD.engine,
    address: Annotated[str, typer.Option(help="Ray cluster to join. Default: RAY_ADDRESS, else a Ray here.")] = "",
    dpi: Annotated[int, typer.Option(help="Pixels per inch of figures drawn from vectors.")] = DEFAULT_READING.dpi,
    ocr: Annotated[str, typer.Option(help="OCR engine by name, or none.")] = DEFAULT_READING.ocr,
    paper_timeout: Annotated[
        float, typer.Option(help="Seconds for one paper; a slower one is dropped.")
    ] = DEFAULT_BUILD.paper_timeout_s,
    paper_memory: Annotated[
        float, typer.Option(help="GiB for one paper; a hungrier one is dropped (Linux).")
    ] = DEFAULT_BUILD.paper_memory_gb,
    papers_per_shard: Annotated[
        int, typer.Option(min=1, help="Papers written at once; so much is read again after a kill.")
    ] = DEFAULT_BUILD.papers_per_shard,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew where --out holds a data set.")] = False,
    contact: Annotated[
        str, typer.Option(envvar=CONTACT_VARIABLE, help="Your e-mail, told to arXiv with every request.")
    ] = "",
    cache: Annotated[Path | None, typer.Option(help="Folder for downloads. Default: the user's cache folder.")] = None,
    metadata: Annotated[
        Path | None, typer.Option(help="arXiv's metadata: Kaggle's JSON lines, or what the command `metadata` wrote.")
    ] = None,
    html: Annotated[
        bool, typer.Option("--html", help="Fetch arXiv's HTML pages too; without it those in the cache are read.")
    ] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask arXiv again for what is in the cache.")] = False,
    base_url: Annotated[str, typer.Option(help="Another arXiv: a mirror of yours, a test server.")] = DEFAULTS.base_url,
) -> None:
    """Build a data set of figures from papers. Killed or stopped, the same command goes on where it was.

    A line is an arXiv id in any form (1706.03762, hep-th/9901001v2, arXiv:…, an abs/pdf/html address) \
    or the path of a PDF, an e-print (tar.gz, gz, .tex), a page (.html), or a folder of these. Blank lines and # comments pass.

    Examples:

        scicap_builder build --papers arxiv_ids.txt --out figures --contact me@example.org

        scicap_builder build --papers my_papers/ --out figures --workers 4

        scicap_builder build --papers paper.pdf --out figures --route pdf --ocr none

        scicap_builder build --papers bulk/ --metadata arxiv-metadata-oai-snapshot.json --out figures --workers 16

        scicap_builder build --papers arxiv_ids.txt --out figures --engine ray --address auto --workers 64
    """
    options = BuildOptions(
        read=ReadOptions(route=route, dpi=dpi, ocr=ocr),
        workers=workers,
        engine=engine,
        address=address,
        paper_timeout_s=paper_timeout,
        paper_memory_gb=paper_memory,
        papers_per_shard=papers_per_shard,
        overwrite=overwrite,
    )
    fetch = FetchOptions(base_url=base_url, contact=contact, cache=cache, refresh=refresh, html=html)
    with ProgressBar(stderr) as bar:
        result = build_data_set(papers, out, options, fetch=fetch, metadata=metadata, on_progress=bar)
    Console().print(summary(result, again=this_command()))
    if result.error:
        raise result.error
    if result.interrupted:
        raise typer.Exit(130)
    if not result.summary.figures:
        reasons = ", ".join(f"{reason} {count}" for reason, count in result.summary.dropped.items())
        raise InputError(f"no figure was read ({reasons or 'no paper'})", where=papers)


@app.command("metadata")
def metadata_command(
    out: Annotated[Path, typer.Argument(help="The file to write: JSON lines, as Kaggle's snapshot of arXiv.")],
    since: Annotated[str, typer.Option("--from", help="First day of change, 2017-06-01.")] = "",
    until: Annotated[str, typer.Option("--until", help="Last day of change.")] = "",
    subject: Annotated[str, typer.Option("--set", help="Part of arXiv: cs, math, physics:hep-th. Default: all.")] = "",
    contact: Annotated[
        str, typer.Option(envvar=CONTACT_VARIABLE, help="Your e-mail, told to arXiv with every request.")
    ] = "",
    base_url: Annotated[str, typer.Option(help="Another arXiv: a mirror of yours, a test server.")] = DEFAULTS.base_url,
) -> None:
    """Fetch titles, categories and licences of many papers from arXiv's catalogue (OAI-PMH), about a thousand a request.

    Give the file to `build --metadata`: no licence is then asked for paper by paper. Killed, the same command goes on.

    Examples:

        scicap_builder metadata cs.jsonl --set cs --from 2017-06-01 --until 2017-06-30 --contact me@example.org
    """
    with PoliteHttp(FetchOptions(base_url=base_url, contact=contact)) as http, stderr.status("asking arXiv") as status:
        count = harvest(
            http,
            out,
            since=since,
            until=until,
            subject=subject,
            on_page=lambda done: status.update(f"{done} papers"),
        )
    Console().print(f"{count} papers in {escape(str(out))}", soft_wrap=True)


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(help="A data set.")],
    count: Annotated[int, typer.Option("-n", min=1, help="So many records.")] = 5,
    id_: Annotated[str | None, typer.Option("--id", help="The record with this id, or all of this paper.")] = None,
    split: Annotated[str | None, typer.Option(help="Only train, validation or test.")] = None,
) -> None:
    """Show some records of a data set as a person reads them.

    Examples:

        scicap_builder show figures

        scicap_builder show figures -n 20 --split test

        scicap_builder show figures --id "arxiv:1706.03762v7#fig1"
    """
    console, seen = Console(), 0
    for figure in chosen(folder, count, id_, split):
        console.print(panel(figure))
        seen += 1
    if not seen:
        complain(f"{folder}: the data set holds no figure{f' in the split {split}' if split else ''}")
        raise typer.Exit(2)


@app.command("report")
def report_command(
    folder: Annotated[Path, typer.Argument(help="A data set.")],
    out: Annotated[Path, typer.Option(help="The HTML file. A report that is there is written anew.")] = Path(
        "report.html"
    ),
    papers: Annotated[
        int, typer.Option(min=1, help="So many papers are shown; totals are of all.")
    ] = DEFAULT_REPORT.papers,
    seed: Annotated[int, typer.Option(help="Draws the papers where there are more.")] = DEFAULT_REPORT.seed,
    pdfs: Annotated[Path | None, typer.Option(help="Folder of the papers' PDFs: their pages are drawn, too.")] = None,
) -> None:
    """Write one HTML page that shows a data set: totals with plots; pages, figures, paragraphs and drops of some papers.

    The page needs nothing else: no network, no other file. It holds pictures of the papers: mind their licences.

    Examples:

        scicap_builder report figures

        scicap_builder report figures --pdfs my_papers/ --out look.html

        scicap_builder report figures --papers 100 --seed 7
    """
    with paper_bar(stderr) as on_paper:
        done = write_report(folder, out, ReportOptions(papers=papers, seed=seed, pdfs=pdfs), on_paper=on_paper)
    Console().print(report_summary(done), soft_wrap=True)


@app.command("export")
def export_command(
    folder: Annotated[Path, typer.Argument(help="A data set.")],
    out: Annotated[Path, typer.Argument(help="A file for jsonl, a new folder for the others.")],
    form: Annotated[str, typer.Option("--format", help=f"One of: {', '.join(FORMATS)}.")],
    images: Annotated[str, typer.Option(help=f"Pictures to write: {', '.join(IMAGES)}.")] = "all",
    pdfs: Annotated[Path | None, typer.Option(help="Folder of the papers' PDFs; pdffigures2 needs it.")] = None,
    prompt: Annotated[str, typer.Option(help=f"llava-json: {', '.join(STYLES)} (the historic one).")] = STYLES[0],
    ocr: Annotated[
        bool, typer.Option("--ocr/--no-ocr", help="llava-json: the text in the figure in the prompt.")
    ] = True,
) -> None:
    """Write a data set in a layout that other tools read.

    jsonl: one figure a line, without pixels. llava-json: LLaVA conversations (train.json, …) and an images folder.
    imagefolder: pictures and metadata.jsonl, as datasets.load_dataset("imagefolder") reads them.
    scicap, scicap-challenge: the layouts of SciCap and of the SciCap Challenge. pdffigures2: its JSON and pictures.

    Examples:

        scicap_builder export figures --format jsonl figures.jsonl

        scicap_builder export figures --format llava-json llava/ --prompt llava_graph

        scicap_builder export figures --format scicap scicap/ --images redistributable

        scicap_builder export figures --format pdffigures2 pdffigures2/ --pdfs my_papers/
    """
    shown = PromptOptions(style=prompt, ocr=ocr)
    done = export(folder, out, form, ExportOptions(prompt=shown, images=images, pdfs=pdfs))
    Console().print(export_summary(done), soft_wrap=True)


app.command("charts")(charts_command)
app.command("import")(import_command)
app.command("download")(download_command)
app.command("images")(images_command)
app.command("clean")(clean_command)
app.command("narratives")(narratives_command)
app.command("dialogues")(dialogues_command)
app.command("tables")(tables_command)


def main() -> None:
    """Entry point of the console script."""
    run(app)


if __name__ == "__main__":
    main()
