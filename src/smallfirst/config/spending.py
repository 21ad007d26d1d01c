"""Budgets that can be kept, and alarms that reach somebody: sums, thresholds, and addresses of webhooks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from decimal import Decimal
from urllib.parse import urlsplit

from smallfirst import money
from smallfirst.config import dotted
from smallfirst.config.addresses import is_loopback
from smallfirst.config.budget import Alarms, Budget
from smallfirst.config.finding import Finding, Surroundings, error, warning
from smallfirst.config.secrets import is_reference, resolve
from smallfirst.errors import ConfigError

_SUMS = ("usd_per_day", "usd_per_month", "usd_total", "frontier_usd_per_day", "frontier_usd_per_month")
_NEVER_REACHED = (  # a sum, and one over the same or a longer time that ends first
    ("usd_per_day", "usd_per_month"),
    ("usd_per_day", "usd_total"),
    ("usd_per_month", "usd_total"),
    ("frontier_usd_per_day", "frontier_usd_per_month"),
    ("frontier_usd_per_day", "usd_per_day"),
    ("frontier_usd_per_month", "usd_per_month"),
)


def check_budget(path: str, budget: Budget, around: Surroundings) -> Iterator[Finding]:
    """What is wrong with a budget at this path."""
    sums = {field: usd for field in _SUMS if (usd := getattr(budget, field)) is not None}
    for field, usd in sums.items():
        yield from check_usd(dotted.join(path, field), usd)
        if usd == 0 and not field.startswith("frontier"):
            yield warning(
                dotted.join(path, field),
                "0 refuses every call that costs anything; leave it out for no limit",
            )
    for field, other in _NEVER_REACHED:
        if field in sums and other in sums and sums[field] > sums[other]:
            yield warning(
                dotted.join(path, field), f"is more than {other}, which ends first: it never applies"
            )
    if budget.at_limit == "small" and not sums:
        yield warning(dotted.join(path, "at_limit"), "there is no limit here that it could apply to")
    yield from _alarms(dotted.join(path, "alarms"), budget.alarms, around)


def check_usd(path: str, usd: Decimal) -> Iterator[Finding]:
    """What is wrong with a sum of US dollars."""
    if usd < 0:
        yield error(path, f"a sum of at least 0 is expected, not {usd}")
        return
    try:
        money.nusd_from_usd(usd)
    except ValueError as wrong:
        yield error(path, str(wrong))


def _alarms(path: str, alarms: Alarms, around: Surroundings) -> Iterator[Finding]:
    at = alarms.at or ()
    if any(low >= high for low, high in itertools.pairwise(at)):
        yield error(dotted.join(path, "at"), "the shares must rise, as in [0.5, 0.8, 1.0]")
    if alarms.secret is not None:
        yield from _secret(dotted.join(path, "secret"), alarms.secret, around)
    if alarms.webhook is not None:
        yield from _webhook(dotted.join(path, "webhook"), alarms.webhook, around)


def _secret(path: str, ref: str, around: Surroundings) -> Iterator[Finding]:
    if around.environ is None and is_reference(ref):
        return
    try:
        resolve(ref, around.environ or {}, path=path)
    except ConfigError as wrong:
        yield error(path, str(wrong).removeprefix(f"{path}: "))


def _webhook(path: str, ref: str, around: Surroundings) -> Iterator[Finding]:
    """The address may hold a token, and is not shown."""
    found = list(_secret(path, ref, around))
    yield from found
    if found or around.environ is None:
        return
    try:
        parts = urlsplit(resolve(ref, around.environ, path=path))
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        yield error(path, f"{ref} holds no address")
        return
    if parts.scheme not in ("http", "https") or not host:
        yield error(path, f"{ref} holds no address that begins with https://")
    elif parts.scheme == "http" and not is_loopback(host):
        yield error(
            path, f"{ref} holds an address that is not encrypted; https:// is required outside this machine"
        )
    elif "@" in parts.netloc:
        yield error(path, f"{ref} holds a user or password; a webhook's token stands in its path")
