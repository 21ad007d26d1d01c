"""The tables that commands print, in eighty columns."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Column

from smallfirst.cli.table import Table, print_list


def printed(table: Table, width: int = 80) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_what_is_too_long_goes_on_in_the_next_line_and_is_not_cut() -> None:
    table = Table(Column("id", no_wrap=True), "task", "note")
    table.add_row("0123456789ab", "a-task-with-a-long-name", "why it was made, in some words")
    lines = printed(table, width=40)
    assert max(map(len, lines)) <= 40
    assert lines[2].startswith("0123456789ab")
    assert "…" not in "".join(lines)
    assert "".join(line[14:26].strip() for line in lines[2:]).startswith("a-task-with-a-long-name")


def test_a_column_without_a_word_in_it_is_left_out() -> None:
    table = Table("name", "empty", "")
    table.add_row("a", "", "x")
    assert printed(table)[0].split() == ["name"]
    assert printed(table)[-1].split() == ["a", "x"]
    assert printed(table)[-1].split() == ["a", "x"], "printed twice, the same"


def test_heads_without_rows_are_all_shown() -> None:
    assert printed(Table("name", "note"))[0].split() == ["name", "note"]


def test_an_empty_list_says_so_on_stderr(capsys) -> None:
    print_list(Table("name"), none="nothing yet")
    assert capsys.readouterr() == ("", "nothing yet\n")
