"""One attempt: planned, reserved, sent, and recorded exactly once whatever happens to it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from smallfirst import limits
from smallfirst.answering.account import Account, Plan
from smallfirst.answering.shots import Shots
from smallfirst.chat import Usage
from smallfirst.errors import (
    Untranslatable,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from smallfirst.ledger.records import Attempt, AttemptKind, AttemptStatus, UsageSource
from smallfirst.models.endpoints import Endpoint
from smallfirst.models.model import Model, Prices
from smallfirst.releases.policy import RungPolicy
from smallfirst.wire.incoming import Incoming

if TYPE_CHECKING:
    from smallfirst.pricing import Price

_MAX_TOLD_CHARS = 256  # of what an upstream says of itself
_SICK_STATUS = frozenset({408, 500, 502, 503, 504, 529})
_STATUS_BY_KIND: dict[str, AttemptStatus] = {
    "error": "error",
    "unreachable": "unreachable",
    "timeout": "timeout",
    "broken": "broken",
    "breaker": "error",
}


class Seen(Protocol):
    """What was read of a stream by the time it broke off: `wire`'s peeks. `usage` may be that of its prompt alone."""

    @property
    def chars(self) -> int: ...
    @property
    def usage(self) -> Usage | None: ...
    @property
    def whole_usage(self) -> Usage | None: ...
    @property
    def id(self) -> str: ...
    @property
    def model(self) -> str: ...


