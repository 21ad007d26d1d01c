"""What the same calls would have cost on the frontier model alone, with an interval, or in words why that
cannot be said.

Where the frontier answered, its own recorded cost is taken. For the others its cost is estimated by the ratio
of its cost to the bytes of the request, from the calls that it did answer in the same task and span (Cochran,
Sampling Techniques, 1977, ch. 6). Nothing is assumed about tokens being equal between models. The interval is
a prediction interval for the sum: it carries the uncertainty of the ratio and the scatter of single calls. It
does not carry the bias of *which* calls climb; that is said beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import NormalDist

import msgspec

from smallfirst.ledger.reports import FrontierSums

LEAST_ANSWERS = 30  # of the frontier, in a task, before its cost elsewhere is estimated
CONFIDENCE = 0.95
SELECTION = (
    "estimated from calls that the frontier answered; hard calls climb more often, "
    "so easy ones may cost less than this"
)


class TaskCounterfactual(msgspec.Struct, frozen=True, kw_only=True):
    """One task's answered calls of clients, as they were and on its frontier model alone. Unknown sums are
    None.

    `calls` are those compared: `asked_calls` that the frontier answered, at its recorded cost (`asked_nusd`),
    and `other_calls` that it did not, estimated at `other_nusd`. `uncompared_calls` have an unknown price and
    are in neither sum. `missing_answers` is how many more answers of the frontier an estimate needs.
    """

    task: str
    frontier: str
    simulated: bool
    calls: int
    asked_calls: int
    other_calls: int
    uncompared_calls: int
    paid_nusd: int
    asked_nusd: int
    other_nusd: int | None
    frontier_nusd: int | None
    low_nusd: int | None
    high_nusd: int | None
    variance: float = 0.0
    sample_calls: int = 0
    missing_answers: int = 0


class Counterfactual(msgspec.Struct, frozen=True, kw_only=True):
    """All tasks together: None where one of them is unknown. `selection` is the caveat that belongs to every
    estimate.
    """

    tasks: tuple[TaskCounterfactual, ...]
    calls: int
    paid_nusd: int
    frontier_nusd: int | None
    low_nusd: int | None
    high_nusd: int | None
    uncompared_calls: int
    simulated: bool
    confidence: float = CONFIDENCE
    selection: str = SELECTION


def counterfactual(sums: Iterable[FrontierSums]) -> Counterfactual:
    """The comparison of a span, from its hourly sums."""
    by_task: dict[str, list[FrontierSums]] = {}
    for row in sums:
        by_task.setdefault(row.task, []).append(row)
    tasks = tuple(_of_task(task, rows) for task, rows in sorted(by_task.items()))
    known = [task.frontier_nusd for task in tasks if task.frontier_nusd is not None]
    total = sum(known) if len(known) == len(tasks) else None
    half = _half_width(
        sum(task.variance for task in tasks),
        min((task.sample_calls for task in tasks if task.variance), default=0),
    )
    exact = sum(task.asked_nusd for task in tasks)
    return Counterfactual(
        tasks=tasks,
        calls=sum(task.calls for task in tasks),
        paid_nusd=sum(task.paid_nusd for task in tasks),
        frontier_nusd=total,
        low_nusd=None if total is None else max(exact, total - half),
        high_nusd=None if total is None else total + half,
        uncompared_calls=sum(task.uncompared_calls for task in tasks),
        simulated=any(task.simulated for task in tasks),
    )


def _of_task(task: str, rows: list[FrontierSums]) -> TaskCounterfactual:
    asked = [row for row in rows if row.model and row.calls]
    others = [row for row in rows if not row.model]
    reference = _reference(asked)
    other_calls, other_bytes = sum(row.calls for row in others), sum(row.bytes for row in others)
    asked_nusd = sum(row.frontier_nusd for row in asked)
    sample = sum(row.calls for row in reference)
    enough = sample >= LEAST_ANSWERS
    other, variance = (
        (0, 0.0)
        if other_calls == 0
        else _estimate(reference, other_calls, other_bytes)
        if enough
        else (None, 0.0)
    )
    half = _half_width(variance, sample)
    total = None if other is None else asked_nusd + other
    return TaskCounterfactual(
        task=task,
        frontier=reference[0].model if reference else "",
        simulated=any(row.simulated for row in rows),
        calls=sum(row.calls for row in rows),
        asked_calls=sum(row.calls for row in asked),
        other_calls=other_calls,
        uncompared_calls=sum(row.unknown_calls for row in rows),
        paid_nusd=sum(row.paid_nusd for row in rows),
        asked_nusd=asked_nusd,
        other_nusd=other,
        frontier_nusd=total,
        low_nusd=None if total is None else max(asked_nusd, total - half),
        high_nusd=None if total is None else total + half,
        variance=variance,
        sample_calls=sample,
        missing_answers=0 if enough or other_calls == 0 else LEAST_ANSWERS - sample,
    )


def _reference(asked: list[FrontierSums]) -> list[FrontierSums]:
    """The answers of the task's latest frontier model: a task that has changed its frontier is compared with
    the present one.
    """
    if not asked:
        return []
    latest = max(asked, key=lambda row: (row.last_hour, row.calls)).model
    return [row for row in asked if row.model == latest]


def _estimate(reference: list[FrontierSums], calls: int, size: int) -> tuple[int | None, float]:
    """What `calls` of `size` bytes together would cost, and the variance of that prediction.

    With the ratio r = Σcost / Σbytes and s² the variance of the residuals cost − r·bytes over n answers, the
    sum over m calls of B bytes is r·B, with variance m·s² (their own scatter) + (B / mean bytes)²·s²/n (the
    ratio's).
    """
    n = sum(row.calls for row in reference)
    bytes_, nusd = sum(row.bytes for row in reference), sum(row.frontier_nusd for row in reference)
    if bytes_ == 0:
        return None, 0.0
    ratio = nusd / bytes_
    bytes2, nusd2, cross = (
        sum(getattr(row, name) for row in reference) for name in ("bytes2", "nusd2", "cross")
    )
    residual = max(0.0, nusd2 - 2 * ratio * cross + ratio * ratio * bytes2) / (n - 1)
    mean = bytes_ / n
    return round(ratio * size), calls * residual + (size / mean) ** 2 * residual / n


def _half_width(variance: float, sample: int) -> int:
    """Half of the interval, rounded up; Student's quantile by Cornish and Fisher's expansion, good to 0.001
    from 30 answers on.
    """
    if variance <= 0 or sample < 2:
        return 0
    z, nu = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2), sample - 1
    t = z + (z**3 + z) / (4 * nu) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * nu * nu)
    return math.ceil(t * math.sqrt(variance))
