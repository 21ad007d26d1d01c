"""What a cache did with each request of a stream, and what it is worth: the words that all methods share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec

from smallfirst.evals.cache.stream import StreamRow
from smallfirst.statistics import binomial

By = Literal["", "exact", "semantic"]


class Decision(NamedTuple):
    """What was done with one request. `served`: the row whose answer was given again, by its place; None for a miss.

    `bound`: the share of wrong hits that the method promised then; None where it promises nothing. `checked`: the model answered the hit too.
    """

    row: int
    served: int | None = None
    by: By = ""
    bound: float | None = None
    checked: bool = False


class Method(Protocol):
    """A cache that is asked about the rows of a stream in their order, and learns of each what it would have learned in service."""

    name: str  # exact, fixed, vcache, ours
    delta: float | None  # its setting: a promised share of wrong hits …
    threshold: float | None  # … or a similarity

    def replay(self) -> Iterator[Decision]:
        """A decision for each row, the warm ones left out."""
        ...

    @property
    def bound(self) -> float | None:
        """The share of wrong semantic hits that is proven not to be passed so far; None where nothing is."""
        ...

    def lookup_us(self) -> tuple[float, float]:
        """CPU time of one look-up without the embedding, with what is stored at the end of the stream: median and 99th percentile."""
        ...


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a method was worth on a stream. Rates are shares of all its requests, the warm ones not counted; times are CPU microseconds
    without the embedding. `opened_at`: the first request that a semantic hit answered, from 1.
    """

    method: str
    delta: float | None
    threshold: float | None = None
    hit_rate: float
    wrong_rate: float
    wrong_rate_low: float
    wrong_rate_high: float
    lookup_us_p50: float | None = None
    lookup_us_p99: float | None = None
    exact_rate: float = 0.0
    wrong_exact_rate: float = 0.0  # the same text came again with another class
    checks_rate: float = 0.0
    net_saved_rate: float = 0.0  # hits that saved a call: those that were not checked
    bound: float | None = (
        None  # what was proven at the end of the stream: wrong semantic hits are at most this share
    )
    opened_at: int | None = None
    requests: int
    hits: int
    wrong: int
    kept: bool | None = None  # whether wrong semantic hits stayed within delta; None: nothing was promised
    embedder: str = ""  # by which similarity was told
    complete: bool = True  # False: interrupted before the stream's end


def figures(
    method: Method, decisions: Sequence[Decision], rows: Sequence[StreamRow], *, complete: bool = True
) -> Figures:
    """Sums decisions up. The interval of the wrong-hit rate is Clopper and Pearson's, two-sided, 95 %."""
    n = max(1, len(decisions))
    hits = [decision for decision in decisions if decision.served is not None]
    wrong = [one for one in hits if rows[one.row].answer_class != rows[one.served or 0].answer_class]
    exact = sum(one.by == "exact" for one in hits)
    wrong_exact = sum(one.by == "exact" for one in wrong)
    checked = sum(one.checked for one in hits)
    opened = next((number for number, one in enumerate(decisions, 1) if one.by == "semantic"), None)
    low = binomial.lower_bound(len(wrong), n, confidence=0.975)
    return Figures(
        method=method.name,
        delta=method.delta,
        threshold=method.threshold,
        hit_rate=len(hits) / n,
        wrong_rate=len(wrong) / n,
        wrong_rate_low=low if wrong else 0.0,
        wrong_rate_high=binomial.upper_bound(len(wrong), n, confidence=0.975),
        exact_rate=exact / n,
        wrong_exact_rate=wrong_exact / n,
        checks_rate=checked / n,
        net_saved_rate=(len(hits) - checked) / n,
        bound=method.bound,
        opened_at=opened,
        requests=len(decisions),
        hits=len(hits),
        wrong=len(wrong),
        kept=None if method.delta is None else (len(wrong) - wrong_exact) <= method.delta * n,
        complete=complete,
    )
