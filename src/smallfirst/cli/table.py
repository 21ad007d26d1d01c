"""The tables that commands print: readable in eighty columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import typer
from rich import box, table
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text


class Table(table.Table):
    """Rich's table with a rule below its heads alone, so that eighty columns hold more; what is too long for its column goes on
    in the next line and is never cut, and a column without a word in it is left out.
    """

    def __init__(self, *heads: table.Column | str, **settings: Any) -> None:
        plain = {
            "box": box.SIMPLE_HEAD,
            "show_edge": False,
            "padding": (0, 1, 0, 0),
            "pad_edge": False,
            "title_justify": "left",
            "title_style": "bold",
        }
        super().__init__(*heads, **(plain | settings))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        told = [column for column in self.columns if not self.rows or any(map(str, column.cells))]
        self.columns = [
            dataclasses.replace(column, overflow="fold", _index=index) for index, column in enumerate(told)
        ]
        if self.title:
            yield Text()
        yield from super().__rich_console__(console, options)


def print_list(listed: Table, *, none: str) -> None:
    """Prints a list; where nothing is in it, says so on stderr."""
    if listed.rows:
        Console().print(listed)
    else:
        Console(stderr=True, highlight=False).print(none)


def print_unread(reasons: Sequence[str]) -> None:
    """Says on stderr of each that is in no list why it is not."""
    for why in reasons:
        typer.echo(f"not listed: {why}", err=True)
