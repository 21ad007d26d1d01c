"""What a check found: a level, a place and a sentence."""

from __future__ import annotations

import datetime
import importlib.util
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import msgspec

from smallfirst.config.nearest import did_you_mean

Level = Literal["error", "warning", "note"]
"""An `error` keeps the gateway from starting; a `warning` will surprise somebody.

A `note` is worth knowing.
"""


class Finding(msgspec.Struct, frozen=True):
    """Something a check found. `path` is dotted, as in `tasks.ticket-triage.ladder[0]`.

    No message holds a secret.
    """

    level: Level
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def is_installed(module: str) -> bool:
    """Whether a module can be imported."""
    return importlib.util.find_spec(module) is not None


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a configuration is checked against, besides itself.

    `environ` is where secrets are looked up, None for "do not look". `price_doubt` says what is wrong with
    the price of a model (its name, its provider's), None if nothing is; it comes from `pricing/`, which
    stands above this package.
    """

    environ: Mapping[str, str] | None = None
    today: datetime.date = msgspec.field(default_factory=_today)
    installed: Callable[[str], bool] = is_installed
    price_doubt: Callable[[str, str], str | None] | None = None


def error(path: str, message: str) -> Finding:
    return Finding("error", path, message)


def warning(path: str, message: str) -> Finding:
    return Finding("warning", path, message)


def note(path: str, message: str) -> Finding:
    return Finding("note", path, message)


def nearest_or_all(name: str, known: Iterable[str]) -> str:
    """The end of a sentence that offers the nearest known name, or all of them where there are few."""
    names = list(known)
    if offer := did_you_mean(name, names):
        return offer
    if not names:
        return "; none is declared"
    return f"; known: {', '.join(names)}" if len(names) <= 8 else ""
