"""How the traffic of a dataset differs from that of an earlier version: labels, lengths and slices, from the sums in both manifests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from smallfirst.datasets.manifest import Manifest

_LEAST_ROWS = 20
_LARGE_DISTANCE = 0.1
_SURELY = 0.01
_MOST_CHANGES = 5


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison. `distance`: the share of examples that would have to change (total variation, 0 … 1); `p`: the probability of so large
    a difference where nothing has changed (χ²; None for too few rows); `changes`: the values that changed most, in points.

    `of`: "labels", "lengths" or "slice NAME". `added`: what was compared is what was added since, not the whole.
    """

    of: str
    distance: float
    p: float | None
    changes: dict[str, float]
    rows: int
    added: bool

    @property
    def notable(self) -> bool:
        """Large, and not by chance."""
        return self.distance >= _LARGE_DISTANCE and self.p is not None and self.p < _SURELY


def drift(now: Manifest, before: Manifest) -> list[Drift]:
    """Of `now` against `before`, the whole of each: held-out examples are in both as sums."""
    found = [_compared("labels", _labels(now), _labels(before))] if _labels(now) or _labels(before) else []
    found.append(_compared("lengths", _lengths(now), _lengths(before)))
    names = sorted(_slice_names(now) & _slice_names(before))
    return found + [_compared(f"slice {name}", _slice(now, name), _slice(before, name)) for name in names]


def _compared(of: str, now: Counter[str], before: Counter[str]) -> Drift:
    fresh = Counter({name: now[name] - before[name] for name in now | before})
    # A version that has all of the one before is told by what came to it; otherwise the two are told as they are.
    added = min(fresh.values(), default=0) >= 0 and fresh.total() > 0
    seen = fresh if added else now
    total, total_before = seen.total(), before.total()
    if not total or not total_before:
        return Drift(of=of, distance=0.0, p=None, changes={}, rows=total, added=added)
    change = {name: seen[name] / total - before[name] / total_before for name in seen | before}
    largest = sorted(change, key=lambda name: (-abs(change[name]), name))[:_MOST_CHANGES]
    return Drift(
        of=of,
        distance=round(sum(abs(one) for one in change.values()) / 2, 6),
        p=_p(seen, before),
        changes={name: round(100 * change[name], 2) for name in largest if change[name]},
        rows=total,
        added=added,
    )


def _p(now: Counter[str], before: Counter[str]) -> float | None:
    """Pearson's χ², rare values together so that none is expected fewer than five times."""
    from scipy.stats import chi2_contingency

    total, total_before = now.total(), before.total()
    if min(total, total_before) < _LEAST_ROWS:
        return None
    share = min(total, total_before) / (total + total_before)
    table: list[list[int]] = []
    rare = [0, 0]
    for name in sorted(now | before):
        pair = [now[name], before[name]]
        if sum(pair) * share >= 5:  # Cochran's rule
            table.append(pair)
        else:
            rare = [left + right for left, right in zip(rare, pair, strict=True)]
    if sum(rare) * share >= 1:
        table.append(rare)
    if len(table) < 2:
        return None
    return float(chi2_contingency(table)[1])  # pyright: ignore[reportArgumentType] (scipy does not say that it is a number)


def _sum(counts: list[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return total


def _labels(manifest: Manifest) -> Counter[str]:
    return _sum([part.labels for part in manifest.parts.values()])


def _lengths(manifest: Manifest) -> Counter[str]:
    """In doublings: finer buckets would be too thin."""
    from smallfirst.datasets.figures import chars_of

    told: Counter[str] = Counter()
    for part in manifest.parts.values():
        for bucket, count in part.lengths.histogram.items():
            told[f"about {chars_of(4 * round(int(bucket) / 4)):,} characters"] += count
    return told


def _slice_names(manifest: Manifest) -> set[str]:
    return {name for part in manifest.parts.values() for name in part.slices}


def _slice(manifest: Manifest, name: str) -> Counter[str]:
    return _sum([part.slices.get(name, {}) for part in manifest.parts.values()])
