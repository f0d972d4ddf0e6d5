"""`--help` without boxes: names of options are never cut, however narrow the terminal, and examples can be copied."""

import re
from typing import Any

import typer
from typer.core import TyperCommand, TyperOption

WIDEST = 110
"""Columns; longer lines are hard to read."""
OTHERS = "Options"


class PlainHelp(TyperCommand):
    """A command whose help is text: options in two columns under the titles of their panels, a long name on its own line."""

    def __init__(self, *args: Any, context_settings: dict[str, Any] | None = None, **options: Any) -> None:
        settings = {"max_content_width": WIDEST, **(context_settings or {})}
        super().__init__(*args, context_settings=settings, **{**options, "rich_markup_mode": None})
        # \b keeps a paragraph's lines as they are.
        self.help = re.sub(r"\n\n(?= {4,}\S)", "\n\n\b\n", re.sub(r"\n[ \t]+\n", "\n\n", self.help or ""))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then the options panel by panel."""
        rows: dict[str, list[tuple[str, str]]] = {"Arguments": [], OTHERS: []}
        for param in self.get_params(ctx):
            if record := param.get_help_record(ctx):
                panel = getattr(param, "rich_help_panel", None) or OTHERS
                rows.setdefault(panel if isinstance(param, TyperOption) else "Arguments", []).append(record)
        for title, records in rows.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def with_plain_help(app: typer.Typer) -> typer.Typer:
    """The app, its commands and those of its groups with such a help."""
    for command in app.registered_commands:
        command.cls = PlainHelp
    for group in app.registered_groups:
        if group.typer_instance is not None:
            with_plain_help(group.typer_instance)
    return app
