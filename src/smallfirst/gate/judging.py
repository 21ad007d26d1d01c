"""From paired scores to what was found: the gate's rule, applied. Pure.

A task passes when its candidate is shown to lose less than the margin against each comparator, in each declared slice with enough rows
too, and keeps its budgets. All must hold, so none needs a correction (intersection–union). What nobody declared is looked at as well,
with Holm's correction, and alerts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from smallfirst.releases.verdict import Against, Alert, Budget, Comparison, Finding
from smallfirst.statistics import betting, holm, noninferiority, paired, power
from smallfirst.statistics.noninferiority import Sample, sample_of

BUDGET_CONFIDENCE = 0.95  # one-sided
ALERT_ALPHA = 0.05
LEAST_ALERT_ROWS = 20  # of a slice that nobody declared
_SAME = 1e-9  # ratios that differ by less are the same: sums of equal numbers in another order


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers by which one task is judged at one read. `alpha` is what this read spends."""

    margin: float
    alpha: float
    power: float = 0.9
    next_alpha: float = 0.05  # what the next read would spend
    slices: tuple[str, ...] = ()
    slice_margin: float | None = None
    min_slice_rows: int = 200
    cost_ratio_max: float | None = None
    latency_ratio_max: float | None = None
    cache_error: float = 0.0  # what the candidate's cache may answer wrongly, of all calls
    cache_error_max: float | None = None

    @property
    def margin_in_slices(self) -> float:
        return self.margin if self.slice_margin is None else self.slice_margin


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the examples beside their answers: one group and one set of slices each, in one order."""

    groups: Sequence[str]
    slices: Sequence[Mapping[str, str]]


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """One arm's answers to these examples. `costs` are in nano-dollars, None where unknown; `latencies` in milliseconds."""

    scores: Sequence[float]
    costs: Sequence[int | None]
    latencies: Sequence[float]


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """All that was found for one task."""

    finding: Finding
    comparisons: tuple[Comparison, ...]
    budgets: tuple[Budget, ...]
    alerts: tuple[Alert, ...]
    notes: tuple[str, ...] = ()


def judge(
    rows: Rows,
    candidate: Answers,
    others: Mapping[Against, Answers],
    rule: Rule,
    *,
    expected: Mapping[Against, Sample] | None = None,
) -> Judgement:
    """Judges a candidate beside each comparator. `expected` are losses on other examples (calibration), which only aim the test.

    Budgets are held against what is live, or against the frontier where that is what is live.
    """
    expected = expected or {}
    comparisons, notes = [], []
    for against, other in others.items():
        losses = np.asarray(other.scores) - np.asarray(candidate.scores)
        aim = expected.get(against)
        whole = np.ones(losses.size, dtype=bool)
        comparisons.append(_compare(rows, (candidate, other), whole, rule, against=against, aim=aim))
        for name, chosen in _declared(rows, rule.slices):
            if int(chosen.sum()) >= rule.min_slice_rows:
                comparisons.append(
                    _compare(rows, (candidate, other), chosen, rule, against=against, aim=aim, name=name)
                )
            else:
                notes.append(
                    f"slice {name} has {int(chosen.sum())} rows, fewer than gate.min_slice_rows: not judged by itself"
                )
    live = others.get("live") or others["frontier"]
    budgets = _budgets(rows, candidate, live, rule)
    first = next(iter(others.values()))
    alerts = _alerts(rows, np.asarray(first.scores) - np.asarray(candidate.scores), rule.slices)
    return Judgement(
        finding=worst(item.finding for item in (*comparisons, *budgets)),
        comparisons=tuple(comparisons),
        budgets=tuple(budgets),
        alerts=tuple(alerts),
        notes=tuple(dict.fromkeys(notes)),
    )


def also(said: Judgement, more: Sequence[Comparison]) -> Judgement:
    """With these comparisons beside: all must hold."""
    finding = worst([said.finding, *(one.finding for one in more)])
    return msgspec.structs.replace(said, finding=finding, comparisons=(*said.comparisons, *more))


def worst(findings: Iterable[Finding]) -> Finding:
    """A fail is worse than too little evidence, which is worse than a pass."""
    found = set(findings)
    if "fail" in found:
        return "fail"
    return "not-enough-evidence" if "not-enough-evidence" in found else "pass"


