"""All that a simulator is told at its start: defaults, then ``sim.toml``, then the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any


class InputError(ValueError):
    """A file or request that is not as it should be; the message begins with the place."""


@dataclass(frozen=True, slots=True)
class Task:
    """A kind of prompt, known by ``marker`` in the system prompt, and how often it is answered right."""

    marker: str
    accuracy: float = 1.0
    accuracy_by_model: Mapping[str, float] = field(default_factory=dict[str, float])

    def accuracy_of(self, model: str) -> float:
        """How often ``model`` answers this task right, in [0, 1]."""
        return self.accuracy_by_model.get(model, self.accuracy)


@dataclass(frozen=True, slots=True)
class Latency:
    """How slow to be. Zero everywhere is as fast as the machine goes."""

    latency_ms: float = 0.0  # before the headers of every answer
    ttft_ms: float = 0.0  # median of the lognormal time to the first token
    ttft_sigma: float = 0.0
    tokens_per_second: float = 0.0  # 0: no limit


@dataclass(frozen=True, slots=True)
class Rates:
    """How often a request fails by itself, in [0, 1]; drawn from the seed and the request's number."""

    error_rate: float = 0.0
    cut_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Settings:
    """The frozen configuration of one simulator process."""

    seed: int = 0
    api_key: str | None = None
    answers: str | None = None
    invoice: str | None = None
    prices: str | None = None
    answer_tokens_median: int = 40
    cache_ttl_s: float = 300.0
    invoice_lines_max: int = 200_000
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    tasks: Mapping[str, Task] = field(default_factory=dict[str, Task])
    latency: Latency = Latency()
    rates: Rates = Rates()


def load_settings(path: Path | None, overrides: Mapping[str, Any]) -> Settings:
    """Settings from ``path`` (TOML, may be ``None``) with the non-``None`` ``overrides`` on top.

    ``overrides`` has the names of ``Settings`` and of ``Latency``. ``InputError`` names what is wrong.
    """
    table = tomllib.loads(path.read_text("utf-8")) if path else {}
    settings = parse_settings(table)
    given = {name: value for name, value in overrides.items() if value is not None}
    slow = {name: given.pop(name) for name in [f.name for f in fields(Latency)] if name in given}
    return replace(settings, **given, latency=replace(settings.latency, **slow))


def parse_settings(table: Mapping[str, Any]) -> Settings:
    """Settings from a decoded TOML table; unknown or ill-typed entries are errors with their path."""
    known = dict(table)
    tasks = _table(known.pop("tasks", {}), "tasks")
    latency = _record(Latency, known.pop("latency", {}), "latency")
    rates = _record(Rates, known.pop("rates", {}), "rates")
    for name in fields(Rates):
        if not 0 <= getattr(rates, name.name) <= 1:
            raise InputError(f"rates.{name.name}: expected a number in [0, 1]")
    settings = _record(Settings, known, "")
    parsed = {name: _task(name, row) for name, row in tasks.items()}
    return replace(settings, tasks=parsed, latency=latency, rates=rates)


def load_tasks(path: Path) -> Mapping[str, Task]:
    """The ``[tasks.*]`` tables of ``path`` and nothing else of it."""
    rows = _table(tomllib.loads(path.read_text("utf-8")).get("tasks", {}), "tasks")
    return {name: _task(name, row) for name, row in rows.items()}


def _task(name: str, row: object) -> Task:
    task = _record(Task, row, f"tasks.{name}")
    for model, accuracy in {"": task.accuracy, **task.accuracy_by_model}.items():
        if not isinstance(accuracy, int | float) or not 0 <= accuracy <= 1:
            where = f"accuracy_by_model.{model}" if model else "accuracy"
            raise InputError(f"tasks.{name}.{where}: expected a number in [0, 1]")
    return task


_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "a string"),
    "str | None": ((str,), "a string"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number that is not negative"),
    "Mapping[str, str]": ((dict,), "a table"),
    "Mapping[str, float]": ((dict,), "a table"),
}


def _record(kind: type[Any], row: object, where: str) -> Any:
    entries = _table(row, where)
    known = {f.name: str(f.type) for f in fields(kind)}
    dot = f"{where}." if where else ""
    for name, value in entries.items():
        if name not in known or known[name] not in _KINDS:
            raise InputError(f"{dot}{name}: unknown entry; known are {', '.join(sorted(known))}")
        types, wanted = _KINDS[known[name]]
        number = isinstance(value, int | float)
        if not isinstance(value, types) or isinstance(value, bool) or (number and value < 0):
            raise InputError(f"{dot}{name}: expected {wanted}")
    try:
        return kind(**entries)
    except TypeError as problem:
        raise InputError(f"{where}: {str(problem).split('() ')[-1]}") from problem


def _table(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a table")
    return value
