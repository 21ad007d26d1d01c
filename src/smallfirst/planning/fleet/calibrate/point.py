"""What was measured at one rate: each request, and what follows for all of them."""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec
import numpy as np

SATURATED_SHARE = 0.95  # of what is offered: an endpoint that achieves less falls behind
_MOST_FAILED_SHARE = 0.05
_MOST_GROWTH = 0.2
_GRID = 200
_FEWEST = 10


class Shot(msgspec.Struct, array_like=True):
    """One request. Seconds from the run's beginning; `due_s` is when it had to be sent, and every wait is counted from it.

    Tokens are those that the server told; before it did, those that were wanted (`wanted_tokens` of an answer). `seen_s` is when the latest token
    came, `seen_tokens` how many had come by then. `ended`: the answer is whole; else it failed (`error`), or was given up at the end.
    """

    due_s: float
    input_tokens: int
    output_tokens: int
    wanted_tokens: int = 0
    cached_tokens: int = 0
    sent_s: float = 0.0
    first_s: float | None = None
    seen_s: float = 0.0
    seen_tokens: int = 0
    ended: bool = False
    error: str = ""


class EngineSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine's own /metrics said during a run: means, and the most. None where it does not tell."""

    running_mean: float | None = None
    running_most: float | None = None
    waiting_mean: float | None = None
    waiting_most: float | None = None
    kv_usage_most: float | None = None


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One rate's run: requests were due for `seconds`, counted are those from `warm_s` on, and at `ended_s` what had not ended was given up."""

    rate_per_s: float
    seconds: float
    warm_s: float
    ended_s: float
    shots: tuple[Shot, ...]
    engine: EngineSeen | None = None
    stopped: str = ""