def _compare(
    rows: Rows,
    sides: tuple[Answers, Answers],
    chosen: NDArray[np.bool_],
    rule: Rule,
    *,
    against: Against,
    aim: Sample | None,
    name: str = "",
) -> Comparison:
    """One comparison, on the chosen rows. A slice's test is aimed by the whole task's calibration: a slice's own is small."""
    mine, theirs = (np.asarray(side.scores, dtype=np.float64)[chosen] for side in sides)
    groups = [group for group, taken in zip(rows.groups, chosen, strict=True) if taken]
    margin = rule.margin_in_slices if name else rule.margin
    test = noninferiority.judge(theirs - mine, margin, groups=groups, alpha=rule.alpha, expected=aim)
    shown = paired.mean_difference(theirs, mine, groups=groups)
    finding: Finding = "pass" if test.shown else "fail" if test.refuted else "not-enough-evidence"
    needed = None
    if finding == "not-enough-evidence":
        # As far as was seen: a candidate that seems a little worse needs more than one that seems as good.
        needed = power.examples_needed(
            sample_of(theirs - mine, groups),
            margin,
            alpha=rule.next_alpha,
            power=rule.power,
            loss=max(0.0, test.loss),
        )
    return Comparison(
        against=against,
        finding=finding,
        examples=test.examples,
        groups=test.groups,
        score=float(mine.mean()),
        other_score=float(theirs.mean()),
        loss=test.loss,
        low=-1.0 if shown.low is None else shown.low,
        high=1.0 if shown.high is None else shown.high,
        bound=test.bound,
        margin=margin,
        alpha=rule.alpha,
        slice=name,
        examples_needed=needed,
    )


def _declared(rows: Rows, fields: Sequence[str]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Each value of each of these fields, and the rows that have it."""
    found = []
    for field in fields:
        values = [row.get(field, "") for row in rows.slices]
        found += [
            (f"{field}={value}", np.asarray([mine == value for mine in values]))
            for value in sorted({value for value in values if value})
        ]
    return found


def _budgets(rows: Rows, candidate: Answers, live: Answers, rule: Rule) -> list[Budget]:
    found = []
    if rule.cost_ratio_max is not None:
        found.append(_cost(rows, candidate.costs, live.costs, rule.cost_ratio_max))
    if rule.latency_ratio_max is not None:
        ratio = paired.quantile_ratio(
            candidate.latencies, live.latencies, 0.95, confidence=2 * BUDGET_CONFIDENCE - 1
        )
        found.append(_budget("latency_p95", ratio, rule.latency_ratio_max))
    cache = cache_budget(rule.cache_error, rule.cache_error_max)
    return found if cache is None else [*found, cache]


def cache_budget(error: float, limit: float | None) -> Budget | None:
    """What a cache may answer wrongly, beside its limit; None where there is no limit. It is a promise that is watched, not a measurement."""
    if limit is None:
        return None
    finding: Finding = "pass" if error <= limit else "fail"
    return Budget(of="cache_error", finding=finding, value=error, bound=error, limit=limit)


def _cost(rows: Rows, mine: Sequence[int | None], theirs: Sequence[int | None], limit: float) -> Budget:
    if None in mine or None in theirs:
        return Budget(of="cost", finding="not-enough-evidence", value=None, bound=None, limit=limit)
    ours, live = np.asarray(mine, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if live.sum() <= 0:  # what is live costs nothing: so must the candidate
        free = ours.sum() <= 0
        value = 1.0 if free else None
        return Budget(of="cost", finding="pass" if free else "fail", value=value, bound=value, limit=limit)
    ratio = paired.ratio_of_means(ours, live, groups=rows.groups, confidence=2 * BUDGET_CONFIDENCE - 1)
    return _budget("cost", ratio, limit)


def _budget(of: str, ratio: paired.Estimate, limit: float) -> Budget:
    """Passed where the ratio is shown to be within the limit, failed where it is shown to be beyond."""
    finding: Finding = "not-enough-evidence"
    if ratio.high is not None and ratio.high <= limit * (1 + _SAME):
        finding = "pass"
    elif ratio.low is not None and ratio.low > limit * (1 + _SAME):
        finding = "fail"
    return Budget(of=of, finding=finding, value=ratio.mean, bound=ratio.high, limit=limit)


def _alerts(rows: Rows, losses: NDArray[np.float64], declared: Sequence[str]) -> list[Alert]:
    """Slices that nobody declared and in which the candidate is worse, beyond what chance shows in so many."""
    fields = sorted({field for row in rows.slices for field in row} - set(declared))
    found: list[tuple[str, Any, float, float]] = []
    for name, chosen in _declared(rows, fields):
        if int(chosen.sum()) < LEAST_ALERT_ROWS:
            continue
        groups = [group for group, taken in zip(rows.groups, chosen, strict=True) if taken]
        sample = sample_of(-losses[chosen], groups)
        # "The mean gain is at least zero", refuted.
        p = noninferiority.p_value(sample, 0.0, stakes=betting.STAKES)
        found.append((name, int(chosen.sum()), float(losses[chosen].mean()), p))
    adjusted = holm.adjusted([p for *_, p in found])
    return [
        Alert(slice=name, examples=examples, loss=loss, p=float(p))
        for (name, examples, loss, _), p in zip(found, adjusted, strict=True)
        if p <= ALERT_ALPHA
    ]
