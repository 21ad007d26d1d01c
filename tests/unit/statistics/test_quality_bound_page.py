"""The page's table of needed examples is what the code computes."""

import re
from pathlib import Path

import pytest

from smallfirst.statistics import betting, binomial

PAGE = (Path(__file__).parents[3] / "docs" / "quality-bound.md").read_text("utf-8")
ROWS = [
    (int(margin) / 100, [int(cell.replace(",", "")) for cell in cells.split("|")])
    for margin, cells in re.findall(r"^\| (\d+) % \| ([\d,| ]+) \|$", PAGE, re.MULTILINE)
]


def mixed(worse: int, better: int) -> list[float]:
    return [1.0] * worse + [-1.0] * better + [0.0] * (1000 - worse - better)


def test_every_margin_has_its_row() -> None:
    assert [margin for margin, _ in ROWS] == [0.01, 0.02, 0.05, 0.1]


@pytest.mark.parametrize(("margin", "cells"), ROWS)
def test_the_table_is_computed(margin: float, cells: list[int]) -> None:
    mixes = [mixed(10 * percent, 10 * percent) for percent in (0, 1, 2, 5)]
    mixes.append(mixed(round(margin * 500), 0))
    assert cells == [betting.examples_needed(losses, margin, expected=losses) for losses in mixes]
    assert cells[0] == binomial.examples_needed(0, 1, margin=margin)
