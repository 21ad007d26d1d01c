"""What is exposed of the cache's evidence."""

from __future__ import annotations

import time

from smallfirst.cache.semantic.standing import Figures, Standing, Standings
from smallfirst.gateway.cache.counts import CacheCounts


def told(counts: CacheCounts) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in counts.families()
        for sample in family.samples
    }


def test_the_rate_of_wrong_hits_stands_beside_its_interval() -> None:
    counts = CacheCounts()
    figures = Figures(requests=500, wrong_rate=0.004, wrong_low=0.002, wrong_high=0.009)
    lease_ms = time.time_ns() // 1_000_000 + 15_000
    counts.standings = Standings(
        policies={
            "a" * 64: Standing(
                task="t", policy="a" * 64, lease_until_ms=lease_ms, threshold=0.9, figures=figures
            ),
            "b" * 64: Standing(task="t", policy="b" * 64, lease_until_ms=lease_ms - 60_000, threshold=0.9),
        }
    )
    seen = told(counts)
    rates = {key[3]: value for key, value in seen.items() if key[0] == "smallfirst_cache_wrong_rate"}
    assert rates == {"measured": 0.004, "low": 0.002, "high": 0.009}
    assert seen["smallfirst_cache_open", "t", "a" * 12] == 1
    assert seen["smallfirst_cache_open", "t", "b" * 12] == 0  # its lease is over


def test_where_nothing_is_proven_nothing_is_said() -> None:
    assert not told(CacheCounts())
