"""The limits that a configuration sets its tenants, keys, tasks and the whole gateway, and those of keys that `smallfirst keys create` made."""

from __future__ import annotations

from collections.abc import Iterable

from smallfirst.config.budget import Alarms
from smallfirst.config.schema import Config
from smallfirst.gateway.budget.limit import GATEWAY, Limit, PurseName, limits_of
from smallfirst.gateway.budget.period import Period
from smallfirst.ledger.keys import StoredKey


def gateway_limits(config: Config) -> tuple[Limit, ...]:
    return limits_of(GATEWAY, "", config.budget, config.budget.alarms)


def tenant_limits(name: str, config: Config) -> tuple[Limit, ...]:
    tenant = config.tenants.get(name)
    return () if tenant is None else limits_of("tenant", name, tenant.budget, config.budget.alarms)


def key_limits(name: str, config: Config) -> tuple[Limit, ...]:
    return limits_of("key", name, config.keys[name].budget, config.budget.alarms)


def task_limits(name: str, config: Config) -> tuple[Limit, ...]:
    return limits_of("task", name, config.tasks[name].budget, config.budget.alarms)


def stored_limits(key: StoredKey, config: Config) -> tuple[Limit, ...]:
    """Of a key that no file declares: calls that do not fit are refused."""
    sums: tuple[tuple[Period, int | None], ...] = (
        ("day", key.budget_nusd_per_day),
        ("month", key.budget_nusd_per_month),
        ("total", key.budget_nusd_total),
    )
    alarms = Alarms().under(config.budget.alarms)
    return tuple(
        Limit(PurseName("key", key.name, period), nusd, alarms=alarms)
        for period, nusd in sums
        if nusd is not None
    )


def all_limits(config: Config, keys: Iterable[StoredKey]) -> tuple[Limit, ...]:
    """Every limit there is: the whole gateway's first, then tenants', keys' and tasks'."""
    return (
        *gateway_limits(config),
        *(limit for name in config.tenants for limit in tenant_limits(name, config)),
        *(limit for name in config.keys for limit in key_limits(name, config)),
        *(limit for key in keys for limit in stored_limits(key, config)),
        *(limit for name in config.tasks for limit in task_limits(name, config)),
    )
