"""What a run found: for every arm its quality, cost and latency with intervals, and how arms differ on the same examples.

Errors are cluster-robust: examples of one group (a conversation, a user) count as one observation (Miller, "Adding error bars to evals",
2024, https://arxiv.org/abs/2411.00640). Differences are paired by example.
"""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from statistics import NormalDist
from typing import Any

import msgspec
import numpy as np

from smallfirst.evals.columns import Column, Numbers, Table
from smallfirst.scoring.scorer import Scorer
from smallfirst.statistics import holm, paired
from smallfirst.statistics.paired import Estimate

_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_PER = 1000


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds by quantile, and over the reference arm's quantile on the same examples; no ratio for that arm itself."""

    ms: dict[str, Estimate]
    ratio: dict[str, Estimate] = {}


class ArmReport(msgspec.Struct, frozen=True, kw_only=True):
    """One arm. `cost_usd_per_1000` is None where a price is unknown. `rungs`: the share of answers that each model gave."""

    name: str
    models: tuple[str, ...]
    simulated: tuple[str, ...]
    release: str
    answers: int
    score: Estimate
    figures: dict[str, float]  # the scorer's summary, such as macro_f1
    cost_usd_per_1000: Estimate | None
    judge_usd: float | None
    latency: Latency
    ttft: Latency
    streamed: bool  # whether first bytes come before last ones
    rungs: dict[str, float]
    unmet: float  # share of answers that do not keep the contract
    errors: float  # share of examples without an answer


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """score(one) − score(other), paired. `p` is two-sided, `p_holm` the same after Holm's correction over all pairs of the report."""

    one: str
    other: str
    score: Estimate
    p: float
    p_holm: float = 1.0
    better: int  # examples on which `one` scores higher
    worse: int
    cost_ratio: Estimate | None = None  # mean cost of `one` over that of `other`


def arm_reports(table: Table, scorer: Scorer | None, *, reference: str) -> list[ArmReport]:
    """Every arm on the rows that all have answered. `reference`: the arm that latencies are compared with."""
    other = table.column(reference)
    return [
        _arm(column, table, scorer, None if column.name == reference else other) for column in table.columns
    ]


def differences(table: Table, *, reference: str) -> list[Difference]:
    """All pairs of arms: each minus the reference arm, and each other pair the earlier minus the later."""
    ranked = sorted(
        table.columns, key=lambda column: column.name == reference
    )  # stable: the reference arm last
    found = [difference(one, other, table.groups) for one, other in combinations(ranked, 2) if table.examples]
    return with_holm(found)


def difference(one: Column, other: Column, groups: list[str]) -> Difference:
    """How two arms differ on the same rows."""
    estimate = paired.mean_difference(one.scores, other.scores, groups=groups)
    costs, others = one.costs_usd, other.costs_usd
    ratio = None
    if costs is not None and others is not None and others.sum() > 0:
        ratio = paired.ratio_of_means(costs, others, groups=groups)
    gaps = one.scores - other.scores
    return Difference(
        one=one.name,
        other=other.name,
        score=estimate,
        p=p_value(estimate),
        better=int((gaps > 0).sum()),
        worse=int((gaps < 0).sum()),
        cost_ratio=ratio,
    )


def with_holm(found: list[Difference]) -> list[Difference]:
    """The same differences with their p-values corrected for how many they are."""
    corrected = holm.adjusted([one.p for one in found]) if found else []
    return [msgspec.structs.replace(one, p_holm=float(p)) for one, p in zip(found, corrected, strict=True)]


def p_value(estimate: Estimate) -> float:
    """Two-sided, of no difference; 1 where there is too little to tell. Without any scatter: as often as so many groups agree by chance."""
    if estimate.mean is None or estimate.se is None or estimate.mean == 0:
        return 1.0
    if estimate.se == 0:
        return min(1.0, 2.0 ** (1 - estimate.groups))
    t = abs(estimate.mean) / estimate.se
    if estimate.groups > 1000:
        return float(2 * (1 - NormalDist().cdf(t)))
    from scipy import stats

    law: Any = stats.t
    return float(2 * law.sf(t, estimate.groups - 1))


def _arm(column: Column, table: Table, scorer: Scorer | None, other: Column | None) -> ArmReport:
    answers = column.answers
    count = len(answers)
    outputs = [answer.output for answer in answers]
    references = [example.reference for example in table.examples]
    by_model = Counter(answer.model for answer in answers if not answer.error)
    judged = [answer.judge_nusd for answer in answers]
    return ArmReport(
        name=column.name,
        models=column.arm.models,
        simulated=column.arm.simulated,
        release=column.arm.release,
        answers=count,
        score=paired.mean(column.scores, groups=table.groups),
        figures=scorer.summary(outputs, references) if scorer is not None and count else {},
        cost_usd_per_1000=_per_1000(column.costs_usd, table.groups),
        judge_usd=None if None in judged else sum(nusd or 0 for nusd in judged) / 1e9,
        latency=_latency(column.latencies_ms, None if other is None else other.latencies_ms),
        ttft=_latency(column.ttft_ms, None if other is None else other.ttft_ms),
        streamed=bool(np.nansum(column.latencies_ms - column.ttft_ms) > count),
        rungs={model: times / count for model, times in by_model.most_common()},
        unmet=_share(sum(bool(answer.unmet) for answer in answers), count),
        errors=_share(sum(bool(answer.error) for answer in answers), count),
    )


def _per_1000(costs: Numbers | None, groups: list[str]) -> Estimate | None:
    if costs is None:
        return None
    estimate = paired.mean(costs * _PER, groups=groups, bounds=None)
    return msgspec.structs.replace(estimate, low=None if estimate.low is None else max(0.0, estimate.low))


def _latency(mine: Numbers, other: Numbers | None) -> Latency:
    there = mine[~np.isnan(mine)]
    ratio: dict[str, Estimate] = {}
    if other is not None:
        both = ~np.isnan(mine) & ~np.isnan(other)
        if both.any():
            ratio = {
                name: paired.quantile_ratio(mine[both], other[both], share)
                for name, share in _QUANTILES.items()
            }
    return Latency(
        ms={name: paired.quantile(there, share) for name, share in _QUANTILES.items()}, ratio=ratio
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
