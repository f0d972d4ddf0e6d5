"""`python -m scicap_builder.charts`: the command `scicap_builder charts` alone, without what reading papers needs."""

import typer

from scicap_builder.charts.corpus import charts_command

if __name__ == "__main__":
    typer.run(charts_command)
