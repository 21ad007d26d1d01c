"""Where a model is reached: its endpoints, each with a circuit breaker and passive health, balanced by load.

A breaker opens after `BREAKER_FAILURES` failures in a row and lets one trial through after `BREAKER_OPEN_S`, then twice as long, and so on up
to eight times. A refusal that says nothing of the endpoint's health (400, 401, 404) is not a failure.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from yarl import URL

from smallfirst import limits
from smallfirst.errors import UpstreamUnavailable

_MAX_BACKOFF = 8
_MAX_URLS = 1024  # built and kept, of one endpoint


class Breaker:
    """Closed while things go well, open after failures in a row, half open for one trial at a time."""

    __slots__ = ("_clock", "_opened_s", "_trial", "failures")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._opened_s: float | None = None
        self._trial = False
        self.failures = 0

    @property
    def state(self) -> str:
        if self._opened_s is None:
            return "closed"
        return "half-open" if self._clock() >= self._opened_s + self._open_for_s else "open"

    @property
    def allows(self) -> bool:
        """Whether a request may be sent now."""
        return self._opened_s is None or (not self._trial and self.state == "half-open")

    def begin(self) -> None:
        """A request is sent: in the half-open state it is the trial."""
        if self._opened_s is not None:
            self._trial = True

    def success(self) -> None:
        self.failures = 0
        self._opened_s = None
        self._trial = False

    def failure(self) -> None:
        if self._opened_s is not None and not self._trial:
            return  # sent before it opened: one outage, told by many calls at once, is not many in a row
        self._trial = False
        self.failures += 1
        if self.failures >= limits.BREAKER_FAILURES:
            self._opened_s = self._clock()

    def abandon(self) -> None:
        """The request told nothing: its client went away, or the upstream refused it for its content."""
        self._trial = False

    @property
    def _open_for_s(self) -> float:
        rounds = max(0, self.failures - limits.BREAKER_FAILURES)
        return limits.BREAKER_OPEN_S * min(_MAX_BACKOFF, 2**rounds)


class Endpoint:
    """One address of a model. `waiting` is what the engine itself reports (vLLM's queue), 0 where it reports nothing."""

    __slots__ = ("base_url", "breaker", "in_flight", "name", "ready", "urls", "waiting")

    def __init__(self, base_url: str, *, name: str = "") -> None:
        self.base_url = URL(base_url.rstrip("/"), encoded=True)
        self.name = name or str(self.base_url.with_user(None).with_query(None))
        self.breaker = Breaker()
        self.in_flight = 0
        self.waiting = 0.0
        self.ready = True
        self.urls: dict[str, URL] = {}

    def move(self, base_url: URL) -> None:
        """The same endpoint at another address: an embedded server that was started again."""
        self.base_url = base_url
        self.urls.clear()
        self.breaker = Breaker()

    def url(self, path: str) -> URL:
        """`base_url` followed by `path`, which may carry a query; built once."""
        url = self.urls.get(path)
        if url is None:
            if len(self.urls) >= _MAX_URLS:  # Azure's paths name the model
                self.urls.clear()
            url = self.urls[path] = URL(str(self.base_url) + path, encoded=True)
        return url

    @property
    def usable(self) -> bool:
        return self.ready and self.breaker.allows

    @property
    def load(self) -> float:
        return self.in_flight + self.waiting


class Endpoints:
    """The endpoints of one model or provider."""

    def __init__(self, endpoints: list[Endpoint], *, why_none: str = "") -> None:
        """`why_none` says why there is none, where that is known."""
        self.all = endpoints
        self._why_none = why_none

    def choose(self, *, besides: Endpoint | None = None) -> Endpoint:
        """The least loaded usable endpoint, another than `besides` where there is one.

        Raises `UpstreamUnavailable` when every breaker is open or nothing is ready.
        """
        if len(self.all) == 1:
            only = self.all[0]
            if only.ready and only.breaker.allows:
                return only
        usable = [endpoint for endpoint in self.all if endpoint.usable]
        if not usable:
            raise UpstreamUnavailable(
                self._why_none
                or "no endpoint can be asked now: not ready, or its circuit breaker is open after failures in a row",
                retry_after_s=limits.BREAKER_OPEN_S,
            )
        others = [endpoint for endpoint in usable if endpoint is not besides] or usable
        least = min(endpoint.load for endpoint in others)
        return random.choice([endpoint for endpoint in others if endpoint.load <= least])  # noqa: S311 (not a secret)

    @property
    def usable(self) -> bool:
        return any(endpoint.usable for endpoint in self.all)


class RetryBudget:
    """Retries are at most a fifth of the calls plus ten a second, however many calls fail (Finagle's rule): no retry storms."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tokens = limits.RETRY_BUDGET_PER_SECOND
        self._at_s = clock()

    def deposit(self) -> None:
        """A call was made."""
        self._tokens = min(self._tokens + limits.RETRY_BUDGET_RATIO, 100 * limits.RETRY_BUDGET_PER_SECOND)

    def withdraw(self) -> bool:
        """Whether one retry may be made now."""
        now_s = self._clock()
        self._tokens += (now_s - self._at_s) * limits.RETRY_BUDGET_PER_SECOND
        self._tokens = min(self._tokens, 100 * limits.RETRY_BUDGET_PER_SECOND)
        self._at_s = now_s
        if self._tokens < 1 - 1e-9:  # fifths are not exact in binary
            return False
        self._tokens -= 1
        return True
