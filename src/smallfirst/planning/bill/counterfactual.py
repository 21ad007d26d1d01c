"""What the same calls would have cost on the frontier model alone, with an interval, or in words why that
cannot be said.

Where the frontier answered, its own recorded cost is taken. For the others its cost is estimated by the ratio
of its cost to the bytes of the request, from the calls that it did answer in the same task and span (Cochran,
Sampling Techniques, 1977, ch. 6). Nothing is assumed about tokens being equal between models. The interval is
a prediction interval for the sum: it carries the uncertainty of the ratio and the scatter of single calls. It
does not carry the bias of *which* calls climb; that is said beside it. What the cache gave again of the
frontier's answers is taken at what those had cost.

It is said twice: as the frontier was charged (`frontier_nusd`), and with every token of its prompts at its plain
price (`full_nusd`), which is what provider prompt caching is a saving from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist
from typing import NamedTuple

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
    `hit_calls` to which the cache gave such an answer again, at what it had cost (`hit_nusd`), and `other_calls`,
    estimated at `other_nusd`. `uncompared_calls` have an unknown price and are in neither sum. `missing_answers` is
    how many more answers of the frontier an estimate needs.

    `prompt_cache_saved_nusd` is what provider prompt caching saved on these calls, `cache_saved_nusd` what the cache's
    hits among them had cost first, but for `unknown_hits`, whose price is unknown.
    """

    task: str
    frontier: str
    simulated: bool
    calls: int
    asked_calls: int
    hit_calls: int
    other_calls: int
    uncompared_calls: int
    paid_nusd: int
    asked_nusd: int
    asked_full_nusd: int
    hit_nusd: int
    other_nusd: int | None
    frontier_nusd: int | None
    full_nusd: int | None
    low_nusd: int | None = None
    high_nusd: int | None = None
    full_low_nusd: int | None = None
    full_high_nusd: int | None = None
    prompt_cache_saved_nusd: int = 0
    cache_saved_nusd: int = 0
    unknown_hits: int = 0
    variance: float = 0.0
    full_variance: float = 0.0
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
    total, low, high = together(tasks, full=False)
    return Counterfactual(
        tasks=tasks,
        calls=sum(task.calls for task in tasks),
        paid_nusd=sum(task.paid_nusd for task in tasks),
        frontier_nusd=total,
        low_nusd=low,
        high_nusd=high,
        uncompared_calls=sum(task.uncompared_calls for task in tasks),
        simulated=any(task.simulated for task in tasks),
    )


def together(
    tasks: Sequence[TaskCounterfactual], *, full: bool
) -> tuple[int, int, int] | tuple[None, None, None]:
    """What these tasks' calls had cost on the frontier alone, and the interval; None where one of them is unknown.
    `full`: every token of its prompts at its plain price.
    """
    costs = [task.full_nusd if full else task.frontier_nusd for task in tasks]
    if None in costs:
        return None, None, None
    total = sum(cost for cost in costs if cost is not None)
    variance = sum(task.full_variance if full else task.variance for task in tasks)
    sample = min((task.sample_calls for task in tasks if task.other_calls), default=0)
    half = _half_width(variance, sample)
    estimated = sum(
        cost - _exact(task, full) for task, cost in zip(tasks, costs, strict=True) if cost is not None
    )
    return total, total - min(half, estimated), total + half


def _exact(task: TaskCounterfactual, full: bool) -> int:
    return (task.asked_full_nusd if full else task.asked_nusd) + task.hit_nusd


