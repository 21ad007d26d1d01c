"""A run's report: what the tables, the JSON, the picture and the page are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from smallfirst.datasets.example import Example
from smallfirst.errors import EvalError
from smallfirst.evals.claim import Claim, claims
from smallfirst.evals.columns import Table, joined, table_of
from smallfirst.evals.comparison import ArmReport, Difference, arm_reports, difference, differences, with_holm
from smallfirst.evals.runner import Run
from smallfirst.evals.slices import SliceReport, slices
from smallfirst.evals.store import Manifest
from smallfirst.scoring.scorer import Scorer


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """`reference` is the arm that the others are compared with: the frontier where it is there, else the first. `compared` counts the
    examples that every arm has answered; all figures are of these."""

    run: str
    manifest: Manifest
    reference: str
    compared: int
    left_out: int
    stopped: str
    arms: list[ArmReport]
    differences: list[Difference]
    claims: list[Claim]  # what may be said of each arm beside the reference arm
    slices: list[SliceReport]
    spent_usd: (
        float | None
    )  # on answers and judging, this run's sessions together; None where a price is unknown

    @property
    def simulated(self) -> list[str]:
        """The models that only pretend, of all arms."""
        return sorted({name for arm in self.arms for name in arm.simulated})

    def figures(self) -> dict[str, Any]:
        """The report as JSON has it."""
        told = msgspec.to_builtins(self)
        told["simulated"] = self.simulated
        return told


def run_report(
    name: str, run: Run, examples: Sequence[Example], *, scorer: Scorer | None, fields: Sequence[str] = ()
) -> RunReport:
    """The report of a run, finished or not. `fields`: by which it is sliced; empty: by all."""
    table = table_of(run, examples)
    names = [column.name for column in table.columns]
    reference = run.manifest.reference if run.manifest.reference in names else names[0]
    return RunReport(
        run=name,
        manifest=run.manifest,
        reference=reference,
        compared=len(table.examples),
        left_out=table.left_out,
        stopped=run.stopped,
        arms=arm_reports(table, scorer, reference=reference),
        differences=differences(table, reference=reference),
        claims=claims(table, run.manifest, reference=reference),
        slices=slices(table, reference=reference, fields=fields or run.manifest.slices)
        if table.examples
        else [],
        spent_usd=_spent_usd(run),
    )


class RunsCompared(msgspec.Struct, frozen=True, kw_only=True):
    """Two runs on the examples that both have answered: each arm of `two` beside the arm of `one` that has its name, or all pairs where
    no name is in both."""

    one: str
    two: str
    compared: int
    only_one: int  # examples that only one of them has
    only_two: int
    scorers: tuple[str, str]
    arms: list[ArmReport]
    differences: list[Difference]


def compare_runs(
    one: tuple[str, Run, Sequence[Example]],
    two: tuple[str, Run, Sequence[Example]],
    *,
    scorer: Scorer | None = None,
) -> RunsCompared:
    """How two runs differ. Raises `EvalError` where they are of other tasks, share no example, or ask other questions under one name."""
    (first, run_one, examples_one), (second, run_two, examples_two) = one, two
    if run_one.manifest.task != run_two.manifest.task:
        raise EvalError(
            f"{first} is of task {run_one.manifest.task!r} and {second} of {run_two.manifest.task!r}: nothing to compare"
        )
    shared = _shared(examples_one, examples_two)
    table = joined([(first, run_one), (second, run_two)], shared)
    if not table.examples:
        raise EvalError(f"{first} and {second} have no answered example in common")
    pairs = _pairs(table, first, second, run_one, run_two)
    return RunsCompared(
        one=first,
        two=second,
        compared=len(table.examples),
        only_one=len(examples_one) - len(table.examples),
        only_two=len(examples_two) - len(table.examples),
        scorers=(run_one.manifest.scorer, run_two.manifest.scorer),
        arms=arm_reports(table, scorer, reference=table.columns[0].name),
        differences=with_holm(pairs),
    )


def _shared(one: Sequence[Example], two: Sequence[Example]) -> list[Example]:
    others = {example.id: example for example in two}
    shared = [example for example in one if example.id in others]
    for example in shared:
        other = others[example.id]
        if example.messages != other.messages or example.reference != other.reference:
            raise EvalError(
                f"example {example.id} asks or wants something else in the other run: these runs are not of the same examples"
            )
    return shared


def _pairs(table: Table, first: str, second: str, one: Run, two: Run) -> list[Difference]:
    names = [(a.name, b.name) for a in one.manifest.arms for b in two.manifest.arms if a.name == b.name]
    names = names or [(a.name, b.name) for a in one.manifest.arms for b in two.manifest.arms]
    found = []
    for old, new in names:
        before, after = table.column(f"{first}:{old}"), table.column(f"{second}:{new}")
        assert before is not None
        assert after is not None
        found.append(difference(after, before, table.groups))
    return found


def _spent_usd(run: Run) -> float | None:
    spent = [answer.total_nusd for answer in run.answers.values()]
    return None if None in spent else sum(nusd or 0 for nusd in spent) / 1e9