class Clock:
    """When a call arrived: `at_ms` in Unix time, and milliseconds since."""

    __slots__ = ("_start_s", "at_ms", "today")

    def __init__(self) -> None:
        now_s = time.time()
        self.at_ms = int(now_s * 1000)
        self.today = _utc_day(int(now_s // 86400))
        self._start_s = time.perf_counter()

    def ms(self) -> float:
        return (time.perf_counter() - self._start_s) * 1000


_day_cache: tuple[int, datetime.date] = (0, datetime.date(1970, 1, 1))


def _utc_day(number: int) -> datetime.date:
    global _day_cache
    if _day_cache[0] != number:
        _day_cache = (number, datetime.date(1970, 1, 1) + datetime.timedelta(days=number))
    return _day_cache[1]


class Attempting:
    """An attempt under way. `finish` is called once; later calls change nothing."""

    __slots__ = (
        "_account",
        "_clock",
        "endpoint",
        "model",
        "plan",
        "price",
        "prompt_bytes",
        "record",
        "seen",
        "started_ms",
        "ttft_ms",
    )

    def __init__(
        self,
        plan: Plan,
        *,
        model: Model,
        endpoint: Endpoint,
        prompt_bytes: int,
        account: Account,
        clock: Clock,
        price: Price | None,
    ) -> None:
        self.plan = plan
        self.model = model
        self.endpoint = endpoint
        self.prompt_bytes = prompt_bytes
        self.price = price
        self._account = account
        self._clock = clock
        self.ttft_ms: float | None = None
        self.record: Attempt | None = None
        self.seen: Seen | None = None  # of a stream that is read before it is released
        account.reserve(plan)
        self.started_ms = clock.ms()
        endpoint.breaker.begin()
        endpoint.in_flight += 1
        model.in_flight += 1

    def first_byte(self) -> None:
        """The answer's first byte came."""
        self.ttft_ms = self._clock.ms() - self.started_ms

    def answered(
        self,
        status: AttemptStatus,
        *,
        usage: Usage | None,
        answer_chars: int,
        stop: str = "",
        reason: str = "",
        upstream_id: str = "",
        upstream_model: str = "",
        system_fingerprint: str = "",
    ) -> Attempt:
        """It answered, well or not as the contract says. Usage that was not reported is estimated from what came."""
        if self.record is not None:
            return self.record
        source: UsageSource = "reported"
        if usage is not None and not credible(usage):
            usage = None
        seconds = (self._clock.ms() - self.started_ms) / 1000
        if usage is None:
            source = "estimated"
            usage = self.model.meter.estimate(prompt_bytes=self.prompt_bytes, answer_chars=answer_chars)
        else:
            self.model.meter.learn(
                usage, prompt_bytes=self.prompt_bytes, answer_chars=answer_chars, seconds=seconds
            )
        self.endpoint.breaker.success()
        return self._finish(
            status,
            usage,
            source,
            stop=stop,
            reason=reason,
            http_status=200,
            upstream_id=upstream_id,
            upstream_model=upstream_model,
            system_fingerprint=system_fingerprint,
        )

    def broke_off(
        self, status: AttemptStatus, *, seen: Seen | None = None, reason: str = "", upstream_id: str = ""
    ) -> Attempt:
        """It ended before its answer did: cut, timed out or cancelled. Billed for what was generated: as it was reported, where only the very end
        is missing, else as an estimate.

        `seen` is what was seen of the answer: that of `self.seen` where it is not given, nothing where neither is.
        """
        if self.record is not None:
            return self.record
        seen = seen or self.seen
        usage = None if seen is None else seen.whole_usage
        source: UsageSource = "reported"
        if usage is None or not credible(usage):
            usage, source = self._estimated(seen), "estimated"
        self._health(status)
        return self._finish(
            status,
            usage,
            source,
            reason=reason,
            upstream_id=upstream_id or (seen.id if seen is not None else ""),
            upstream_model=seen.model if seen is not None else "",
        )

    def _estimated(self, seen: Seen | None) -> Usage:
        meter, prompt_bytes = self.model.meter, self.prompt_bytes
        if seen is None:
            seconds = (self._clock.ms() - self.started_ms) / 1000
            most = self.plan.reserved_usage.output_tokens
            return meter.estimate_unseen(prompt_bytes=prompt_bytes, seconds=seconds, at_most_tokens=most)
        estimate = meter.estimate(prompt_bytes=prompt_bytes, answer_chars=seen.chars)
        told = seen.usage
        if told is None or not told.prompt_tokens or not credible(told):
            return estimate
        # Anthropic tells the prompt's tokens first
        return replace_output(told, max(estimate.output_tokens, told.output_tokens))

    def failed(
        self, kind: str, *, reason: str, http_status: int = 0, healthy: bool | None = False
    ) -> Attempt:
        """It was refused or never reached: nothing was generated, nothing is owed. `healthy` None: it was never sent."""
        if self.record is not None:
            return self.record
        status: AttemptStatus = "refused" if http_status else _STATUS_BY_KIND.get(kind, "error")
        if healthy is None:
            self.endpoint.breaker.abandon()
        elif healthy:
            self.endpoint.breaker.success()
        else:
            self.endpoint.breaker.failure()
        return self._finish(status, Usage(), "none", reason=reason, http_status=http_status)

    def _health(self, status: AttemptStatus) -> None:
        if status == "cancelled":
            self.endpoint.breaker.abandon()
        else:
            self.endpoint.breaker.failure()

    def _finish(
        self,
        status: AttemptStatus,
        usage: Usage,
        source: UsageSource,
        *,
        stop: str = "",
        reason: str = "",
        http_status: int = 0,
        upstream_id: str = "",
        upstream_model: str = "",
        system_fingerprint: str = "",
    ) -> Attempt:
        self.endpoint.in_flight -= 1
        self.model.in_flight -= 1
        cost: int | None = 0
        saved = 0
        if source != "none":
            cost = self.price.cost_nusd(usage) if self.price else None
            saved = self.price.prompt_cache_saved_nusd(usage) if self.price else 0
        plan = self.plan
        self.record = Attempt(
            seq=plan.seq,
            kind=plan.kind,
            rung=plan.rung,
            model=plan.model,
            provider=plan.provider,
            status=status,
            started_ms=round(self.started_ms, 3),
            latency_ms=round(self._clock.ms() - self.started_ms, 3),
            endpoint=self.endpoint.name,
            upstream_model=upstream_model[:_MAX_TOLD_CHARS],
            upstream_id=upstream_id[:_MAX_TOLD_CHARS],
            system_fingerprint=system_fingerprint[:_MAX_TOLD_CHARS],
            http_status=http_status,
            ttft_ms=round(self.ttft_ms, 3) if self.ttft_ms is not None else None,
            stop=stop[:_MAX_TOLD_CHARS],
            reason=reason[:500],
            usage=usage,
            usage_source=source,
            price_version=plan.price_version,
            cost_nusd=cost,
            prompt_cache_saved_nusd=saved,
            simulated=plan.simulated,
            frontier=plan.frontier,
        )
        self._account.settle(plan, self.record)
        return self.record


@contextlib.contextmanager
def settling(attempting: Attempting) -> Iterator[None]:
    """Settles the attempt by the way in which it failed; one that answered is settled by who judged it, a stream by who relays it."""
    try:
        yield
    except UpstreamRefused as error:
        healthy = error.status not in _SICK_STATUS
        attempting.failed("error", reason=str(error), http_status=error.status, healthy=healthy)
        raise
    except UpstreamUnreachable as error:
        attempting.failed(error.kind, reason=str(error))
        raise
    except UpstreamTimeout as error:
        attempting.broke_off("timeout", reason=str(error), upstream_id=error.request_id)
        raise
    except UpstreamError as error:
        attempting.broke_off("broken", reason=str(error), upstream_id=error.request_id)
        raise
    except Untranslatable as error:
        attempting.failed("error", reason=str(error), healthy=None)
        raise
    except asyncio.CancelledError:
        attempting.broke_off("cancelled")
        raise
    except BaseException as fault:
        attempting.broke_off("error", reason=f"a fault of ours ({type(fault).__name__})")
        raise


def credible(usage: Usage) -> bool:
    """Whether a provider can mean this: what is beyond it is a fault of its own, and would not fit the ledger."""
    return usage.prompt_tokens + usage.completion_tokens <= limits.MAX_TOKENS


def replace_output(usage: Usage, output_tokens: int) -> Usage:
    """The same prompt with another number of output tokens."""
    return Usage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        input_audio_tokens=usage.input_audio_tokens,
        output_tokens=output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
    )


class Planner:
    """Plans the attempts of one request: says what each may cost at most."""

    __slots__ = ("_account", "_clock", "_incoming", "_prices", "_shots", "_task")

    def __init__(
        self,
        incoming: Incoming,
        *,
        task: str,
        account: Account,
        prices: Prices,
        clock: Clock,
        shots: Mapping[int, Shots] = {},
    ) -> None:
        """`shots`: the examples that rungs are shown besides, by rung."""
        self._incoming = incoming
        self._shots = shots
        self._task = task
        self._account = account
        self._prices = prices
        self._clock = clock

    def begin(
        self,
        kind: AttemptKind,
        rung: int,
        policy: RungPolicy,
        *,
        model: Model,
        endpoint: Endpoint,
        frontier: bool,
    ) -> Attempting:
        """Reserves and begins an attempt. Raises `BudgetExceeded`, `LedgerUnavailable`."""
        price = model.price(self._prices, self._clock.today)
        body = self._incoming.body
        output = body.max_output_tokens
        if output is None:
            output = policy.max_tokens or self._account.output_tokens(self._task, model.name)
        output = min(output, limits.MAX_TOKENS // body.choices)
        shots = self._shots.get(rung)
        beside = shots.tokens_at_most if shots is not None else 0
        reserved = Usage(
            input_tokens=self._incoming.prompt_tokens_at_most + beside, output_tokens=output * body.choices
        )
        plan = Plan(
            seq=self._account.number(),
            kind=kind,
            rung=rung,
            model=model.name,
            provider=model.provider,
            reserved_usage=reserved,
            reserved_nusd=price.worst_case_nusd(reserved.input_tokens, reserved.output_tokens)
            if price
            else None,
            price_version=price.version if price else "",
            simulated=model.simulated,
            frontier=frontier,
        )
        return Attempting(
            plan,
            model=model,
            endpoint=endpoint,
            prompt_bytes=len(self._incoming.data) + (shots.size_bytes if shots is not None else 0),
            account=self._account,
            clock=self._clock,
            price=price,
        )
