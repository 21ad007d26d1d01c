"""What is told of rate limits: why a call was refused, and the headers in which each provider's SDKs look for where they stand.

Names: OpenAI's guide "Rate limits", section "Rate limits in headers"; Anthropic's API reference "Rate limits", section "Response headers".
"""

from __future__ import annotations

import math
import time
from functools import lru_cache

from smallfirst.chat import Dialect
from smallfirst.errors import RateLimited
from smallfirst.gateway.rates.bucket import Bucket
from smallfirst.gateway.rates.rates import Counted, Scope, Standing

_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000
_ANTHROPICS: dict[Counted, bytes] = {
    "requests": b"requests",
    "tokens": b"tokens",
    "input_tokens": b"input-tokens",
    "output_tokens": b"output-tokens",
}
UPSTREAMS_OWN = (b"x-ratelimit-", b"anthropic-ratelimit-")
"""How an upstream's headers about its own limits begin: they say nothing of a caller who has limits here."""

_NAMES: dict[Dialect, dict[Counted, tuple[bytes, bytes, bytes]]] = {
    "openai": {
        "requests": (
            b"x-ratelimit-limit-requests",
            b"x-ratelimit-remaining-requests",
            b"x-ratelimit-reset-requests",
        ),
        "tokens": (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens"),
    },
    "anthropic": {
        counted: (
            b"anthropic-ratelimit-%s-limit" % name,
            b"anthropic-ratelimit-%s-remaining" % name,
            b"anthropic-ratelimit-%s-reset" % name,
        )
        for counted, name in _ANTHROPICS.items()
    },
}


def wait(
    scope: Scope, counted: Counted, bucket: Bucket, amount: int, *, left: int, wait_ns: int
) -> RateLimited:
    """It may come again after `wait_ns`."""
    need = "" if counted == "requests" else f"; {left} are left, and this call may take {amount}"
    told = (
        f"rate limit of {_named(scope)}: {_counted(bucket.per_minute, counted)} a minute{need}. "
        f"Please try again in {duration(wait_ns)}"
    )
    return RateLimited(
        told, scope_kind=scope[0], counted=counted, retry_after_s=math.ceil(wait_ns / _NS_PER_MS) / 1000
    )


def never(scope: Scope, counted: Counted, bucket: Bucket, amount: int) -> RateLimited:
    """It is too large to be let in at any time."""
    fix = "send less" if counted == "input_tokens" else "ask for fewer with max_tokens, or send less"
    return RateLimited(
        f"this call may take {_counted(amount, counted)}, and the rate limit of {_named(scope)} lets at most {bucket.most} in at once "
        f"({bucket.per_minute} a minute): it can never be let in; {fix}",
        scope_kind=scope[0],
        counted=counted,
    )


def too_many_at_once(scope: Scope, at_once: int, *, again_s: float) -> RateLimited:
    """As many calls as may be are under way."""
    return RateLimited(
        f"rate limit of {_named(scope)}: {_counted(at_once, 'calls')} under way, and no more may be at once. Please try again when one has ended",
        scope_kind=scope[0],
        counted="calls_at_once",
        retry_after_s=again_s,
    )


def rate_headers(standings: list[Standing], dialect: Dialect, *, now_s: float) -> list[tuple[bytes, bytes]]:
    """The standings in the headers of a provider; `now_s` is Unix time. OpenAI has none for tokens read and tokens written apart."""
    headers: list[tuple[bytes, bytes]] = []
    for one in standings:
        names = _NAMES[dialect].get(one.counted)
        if names is None:
            continue
        limit, remaining, reset = names
        if dialect == "anthropic":
            when = _at(math.ceil(now_s + one.full_in_ns / _NS_PER_S))
        else:
            when = duration(one.full_in_ns).encode()
        headers += ((limit, b"%d" % one.per_minute), (remaining, b"%d" % one.left), (reset, when))
    return headers


def duration(ns: int) -> str:
    """As Go and OpenAI write it, to the next millisecond: `12ms`, `1.5s`, `1m30.951s`, `1h0m0s`."""
    ms = -(-ns // _NS_PER_MS)
    if 0 < ms < 1000:
        return f"{ms}ms"
    minutes, ms = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{ms / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + seconds


@lru_cache(maxsize=256)
def _at(second: int) -> bytes:
    """RFC 3339, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second)).encode()


def _named(scope: Scope) -> str:
    kind, name = scope
    return f"{kind} {name!r}" if name else "this gateway"


def _counted(count: int, what: str) -> str:
    words = what.replace("_", " ")
    return f"{count} {words if count != 1 else words[:-1]}"
