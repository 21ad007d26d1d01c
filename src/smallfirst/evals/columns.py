"""A run's answers as columns: one number an example, in the examples' order, for every arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smallfirst.datasets.example import Example
from smallfirst.evals.runner import Run
from smallfirst.evals.store import Answered, ArmTold

Numbers = NDArray[np.float64]
Answers = Mapping[tuple[str, str], Answered]


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One arm's answers to the examples that every arm has answered; `arm.name` is unique among the columns that are compared."""

    arm: ArmTold
    answers: tuple[Answered, ...]

    @property
    def name(self) -> str:
        return self.arm.name

    @property
    def scores(self) -> Numbers:
        return np.array([answer.score or 0.0 for answer in self.answers])

    @property
    def costs_usd(self) -> Numbers | None:
        """What each answer cost; None as soon as one of the prices is unknown."""
        costs = [answer.cost_nusd for answer in self.answers]
        return None if None in costs else np.array(costs, np.float64) / 1e9

    @property
    def latencies_ms(self) -> Numbers:
        """Of the answers that came; NaN where none did."""
        return np.array([np.nan if answer.error else answer.latency_ms for answer in self.answers])

    @property
    def ttft_ms(self) -> Numbers:
        """Until the first byte of what was released."""
        return np.array(
            [np.nan if answer.error or answer.ttft_ms is None else answer.ttft_ms for answer in self.answers]
        )


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """The examples that every arm has answered and that have a score each, and the answers; `left_out` counts the others."""

    examples: tuple[Example, ...]
    columns: tuple[Column, ...]
    left_out: int = 0

    @property
    def groups(self) -> list[str]:
        """What is not independent inside: an example's group, or itself."""
        return [example.group for example in self.examples]

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)


def table_of(run: Run, examples: Sequence[Example]) -> Table:
    """The answers of a run, whole rows only: what is compared is compared on the same examples."""
    return _table(examples, [(arm, run.answers, arm.name) for arm in run.manifest.arms])


def joined(runs: Sequence[tuple[str, Run]], examples: Sequence[Example]) -> Table:
    """The answers of several runs side by side, on the examples that all have answered; arms are named `RUN:ARM`."""
    return _table(
        examples,
        [
            (msgspec.structs.replace(arm, name=f"{name}:{arm.name}"), run.answers, arm.name)
            for name, run in runs
            for arm in run.manifest.arms
        ],
    )


def _table(examples: Sequence[Example], arms: Sequence[tuple[ArmTold, Answers, str]]) -> Table:
    kept: list[Example] = []
    rows: list[list[Answered]] = []
    for example in examples:
        row = [answers.get((name, example.id)) for _, answers, name in arms]
        whole = [answer for answer in row if answer is not None and answer.score is not None]
        if len(whole) == len(arms):
            kept.append(example)
            rows.append(whole)
    columns = tuple(
        Column(arm=arm, answers=tuple(row[at] for row in rows)) for at, (arm, _, _) in enumerate(arms)
    )
    return Table(examples=tuple(kept), columns=columns, left_out=len(examples) - len(kept))
