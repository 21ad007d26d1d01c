"""Prices and budgets: sums that can be counted exactly, and keys that can still spend them."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal

from smallfirst import money
from smallfirst.config import dotted
from smallfirst.config.finding import Finding, Surroundings, error, warning
from smallfirst.config.schema import Budget, Config, Model

_TOKEN_PRICES = (
    "input",
    "output",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "input_audio",
    "output_audio",
    "reasoning",
)


def check_sums(config: Config, around: Surroundings) -> Iterator[Finding]:
    """Prices of models, budgets of tenants, keys and tasks, and the days on which keys end."""
    for name, model in config.models.items():
        yield from _model(dotted.join("models", name), model)
        doubt = around.price_doubt
        if (
            doubt is not None
            and model.provider in config.providers
            and (wrong := doubt(name, model.provider))
        ):
            yield warning(dotted.join("models", name), wrong)
    for table, owners in (("tenants", config.tenants), ("keys", config.keys), ("tasks", config.tasks)):
        for name, owner in owners.items():
            yield from _budget(dotted.join(dotted.join(table, name), "budget"), owner.budget)
    for name, task in config.tasks.items():
        where = dotted.join(dotted.join(dotted.join("tasks", name), "rollout"), "explore_usd_per_day")
        yield from _usd(where, task.rollout.explore_usd_per_day)
    yield from _keys(config, around)


def _model(path: str, model: Model) -> Iterator[Finding]:
    if model.hourly_usd is not None:
        yield from _usd(dotted.join(path, "hourly_usd"), model.hourly_usd)
    seen: set[tuple[str, str]] = set()
    for at, price in enumerate(model.prices):
        where = dotted.item(dotted.join(path, "prices"), at)
        for field in _TOKEN_PRICES:
            yield from _token_price(dotted.join(where, field), getattr(price, field))
        yield from _usd(dotted.join(where, "per_call"), price.per_call)
        if (price.since, price.tier) in seen:
            yield error(where, f"a second price since {price.since} for tier {price.tier}")
        elif price.tier != model.tier:
            yield warning(
                where, f'is for tier "{price.tier}" and never applies: the model\'s tier is "{model.tier}"'
            )
        seen.add((price.since, price.tier))


def _token_price(path: str, usd_per_million: Decimal | None) -> Iterator[Finding]:
    try:
        money.fusd_per_token(usd_per_million or Decimal(0))
    except ValueError as wrong:
        yield error(path, str(wrong))


def _usd(path: str, usd: Decimal) -> Iterator[Finding]:
    if usd < 0:
        yield error(path, f"a sum of at least 0 is expected, not {usd}")
        return
    try:
        money.nusd_from_usd(usd)
    except ValueError as wrong:
        yield error(path, str(wrong))


def _budget(path: str, budget: Budget) -> Iterator[Finding]:
    if budget.frontier_usd_per_day is not None:
        yield from _usd(dotted.join(path, "frontier_usd_per_day"), budget.frontier_usd_per_day)
    if budget.usd_per_day is None:
        return
    where = dotted.join(path, "usd_per_day")
    yield from _usd(where, budget.usd_per_day)
    if budget.usd_per_day == 0:
        yield warning(where, "0 refuses every call that costs anything; leave it out for no limit")


def _keys(config: Config, around: Surroundings) -> Iterator[Finding]:
    owners: dict[str, str] = {}
    for name, key in config.keys.items():
        path = dotted.join("keys", name)
        if key.secret in owners:
            yield error(
                dotted.join(path, "secret"),
                f'{key.secret} is already the secret of key "{owners[key.secret]}"',
            )
        owners.setdefault(key.secret, name)
        if key.expires is not None and datetime.date.fromisoformat(key.expires) < around.today:
            yield warning(dotted.join(path, "expires"), f"the key ended on {key.expires}, and is refused")
