"""The rate limits of a configuration, by whom they hold."""

from __future__ import annotations

from collections.abc import Iterable

from smallfirst.config.rates import RateLimits
from smallfirst.config.schema import Config
from smallfirst.gateway.rates.rates import ScopeLimits

_NOTHING = RateLimits()


class ConfiguredRates:
    """Those of tasks and of the whole gateway; keys and tenants bring theirs with the caller."""

    def __init__(self, config: Config) -> None:
        self._gateway = scope_limits("gateway", "", config.limits)
        self._tasks = {name: scope_limits("task", name, task.limits) for name, task in config.tasks.items()}

    def of(self, caller: tuple[ScopeLimits, ...], task: str) -> tuple[ScopeLimits, ...]:
        """All that hold for a call of this caller and task; empty `task` where it has none."""
        return (*self._gateway, *caller, *self._tasks.get(task, ()))

    def all(self, callers: Iterable[tuple[ScopeLimits, ...]]) -> tuple[ScopeLimits, ...]:
        """All that hold for anybody."""
        tasks = [limits for of_task in self._tasks.values() for limits in of_task]
        return (*self._gateway, *tasks, *(limits for caller in callers for limits in caller))


def scope_limits(kind: str, name: str, limits: RateLimits) -> tuple[ScopeLimits, ...]:
    """The scope's limits; none where nothing is limited."""
    counts = (
        limits.requests_per_minute,
        limits.tokens_per_minute,
        limits.input_tokens_per_minute,
        limits.output_tokens_per_minute,
        limits.calls_at_once,
    )
    return () if all(count is None for count in counts) else (ScopeLimits((kind, name), limits),)


def caller_limits(key: str, limits: RateLimits, tenant: str, config: Config) -> tuple[ScopeLimits, ...]:
    """A key's own limits and its tenant's."""
    of_tenant = config.tenants[tenant].limits if tenant in config.tenants else _NOTHING
    return (*scope_limits("key", key, limits), *scope_limits("tenant", tenant, of_tenant))
