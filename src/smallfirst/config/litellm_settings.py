"""The sections of a LiteLLM file beside `model_list`.

Retries, time-outs, aliases, fallbacks, the master key and the budget.
"""

from __future__ import annotations

import re
from decimal import ROUND_DOWN, Decimal
from typing import Any

import msgspec

from smallfirst.config import strict
from smallfirst.config.litellm_values import Values, number

_DAYS = {
    "s": Decimal(1) / 86400,
    "m": Decimal(1) / 1440,
    "h": Decimal(1) / 24,
    "d": Decimal(1),
    "w": Decimal(7),
    "mo": Decimal(30),
}
_READ = {
    "litellm_settings": {"num_retries", "request_timeout", "fallbacks", "max_budget", "budget_duration"},
    "router_settings": {"num_retries", "timeout", "stream_timeout", "fallbacks", "model_group_alias"},
    "general_settings": {"master_key"},
}
_SECTIONS = {"model_list", "credential_list", "environment_variables", *_READ}
_WHY = {
    "drop_params": "unknown fields pass through to hosted providers; an own engine gets an allowlist",
    "cache": "a task says it: `exact = true` in [tasks.NAME.cache], and then a release",
    "cache_params": "[tasks.NAME.cache] says what is cached and for how long, [cache] where; a Redis of answers is its url",
    "database_url": "the ledger is a file in storage.path; nothing is to be set up",
    "success_callback": "every call is in the ledger, and /metrics is for Prometheus",
    "failure_callback": "every call is in the ledger, and /metrics is for Prometheus",
    "callbacks": "every call is in the ledger, and /metrics is for Prometheus",
    "routing_strategy": "endpoints are balanced by load",
    "context_window_fallbacks": "a rung whose context is too short is passed over by the ladder",
    "content_policy_fallbacks": "a refusal is the answer; a ladder climbs by the task's contract",
    "default_fallbacks": "a ladder belongs to a task, not to every call",
    "allowed_fails": "an endpoint's breaker opens after five failures in a row",
    "cooldown_time": "an endpoint's breaker opens for ten seconds, then longer",
    "redis_host": "one process needs no shared state; answers are shared by [cache] url",
    "redis_port": "one process needs no shared state; answers are shared by [cache] url",
    "redis_password": "one process needs no shared state; answers are shared by [cache] url",
    "provider_budget_config": "budgets are of keys, tenants and tasks, not of providers",
    "pass_through_endpoints": "[[relay]] passes a path on under its own name, to a declared provider",
    "store_model_in_db": "models stand in the file; those in LiteLLM's database were not read",
    "set_verbose": "smallfirst serve --log-level says how much is logged",
    "telemetry": "smallfirst sends none",
}


class Settings(msgspec.Struct, kw_only=True):
    """What holds for every model. `fallbacks` and `aliases` are by LiteLLM's model names.

    `usd_per_day` the whole proxy's budget.
    """

    taken: list[str] = []
    aliases: dict[str, str] = {}
    fallbacks: dict[str, list[str]] = {}
    total_s: float | None = None
    first_byte_s: float | None = None
    max_attempts: int | None = None
    master_key: str | None = None
    usd_per_day: Decimal | None = None


def read_settings(data: dict[str, Any], values: Values) -> Settings:
    """The settings that have a counterpart; the rest is left, with its reason, in `values`."""
    sections = {name: _section(data, name, values) for name in _READ}
    module, router, general = (
        sections[name] for name in ("litellm_settings", "router_settings", "general_settings")
    )
    settings = Settings()
    settings.total_s = _seconds(router.get("timeout", module.get("request_timeout")))
    settings.first_byte_s = _seconds(router.get("stream_timeout"))
    retries = number(router.get("num_retries", module.get("num_retries")))
    if retries is not None and retries >= 0:
        settings.max_attempts = min(10, int(retries) + 1)
        settings.taken.append(
            f"num_retries {retries}: max_attempts = {settings.max_attempts} of every provider"
        )
    if settings.total_s is not None:
        settings.taken.append(f"timeout {settings.total_s:g} s: timeouts.total_s of every provider")
    settings.aliases = _aliases(router.get("model_group_alias"), values)
    settings.fallbacks = _fallbacks([router.get("fallbacks"), module.get("fallbacks")], values)
    if general.get("master_key") is not None:
        settings.master_key = values.secret(general["master_key"], "LITELLM_MASTER_KEY")
        settings.taken.append(
            'general_settings.master_key: key "litellm-master" (it calls models; it administers nothing)'
        )
    _budget(settings, module, values)
    for section, table in sections.items():
        for field in table:
            if field not in _READ[section]:
                values.leave(f"{section}.{str(field)[:60]}", _WHY.get(str(field), "has no counterpart here"))
    for section in data:
        if section not in _SECTIONS:
            values.leave(str(section)[:60], "this section has no counterpart here")
    if general.get("database_url") or general.get("store_model_in_db"):
        values.leave(
            "virtual keys", "stand in LiteLLM's database, as hashes; `smallfirst keys create` makes new ones"
        )
    return settings


def _section(data: dict[str, Any], name: str, values: Values) -> dict[Any, Any]:
    found = data.get(name)
    if found is not None and not isinstance(found, dict):
        values.leave(name, "is not a table")
    return found if isinstance(found, dict) else {}


def _aliases(table: Any, values: Values) -> dict[str, str]:
    found: dict[str, str] = {}
    for alias, said in table.items() if isinstance(table, dict) else ():
        target = said.get("model") if isinstance(said, dict) else said
        if isinstance(alias, str) and isinstance(target, str) and re.fullmatch(strict.NAME_PATTERN, alias):
            found[alias] = target
        else:
            values.leave(
                "router_settings.model_group_alias", "an entry is not a name that stands for a model"
            )
    return found


def _fallbacks(lists: list[Any], values: Values) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    pairs = [pair for one in lists if isinstance(one, list) for pair in one if isinstance(pair, dict)]
    for pair in pairs:
        for name, after in pair.items():
            if isinstance(name, str) and isinstance(after, list):
                found[name] = [model for model in after if isinstance(model, str)]
    for name in found:
        why = "a fallback is a ladder here, and a ladder belongs to a task; one is in the file, turned off"
        values.leave(f'fallbacks of "{name[:60]}"', why)
    return found


def _budget(settings: Settings, module: dict[Any, Any], values: Values) -> None:
    usd = number(module.get("max_budget"))
    if usd is None:
        return
    days = _days(module.get("budget_duration"))
    if days is None or usd < 0:
        values.leave("litellm_settings.max_budget", "budgets here are per day, and it has no budget_duration")
        return
    per_day = usd / days
    settings.usd_per_day = per_day.quantize(
        Decimal("0.01") if per_day >= 1 else Decimal("0.000001"), ROUND_DOWN
    )
    said = f"max_budget {usd} per {module['budget_duration']}"
    settings.taken.append(f'{said}: {settings.usd_per_day} US dollars a day for tenant "default"')


def _days(duration: Any) -> Decimal | None:
    match = re.fullmatch(r"([1-9][0-9]*)(s|m|h|d|w|mo)", str(duration))
    return int(match[1]) * _DAYS[match[2]] if match else None


def _seconds(value: Any) -> float | None:
    found = number(value)
    return float(found) if found is not None and found > 0 else None
