"""`llava-graph`: explain figures on the terminal, chat about one, make reports; evaluate, build and convert models."""

import typer

from llava_graph.command import run
from llava_graph.commands.chat import chat_command
from llava_graph.commands.evaluate import evaluate_command
from llava_graph.commands.examples import examples_command
from llava_graph.commands.explain import explain_command, report_command
from llava_graph.commands.export_task import export_task_command
from llava_graph.commands.judge import judge_command
from llava_graph.commands.memory import memory_command
from llava_graph.commands.quantize import quantize_command
from llava_graph.model.assemble import assemble_command
from llava_graph.model.build import build_command
from llava_graph.model.legacy.command import convert_command

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Explain scientific figures.", rich_markup_mode="rich"
)
app.command("explain")(explain_command)
app.command("chat")(chat_command)
app.command("report")(report_command)
app.command("evaluate")(evaluate_command)
app.command("judge")(judge_command)
app.command("export-task")(export_task_command)
app.command("examples")(examples_command)
model_app = typer.Typer(no_args_is_help=True, help="Make models.")
model_app.command("build")(build_command)
model_app.command("assemble")(assemble_command)
app.add_typer(model_app, name="model")
app.command("convert")(convert_command)
app.command("quantize")(quantize_command)
app.command("memory")(memory_command)


def main() -> None:
    """Entry point of the console script."""
    run(app)
