"""Rate limits in the words of each provider: headers that its SDKs read, durations as Go writes them."""

from __future__ import annotations

import pytest

from smallfirst.gateway.rates.rates import Standing
from smallfirst.gateway.rates.words import duration, rate_headers

MS = 1_000_000
STANDINGS = [
    Standing("requests", 600, 599, 100 * MS),
    Standing("tokens", 200_000, 0, 90_951 * MS),
    Standing("output_tokens", 50_000, 12, 0),
]


@pytest.mark.parametrize(
    ("ns", "told"),
    [
        (0, "0s"),
        (1, "1ms"),
        (12 * MS, "12ms"),
        (1000 * MS, "1s"),
        (1500 * MS, "1.5s"),
        (60_000 * MS, "1m0s"),
        (90_951 * MS, "1m30.951s"),
        (360_000 * MS, "6m0s"),
        (3_600_000 * MS, "1h0m0s"),
        (90_061_001 * MS, "25h1m1.001s"),
        (999_999_999, "1s"),
    ],
)
def test_durations_are_gos(ns: int, told: str) -> None:
    assert duration(ns) == told


def test_openais_headers() -> None:
    assert dict(rate_headers(STANDINGS, "openai", now_s=0)) == {
        b"x-ratelimit-limit-requests": b"600",
        b"x-ratelimit-remaining-requests": b"599",
        b"x-ratelimit-reset-requests": b"100ms",
        b"x-ratelimit-limit-tokens": b"200000",
        b"x-ratelimit-remaining-tokens": b"0",
        b"x-ratelimit-reset-tokens": b"1m30.951s",
    }


def test_anthropics_headers() -> None:
    told = dict(rate_headers(STANDINGS, "anthropic", now_s=1_792_000_000.5))
    assert told[b"anthropic-ratelimit-requests-limit"] == b"600"
    assert told[b"anthropic-ratelimit-requests-remaining"] == b"599"
    assert told[b"anthropic-ratelimit-tokens-remaining"] == b"0"
    assert told[b"anthropic-ratelimit-output-tokens-limit"] == b"50000"
    assert told[b"anthropic-ratelimit-tokens-reset"] == b"2026-10-14T17:48:12Z"
    assert not any(name.startswith(b"anthropic-ratelimit-input") for name in told)
