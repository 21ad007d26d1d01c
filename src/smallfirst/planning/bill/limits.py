"""The budgets of a month that a configuration and keys made by command set, as a forecast asks for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from smallfirst.money import nusd_from_usd
from smallfirst.planning.bill.forecast import Limit, Scope

if TYPE_CHECKING:
    from smallfirst.config import Config
    from smallfirst.config.budget import Budget
    from smallfirst.ledger.keys import StoredKey


def limits_of_month(config: Config, keys: Iterable[StoredKey]) -> list[Limit]:
    """The whole gateway's first, then tenants', keys' and tasks'. Of what frontier models may cost nothing is forecast."""
    budgets: tuple[tuple[Scope, dict[str, Budget]], ...] = (
        ("gateway", {"": config.budget}),
        ("tenant", {name: tenant.budget for name, tenant in config.tenants.items()}),
        ("key", {name: key.budget for name, key in config.keys.items()}),
        ("task", {name: task.budget for name, task in config.tasks.items()}),
    )
    found = [
        Limit(scope=scope, name=name, nusd=nusd_from_usd(budget.usd_per_month))
        for scope, of in budgets
        for name, budget in of.items()
        if budget.usd_per_month is not None
    ]
    stored = [
        Limit(scope="key", name=key.name, nusd=key.budget_nusd_per_month)
        for key in keys
        if key.budget_nusd_per_month is not None
    ]
    return found + stored
