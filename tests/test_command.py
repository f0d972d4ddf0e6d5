import pytest
import typer

from llava_graph.command import run
from llava_graph.errors import InputError


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


def test_other_errors_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run(app_that_raises(ZeroDivisionError()), [])
