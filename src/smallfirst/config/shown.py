"""A configuration as it may be shown: references instead of secrets, credentials masked."""

from __future__ import annotations

from typing import Any

import msgspec

from smallfirst.config.schema import Budget, Config, RateLimits
from smallfirst.config.secrets import header_looks_secret, without_credentials

HIDDEN = "(hidden)"
_NO_LIMITS = msgspec.to_builtins(RateLimits())
_NO_BUDGET = msgspec.to_builtins(Budget())


def shown(config: Config) -> dict[str, Any]:
    """The effective configuration as plain tables and values, defaults written out.

    What is absent and has no default is left out.
    """
    tables = {field: shown_field((field,), getattr(config, field)) for field in Config.__struct_fields__}
    return {name: table for name, table in tables.items() if table not in (None, {}, [])}


def shown_field(steps: tuple[str, ...], value: Any) -> Any:
    """One field as plain values. `steps` is where it stands.

    Headers and addresses may hold what must not be shown.
    """
    plain = msgspec.to_builtins(value, builtin_types=())
    return _masked(steps, plain)


def _masked(steps: tuple[str, ...], value: Any) -> Any:
    if isinstance(value, dict):
        kept = {
            name: item
            for name, item in value.items()
            if item is not None and not _is_empty(steps, name, item)
        }
        return {name: _masked((*steps, name), item) for name, item in kept.items()}
    if isinstance(value, list | tuple):
        return [_masked(steps, item) for item in value]
    if isinstance(value, str):
        return _masked_text(steps, value)
    return value


def _is_empty(steps: tuple[str, ...], name: str, value: Any) -> bool:
    if len(steps) == 2 and name == "limits":
        return value == _NO_LIMITS
    if len(steps) == 2 and name == "budget":
        return value == _NO_BUDGET
    return len(steps) == 2 and name == "headers" and value == {}


def _masked_text(steps: tuple[str, ...], text: str) -> str:
    if len(steps) > 3 and steps[0] == "providers" and steps[2] == "headers":
        return HIDDEN if header_looks_secret(steps[3], text) else text
    if steps[-1:] in (("base_url",), ("endpoints",)):
        return without_credentials(text)
    return text
