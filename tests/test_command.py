import re
import tomllib
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from llava_graph.cli import app as llava_graph_app
from llava_graph.command import run
from llava_graph.errors import EXTRA_OF, InputError
from llava_graph.plain_help import with_plain_help
from serve.cli import app as serve_app


def app_that_raises(error: BaseException) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    def go() -> None:
        raise error

    return app


def test_an_error_of_ours_is_one_line_and_exit_2(capsys):
    with pytest.raises(SystemExit) as caught:
        run(app_that_raises(InputError("bad\nvalue [s]", where="a.txt", next_step="Mend it")), [])
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: a.txt: bad value [s]. Mend it\n"


def test_ctrl_c_is_130():
    with pytest.raises(SystemExit) as caught:
        run(app_that_raises(KeyboardInterrupt()), [])
    assert caught.value.code == 130


def test_a_missing_extra_is_named_and_another_module_is_a_bug(capsys):
    with pytest.raises(SystemExit) as caught:
        run(app_that_raises(ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")), [])
    assert caught.value.code == 2
    assert "needs the package 'torch'. pip install 'llava-graph[model]'" in capsys.readouterr().err
    with pytest.raises(ModuleNotFoundError):
        run(app_that_raises(ModuleNotFoundError("No module named 'ours'", name="ours")), [])


def test_every_package_of_an_extra_that_we_name_is_in_that_extra():
    project = tomllib.loads((Path(__file__).resolve().parent.parent / "pyproject.toml").read_text())["project"]
    for package, extra in EXTRA_OF.items():
        wanted = " ".join(project["optional-dependencies"][extra])
        # Starlette comes with FastAPI, others are imported by another name, - in a name as _.
        named = {"starlette": "fastapi", "yaml": "pyyaml", "skimage": "scikit-image", "sklearn": "scikit-learn"}
        assert named.get(package, package).replace("_", "-") in wanted


def test_other_errors_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run(app_that_raises(ZeroDivisionError()), [])


def commands_of(app: typer.Typer, *path: str):
    for name, command in getattr(typer.main.get_command(with_plain_help(app)), "commands", {}).items():
        yield (*path, name), command


@pytest.mark.parametrize("app", [llava_graph_app, serve_app], ids=["llava-graph", "llava-graph-serve"])
def test_in_a_narrow_terminal_help_names_every_option_whole(app):
    for path, command in commands_of(app):
        shown = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "80", "NO_COLOR": "1"}, terminal_width=80)
        assert shown.exit_code == 0, shown.output
        words = set(re.split(r"[\s,;\]]+", shown.output))
        for param in command.params:
            if param.param_type_name == "option" and not param.hidden:
                assert {*param.opts, *param.secondary_opts} <= words
                assert param.envvar is None or param.envvar in words