def _of_task(task: str, rows: list[FrontierSums]) -> TaskCounterfactual:
    asked = [row for row in rows if row.model and row.calls]
    others = [row for row in rows if not row.model]
    reference = _reference(asked)
    hit_calls, hit_nusd = _sum(others, "hit_calls"), _sum(others, "hit_nusd")
    other_calls, other_bytes = _sum(others, "calls") - hit_calls, _sum(others, "bytes")
    sample = _sum(reference, "calls")
    enough = sample >= LEAST_ANSWERS
    paid, full = (_estimate(reference, other_calls, other_bytes, names) for names in (_PAID, _FULL))
    if other_calls and not enough:
        paid = full = Estimate(None, 0.0)
    asked_nusd, asked_full_nusd = _sum(asked, "frontier_nusd"), _sum(asked, "full_nusd")
    known = TaskCounterfactual(
        task=task,
        frontier=reference[0].model if reference else "",
        simulated=any(row.simulated for row in rows),
        calls=_sum(rows, "calls"),
        asked_calls=_sum(asked, "calls"),
        hit_calls=hit_calls,
        other_calls=other_calls,
        uncompared_calls=_sum(rows, "unknown_calls"),
        paid_nusd=_sum(rows, "paid_nusd"),
        asked_nusd=asked_nusd,
        asked_full_nusd=asked_full_nusd,
        hit_nusd=hit_nusd,
        other_nusd=paid.nusd,
        frontier_nusd=None if paid.nusd is None else asked_nusd + hit_nusd + paid.nusd,
        full_nusd=None if full.nusd is None else asked_full_nusd + hit_nusd + full.nusd,
        prompt_cache_saved_nusd=_sum(rows, "prompt_cache_saved_nusd"),
        cache_saved_nusd=_sum(rows, "cache_saved_nusd"),
        unknown_hits=_sum(rows, "unknown_hits"),
        variance=paid.variance,
        full_variance=full.variance,
        sample_calls=sample,
        missing_answers=0 if enough or other_calls == 0 else LEAST_ANSWERS - sample,
    )
    _, low, high = together([known], full=False)
    _, full_low, full_high = together([known], full=True)
    return msgspec.structs.replace(
        known, low_nusd=low, high_nusd=high, full_low_nusd=full_low, full_high_nusd=full_high
    )


def _sum(rows: list[FrontierSums], name: str) -> int:
    return sum(getattr(row, name) for row in rows)


def _reference(asked: list[FrontierSums]) -> list[FrontierSums]:
    """The answers of the task's latest frontier model: a task that has changed its frontier is compared with
    the present one.
    """
    if not asked:
        return []
    latest = max(asked, key=lambda row: (row.last_hour, row.calls)).model
    return [row for row in asked if row.model == latest]


class Estimate(NamedTuple):
    """What calls would have cost, None where it is unknown, and the variance of that."""

    nusd: int | None
    variance: float


_PAID = ("frontier_nusd", "nusd2", "cross")
_FULL = ("full_nusd", "full2", "full_cross")


def _estimate(reference: list[FrontierSums], calls: int, size: int, names: tuple[str, str, str]) -> Estimate:
    """What `calls` of `size` bytes together would cost, by the sums of that `names`: of cost, its squares, and its
    products with bytes.

    With the ratio r = Σcost / Σbytes and s² the variance of the residuals cost − r·bytes over n answers, the
    sum over m calls of B bytes is r·B, with variance m·s² (their own scatter) + (B / mean bytes)²·s²/n (the
    ratio's).
    """
    if calls == 0:
        return Estimate(0, 0.0)
    n, bytes_ = _sum(reference, "calls"), _sum(reference, "bytes")
    if bytes_ == 0 or n < 2:
        return Estimate(None, 0.0)
    nusd, nusd2, cross = (sum(getattr(row, name) for row in reference) for name in names)
    ratio = nusd / bytes_
    bytes2 = sum(row.bytes2 for row in reference)
    residual = max(0.0, nusd2 - 2 * ratio * cross + ratio * ratio * bytes2) / (n - 1)
    mean = bytes_ / n
    return Estimate(round(ratio * size), calls * residual + (size / mean) ** 2 * residual / n)


def _half_width(variance: float, sample: int) -> int:
    """Half of the interval, rounded up; Student's quantile by Cornish and Fisher's expansion, good to 0.001
    from 30 answers on.
    """
    if variance <= 0 or sample < 2:
        return 0
    z, nu = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2), sample - 1
    t = z + (z**3 + z) / (4 * nu) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * nu * nu)
    return math.ceil(t * math.sqrt(variance))
