"""Rate limits of one process. One event loop owns them, and nothing here gives way: two calls never take the same token."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from smallfirst.config.rates import RateLimits
from smallfirst.errors import RateLimited
from smallfirst.gateway.rates.bucket import Bucket
from smallfirst.gateway.rates.rates import Counted, Scope, ScopeLimits, Standing
from smallfirst.gateway.rates.words import never, too_many_at_once, wait

_TOKENS: tuple[Counted, ...] = ("tokens", "input_tokens", "output_tokens")
_Asked = tuple[Scope, Counted, Bucket, int]  # how much is to be taken, of what, from which bucket
_AGAIN_S = 1.0  # when to come again where only the end of another call makes room


class _Scoped:
    """One scope: a bucket for each of its limits, and the calls under way."""

    __slots__ = ("at_once", "limits", "requests", "scope", "tokens")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.limits = RateLimits()
        self.requests: Bucket | None = None
        self.tokens: dict[Counted, Bucket] = {}
        self.at_once = 0

    def fit(self, limits: RateLimits, now_ns: int) -> None:
        """Takes up limits that have changed."""
        self.limits = limits
        self.requests = _fitted(self.requests, limits.requests_per_minute, limits.burst_s, now_ns=now_ns)
        tokens: dict[Counted, Bucket] = {}
        for counted in _TOKENS:
            per_minute: int | None = getattr(limits, counted + "_per_minute")
            bucket = _fitted(self.tokens.get(counted), per_minute, limits.burst_s, now_ns=now_ns)
            if bucket is not None:
                tokens[counted] = bucket
        self.tokens = tokens

    @property
    def full(self) -> bool:
        most = self.limits.calls_at_once
        return most is not None and self.at_once >= most


def _fitted(bucket: Bucket | None, per_minute: int | None, burst_s: float, *, now_ns: int) -> Bucket | None:
    if per_minute is None:
        return None
    if bucket is None:
        return Bucket(per_minute, burst_s, now_ns=now_ns)
    bucket.refit(per_minute, burst_s, now_ns=now_ns)
    return bucket


class LocalRates:
    """`Rates` in memory: bounded by the scopes that are configured. A restart begins with full buckets."""

    def __init__(self, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._now_ns = now_ns
        self._scoped: dict[Scope, _Scoped] = {}

    def admission(self, limits: tuple[ScopeLimits, ...]) -> LocalAdmission:
        return LocalAdmission([self._of(asked) for asked in limits], self._now_ns)

    def keep(self, limits: tuple[ScopeLimits, ...]) -> None:
        kept = {asked.scope for asked in limits}
        for scope, scoped in list(self._scoped.items()):
            if scope not in kept and not scoped.at_once:
                del self._scoped[scope]

    def _of(self, asked: ScopeLimits) -> _Scoped:
        scoped = self._scoped.get(asked.scope)
        if scoped is None:
            scoped = self._scoped[asked.scope] = _Scoped(asked.scope)
        if scoped.limits is not asked.limits and scoped.limits != asked.limits:
            scoped.fit(asked.limits, self._now_ns())
        return scoped


class LocalAdmission:
    """`Admission` of one call."""

    __slots__ = ("_inside", "_now_ns", "_requests", "_scoped", "_tokens", "counts_tokens")

    def __init__(self, scoped: list[_Scoped], now_ns: Callable[[], int]) -> None:
        self._scoped = scoped
        self._now_ns = now_ns
        self._inside = False
        self.counts_tokens = any(one.tokens for one in scoped)
        # What was taken and is not settled: from which bucket, by what number; of tokens also how many, and of which.
        self._requests: list[tuple[Bucket, int]] = []
        self._tokens: list[tuple[Bucket, int, int, Counted]] = []

    async def check(self) -> None:
        self._check(self._now_ns())

    async def enter(self) -> None:
        now_ns = self._now_ns()
        self._check(now_ns)
        self._inside = True
        for scoped in self._scoped:
            scoped.at_once += 1
            if scoped.requests is not None:
                self._requests.append((scoped.requests, scoped.requests.take(1, now_ns=now_ns)))
        if not self.counts_tokens:  # nothing can refuse it any more
            self._settle_request(1, now_ns)

    async def take_tokens(self, read: int, written: int) -> None:
        now_ns, amounts = self._now_ns(), _amounts(read, written)
        found: list[_Asked] = [
            (scoped.scope, counted, bucket, amounts[counted])
            for scoped in self._scoped
            for counted, bucket in scoped.tokens.items()
        ]
        try:
            _look(found, now_ns)
        except RateLimited:
            self._settle_request(0, now_ns)
            raise
        for _, counted, bucket, amount in found:
            self._tokens.append((bucket, bucket.take(amount, now_ns=now_ns), amount, counted))

    def settle(self, read: int, written: int) -> None:
        now_ns = self._now_ns()
        self._settle_request(1, now_ns)
        if self._tokens:
            used = _amounts(read, written)
            for bucket, number, amount, counted in self._tokens:
                bucket.settle(number, amount, used[counted], now_ns=now_ns)
            self._tokens = []

    def leave(self) -> None:
        now_ns = self._now_ns()
        self._settle_request(1, now_ns)
        for bucket, number, amount, _ in self._tokens:  # nobody knows what it used
            bucket.settle(number, amount, amount, now_ns=now_ns)
        self._tokens = []
        if self._inside:
            self._inside = False
            for scoped in self._scoped:
                scoped.at_once -= 1

    def standings(self) -> list[Standing]:
        now_ns = self._now_ns()
        tightest: dict[Counted, Standing] = {}
        for scoped in self._scoped:
            if scoped.requests is not None:
                _note("requests", scoped.requests, tightest, now_ns)
            for counted, bucket in scoped.tokens.items():
                _note(counted, bucket, tightest, now_ns)
        return list(tightest.values())

    def _check(self, now_ns: int) -> None:
        for scoped in self._scoped:
            bucket = scoped.requests
            if bucket is not None and bucket.wait_ns(1, now_ns=now_ns):
                found: list[_Asked] = [
                    (one.scope, "requests", one.requests, 1)
                    for one in self._scoped
                    if one.requests is not None
                ]
                _look(found, now_ns)
            if scoped.full:
                raise too_many_at_once(scoped.scope, scoped.at_once, again_s=_AGAIN_S)

    def _settle_request(self, used: int, now_ns: int) -> None:
        for bucket, number in self._requests:
            bucket.settle(number, 1, used, now_ns=now_ns)
        self._requests = []


def _look(found: Iterable[_Asked], now_ns: int) -> None:
    """Raises where an amount does not fit its bucket: what never fits comes before what has to wait, a longer wait before a shorter one."""
    longest_ns = 0
    refused: _Asked | None = None
    for asked in found:
        scope, counted, bucket, amount = asked
        wait_ns = bucket.wait_ns(amount, now_ns=now_ns)
        if wait_ns is None:
            raise never(scope, counted, bucket, amount)
        if wait_ns > longest_ns:
            longest_ns, refused = wait_ns, asked
    if refused is not None:
        left = refused[2].standing(now_ns=now_ns)[0]
        raise wait(*refused, left=left, wait_ns=longest_ns)


def _note(counted: Counted, bucket: Bucket, tightest: dict[Counted, Standing], now_ns: int) -> None:
    left, full_in_ns = bucket.standing(now_ns=now_ns)
    known = tightest.get(counted)
    if known is None or (left, -full_in_ns) < (known.left, -known.full_in_ns):
        tightest[counted] = Standing(counted, bucket.per_minute, left, full_in_ns)


def _amounts(read: int, written: int) -> dict[Counted, int]:
    return {"tokens": read + written, "input_tokens": read, "output_tokens": written}
