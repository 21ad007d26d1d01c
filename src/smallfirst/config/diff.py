"""What differs between two configurations, and what it takes for each difference to be served."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from smallfirst.config import dotted
from smallfirst.config.schema import Config, Rung, Strict
from smallfirst.config.shown import shown_field

Kind = Literal["reload", "release", "restart"]
"""`reload`: SIGHUP applies it. `release`: only `smallfirst release build`, and loading what it made.

`restart`: the process must start again.
"""

_RESTART = {
    ("server", "host"),
    ("server", "port"),
    ("server", "drain_s"),
    ("storage", "path"),
    ("frontier",),
    ("cache",),
}
_TASK_RELOADS = {"budget", "limits", "keep_bodies", "redact", "gate", "rollout"}
_IDENTITY = {
    "",
    "provider",
    "id",
    "weights_sha256",
    "adapter",
    "form",
}  # what a model *is*: policies hold it; "" is the whole table


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One field that differs. `old` is None where it is new, `new` where it is gone.

    Credentials are masked.
    """

    path: str
    old: Any
    new: Any
    kind: Kind

    def __str__(self) -> str:
        return f"{self.path}: {_text(self.old)} → {_text(self.new)}"


def diff(old: Config, new: Config) -> list[Change]:
    """Every field that differs, in the order of the file; tables that are new or gone come as a whole."""
    changes: list[Change] = []
    context = _Context(old, new)
    for field in Config.__struct_fields__:
        context.compare(changes, (field,), getattr(old, field), getattr(new, field))
    return changes


class _Context:
    """Which models decide answers, and which are started beside the gateway, in either configuration."""

    def __init__(self, old: Config, new: Config) -> None:
        self._rungs = _rungs(old) | _rungs(new)
        self._embedded = _embedded(old) | _embedded(new)

    def compare(self, changes: list[Change], steps: tuple[str, ...], old: Any, new: Any) -> None:
        if old == new:
            return
        if isinstance(old, Strict) and type(old) is type(new):
            for field in old.__struct_fields__:
                self.compare(changes, (*steps, field), getattr(old, field), getattr(new, field))
        elif isinstance(old, dict) and isinstance(new, dict):
            for name in [*old, *(name for name in new if name not in old)]:
                self.compare(changes, (*steps, name), old.get(name), new.get(name))
        else:
            kind = self._kind(steps)
            shown = (shown_field(steps, old), shown_field(steps, new))
            changes.append(Change(path=_path(steps), old=shown[0], new=shown[1], kind=kind))

    def _kind(self, steps: tuple[str, ...]) -> Kind:
        if steps[:2] in _RESTART or steps[:1] in _RESTART or steps[:2] in self._embedded:
            return "restart"
        table, name, field = (*steps, "", "", "")[:3]
        if table == "routing":
            return "release" if name == "intents" else "reload"
        if table == "tasks":
            return "reload" if field in _TASK_RELOADS else "release"
        if table == "models" and name in self._rungs and field in _IDENTITY:
            return "release"
        return "reload"


def _rungs(config: Config) -> set[str]:
    ladders = [task.ladder for task in config.tasks.values()]
    return {rung.model if isinstance(rung, Rung) else rung for ladder in ladders for rung in ladder}


def _embedded(config: Config) -> set[tuple[str, str]]:
    providers = {name for name, provider in config.providers.items() if provider.kind == "embedded"}
    models = {("models", name) for name, model in config.models.items() if model.provider in providers}
    return models | {("providers", name) for name in providers}


def _path(steps: tuple[str, ...]) -> str:
    path = ""
    for step in steps:
        path = dotted.join(path, step)
    return path


def _text(value: Any) -> str:
    if value is None:
        return "absent"
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else text[:59] + "…"
