"""Prices and budgets: sums that can be counted exactly, and keys that can still spend them."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal

from smallfirst import money
from smallfirst.config import dotted
from smallfirst.config.finding import Finding, Surroundings, error, warning
from smallfirst.config.schema import Config, Model
from smallfirst.config.spending import check_budget, check_usd

_NO_SMALL_RUNG = '"small" never applies: the ladder has one rung, so calls at the limit are refused'
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
    yield from check_budget("budget", config.budget, around)
    for table, owners in (("tenants", config.tenants), ("keys", config.keys), ("tasks", config.tasks)):
        for name, owner in owners.items():
            path = dotted.join(dotted.join(table, name), "budget")
            yield from check_budget(path, owner.budget, around)
            if table == "tasks" and owner.budget.at_limit == "small" and len(config.tasks[name].ladder) < 2:
                yield warning(dotted.join(path, "at_limit"), _NO_SMALL_RUNG)
    for name, task in config.tasks.items():
        where = dotted.join(dotted.join(dotted.join("tasks", name), "rollout"), "explore_usd_per_day")
        yield from check_usd(where, task.rollout.explore_usd_per_day)
    yield from _keys(config, around)


def _model(path: str, model: Model) -> Iterator[Finding]:
    if model.hourly_usd is not None:
        yield from check_usd(dotted.join(path, "hourly_usd"), model.hourly_usd)
    seen: set[tuple[str, str]] = set()
    for at, price in enumerate(model.prices):
        where = dotted.item(dotted.join(path, "prices"), at)
        for field in _TOKEN_PRICES:
            yield from _token_price(dotted.join(where, field), getattr(price, field))
        yield from check_usd(dotted.join(where, "per_call"), price.per_call)
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
