"""What share of the bill is left, by the cache hit rate h, the frontier share f and the small call's price s (a share of a frontier call's).

    left = (1 − h) · (f + (1 − f)·s + c·f·s)

c is the share of the frontier's calls that the small model was asked first: 0 where the router decides up front, 1 where each call climbs. A factor
("1/40 of the bill") means nothing without h, f and s beside it, so nothing here gives one alone.
"""

from __future__ import annotations

import msgspec

from smallfirst.planning.costs.exact import Number, exact

HIT_RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def bill_left(
    *, hit_rate: Number, frontier_share: Number, small_price: Number, climbed_share: Number = 0
) -> float:
    """The share of the all-frontier bill that is left: 1/4.8 is 0.208. `small_price` is s, a share of a frontier call's price."""
    h, f, s, c = map(exact, (hit_rate, frontier_share, small_price, climbed_share))
    return float((1 - h) * (f + (1 - f) * s + c * f * s))


def hit_rate_needed(
    factor: Number, *, frontier_share: Number, small_price: Number, climbed_share: Number = 0
) -> float:
    """The cache hit rate at which 1/`factor` of the bill is left; 0 where the ladder alone leaves less."""
    f, s, c = map(exact, (frontier_share, small_price, climbed_share))
    missed = f + (1 - f) * s + c * f * s
    return 0.0 if missed == 0 else float(max(exact(0), 1 - 1 / (exact(factor) * missed)))


def frontier_share_needed(
    factor: Number, *, hit_rate: Number, small_price: Number, climbed_share: Number = 0
) -> float | None:
    """The largest frontier share at which 1/`factor` of the bill is left; None where any leaves more."""
    h, s, c = map(exact, (hit_rate, small_price, climbed_share))
    if h >= 1:
        return 1.0
    left, slope = 1 / (exact(factor) * (1 - h)), 1 - s + c * s
    if (
        slope <= 0
    ):  # a small call costs no less than a frontier call: the more the frontier answers, the less is paid
        return 1.0 if s + slope <= left else None
    if left < s:
        return None
    return float(min(exact(1), (left - s) / slope))


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A hit rate, and the largest frontier share that does with it; None: none does."""

    hit_rate: float
    frontier_share: float | None


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What 1/`factor` of the bill needs. `small_price` is s; `hit_rate` is needed at the plan's own `frontier_share`, and the other way round
    `frontier_share_at_hit_rate` at `own_hit_rate`.
    """

    factor: float
    small_price: float
    small: str  # which small model's price s is
    frontier_share: float
    hit_rate: float
    own_hit_rate: float
    frontier_share_at_hit_rate: float | None
    pairs: tuple[Pair, ...]

    @property
    def sentence(self) -> str:
        """In one sentence, with h, f and s."""
        s = f"s = {self.small_price:.1%}"
        first = (
            f"1/{self.factor:g} of the bill needs h = {self.hit_rate:.0%} at f = {self.frontier_share:.0%}"
        )
        f = self.frontier_share_at_hit_rate
        other = (
            f"and cannot be had at h = {self.own_hit_rate:.0%}: the small calls alone cost more"
            if f is None
            else f"or f = {f:.1%} at h = {self.own_hit_rate:.0%}"
        )
        return f"{first}, {other} ({s}: a call to {self.small} over a frontier call)"


def needs(
    factor: float,
    *,
    small: str,
    small_price: float,
    hit_rate: float,
    frontier_share: float,
    climbed_share: float = 0.0,
) -> Needs:
    """What it takes to pay 1/`factor`: h for the plan's f, f for the plan's h, and the pairs in between."""
    of = {"small_price": small_price, "climbed_share": climbed_share}
    return Needs(
        factor=factor,
        small_price=small_price,
        small=small,
        frontier_share=frontier_share,
        hit_rate=hit_rate_needed(factor, frontier_share=frontier_share, **of),
        own_hit_rate=hit_rate,
        frontier_share_at_hit_rate=frontier_share_needed(factor, hit_rate=hit_rate, **of),
        pairs=tuple(
            Pair(hit_rate=h, frontier_share=frontier_share_needed(factor, hit_rate=h, **of))
            for h in HIT_RATES
        ),
    )