class Times(NamedTuple):
    """A run as columns, failed requests left out. NaN: it never came."""

    due_s: np.ndarray
    first_s: np.ndarray
    last_s: np.ndarray
    seen_s: np.ndarray
    seen_tokens: np.ndarray
    input_tokens: np.ndarray
    output_tokens: np.ndarray
    cached_tokens: np.ndarray


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What clients waited for, in milliseconds from when each request was due, and what the endpoint did.

    `between` is the mean between two tokens of each answer. `at_least`: some were given up, and count with what they had waited until then: the
    95th percentiles are no less than said. `achieved_per_s` is what was offered less the rate at which unfinished requests piled up. A figure
    of which nothing was measured is 0. `ttft_growth` is by how many seconds the first token came later for each second of the run.
    """

    asked: int
    failed: int
    given_up: int
    offered_per_s: float
    achieved_per_s: float
    output_tokens_per_s: float
    input_tokens: float
    output_tokens: float
    ttft_p50_ms: float
    ttft_p95_ms: float
    between_p50_ms: float
    between_p95_ms: float
    total_p50_ms: float
    total_p95_ms: float
    late_p99_ms: float
    ttft_growth: float

    @property
    def at_least(self) -> bool:
        return self.given_up > 0

    @property
    def failed_share(self) -> float:
        return self.failed / self.asked if self.asked else 0.0

    @property
    def saturated(self) -> bool:
        """Whether the endpoint falls behind, or refuses. Few requests tell it by their waits, many by how they pile up."""
        if self.ttft_growth > _MOST_GROWTH or self.failed_share > _MOST_FAILED_SHARE:
            return True
        return self.achieved_per_s < SATURATED_SHARE * self.offered_per_s


def times_of(point: Point) -> Times:
    """The requests of a run that did not fail."""
    shots = [shot for shot in point.shots if not shot.error]

    def column(values: list[float]) -> np.ndarray:
        return np.array(values, dtype=float)

    return Times(
        due_s=column([shot.due_s for shot in shots]),
        first_s=column([math.nan if shot.first_s is None else shot.first_s for shot in shots]),
        last_s=column([shot.seen_s if shot.ended else math.nan for shot in shots]),
        seen_s=column([math.nan if shot.first_s is None else shot.seen_s for shot in shots]),
        seen_tokens=column([shot.seen_tokens for shot in shots]),
        input_tokens=column([shot.input_tokens for shot in shots]),
        output_tokens=column([shot.output_tokens for shot in shots]),
        cached_tokens=column([shot.cached_tokens for shot in shots]),
    )


def summary_of(point: Point, times: Times | None = None) -> Summary:
    """The figures of a run; with `times`, those of the same requests had they been served at other times (a model's)."""
    found = times_of(point) if times is None else times
    counted = found.due_s >= point.warm_s
    asked = [shot for shot in point.shots if shot.due_s >= point.warm_s]
    due = found.due_s[counted]
    first, last = found.first_s[counted], found.last_s[counted]
    grown = np.maximum(1, found.seen_tokens[counted] - 1)
    several = found.seen_tokens[counted] > 1
    waited_s = np.where(np.isnan(last), point.ended_s, last) - due
    ttft_s = np.where(np.isnan(first), point.ended_s, first) - due
    between_s = ((found.seen_s[counted] - first) / grown)[several]
    span_s = point.seconds - point.warm_s
    offered = len(asked) / span_s
    failed = sum(bool(shot.error) for shot in asked)
    late_s = [shot.sent_s - shot.due_s for shot in asked if shot.sent_s]
    return Summary(
        asked=len(asked),
        failed=failed,
        given_up=int(np.isnan(last).sum()),
        offered_per_s=offered,
        achieved_per_s=max(0.0, offered - failed / span_s - _piling_up(point, found)),
        output_tokens_per_s=_tokens_within(found, point.warm_s, point.seconds) / span_s,
        input_tokens=_mean(found.input_tokens),
        output_tokens=_mean(found.output_tokens[~np.isnan(found.last_s)]),
        ttft_p50_ms=_percentile(ttft_s, 50),
        ttft_p95_ms=_percentile(ttft_s, 95),
        between_p50_ms=_percentile(between_s, 50),
        between_p95_ms=_percentile(between_s, 95),
        total_p50_ms=_percentile(waited_s, 50),
        total_p95_ms=_percentile(waited_s, 95),
        late_p99_ms=_percentile(np.array(late_s), 99),
        ttft_growth=_growth(due, ttft_s),
    )


def _piling_up(point: Point, times: Times) -> float:
    """By how many requests a second those that are under way grow, while requests are due: 0 where that is no more than chance.

    Counted from when the first answers have ended: before, they grow at any endpoint.
    """
    until = np.where(np.isnan(times.last_s), np.inf, times.last_s)
    waits = (until - times.due_s)[np.isfinite(until)]
    settled = float(np.percentile(waits, 90)) if len(waits) >= _FEWEST else math.inf
    start = min(max(point.warm_s, settled), point.seconds / 2)
    grid = np.linspace(start, point.seconds, _GRID)
    under_way = (times.due_s[:, None] <= grid).sum(0) - (until[:, None] <= grid).sum(0)
    slope = float(np.polyfit(grid, under_way, 1)[0])
    grown = slope * (point.seconds - start)
    return slope if grown > 1 + 2 * math.sqrt(max(1.0, float(under_way.mean()))) else 0.0


def _growth(due_s: np.ndarray, ttft_s: np.ndarray) -> float:
    """The slope of first tokens' waits over the run; 0 where requests are too few to have one."""
    return float(np.polyfit(due_s, ttft_s, 1)[0]) if len(due_s) >= _FEWEST else 0.0


def _tokens_within(times: Times, start_s: float, end_s: float) -> float:
    """Tokens that came in a span: an answer's come evenly between its first and its latest."""
    begun = ~np.isnan(times.first_s) & (times.seen_tokens > 0)
    first, seen, tokens = times.first_s[begun], times.seen_s[begun], times.seen_tokens[begun]
    took = np.maximum(seen - first, 1e-9)
    share = np.clip(np.minimum(seen, end_s) - np.maximum(first, start_s), 0, None) / took
    at_once = ((first >= start_s) & (first <= end_s)).astype(float)
    return float(np.sum(at_once + np.maximum(tokens - 1, 0) * share))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def _percentile(seconds: np.ndarray, q: float) -> float:
    known = seconds[~np.isnan(seconds)]
    return 1000 * float(np.percentile(known, q)) if len(known) else 0.0
