"""Where the state directory is: named, or as the configuration says, or where it is by default."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from smallfirst.errors import ConfigError

if TYPE_CHECKING:
    from smallfirst.config import Config
    from smallfirst.evals.session import Home

_DEFAULT = ".smallfirst"

STATE = typer.Option(
    None,
    "--state",
    help="The state directory; default: the configuration's storage.path, else ./.smallfirst.",
)
CONFIG = typer.Option(
    None, "--config", "-c", help="The configuration; default: $SMALLFIRST_CONFIG, else ./smallfirst.toml."
)
JSON = typer.Option(False, "--json", help="Print JSON.")


def state_of(state: Path | None, config: Path | None) -> Path:
    """The state directory. Raises `ConfigError` where a configuration that was named, or found, is wrong."""
    if state is not None:
        return state
    from smallfirst.config import find, load

    try:
        path = find(config)
    except ConfigError:
        if config is not None:
            raise
        return Path(_DEFAULT)
    return (path.parent / load(path).storage.path).resolve()


def config_and_state(state: Path | None, config: Path | None) -> tuple[Config, Path]:
    """The configuration, its defaults where none was named or found, and the state directory. Raises `ConfigError` as `state_of` does, and where
    a directory is named that is none.
    """
    from smallfirst.config import Config, find, load

    if state is not None and not state.is_dir():
        raise ConfigError(f"{state} is no directory", path="--state")
    try:
        path = find(config)
    except ConfigError:
        if config is not None:
            raise
        return Config(), state_of(state, config)
    loaded = load(path)
    return loaded, state or (path.parent / loaded.storage.path).resolve()


def load_config(config: Path | None) -> tuple[Config, Path]:
    """The configuration, and its state directory."""
    from smallfirst.config import find, load

    path = find(config)
    loaded = load(path)
    return loaded, (path.parent / loaded.storage.path).resolve()


def home_of(config: Path | None) -> Home:
    """What evaluations and gates need: the configuration, its folder, its state directory, and the environment."""
    from smallfirst.config import find
    from smallfirst.evals.session import Home

    loaded, state = load_config(config)
    return Home(loaded, state, find(config).parent, os.environ)


def moment(text: str, *, option: str) -> datetime.datetime:
    """A moment in UTC from `2026-11-24`, `2026-11-24T08:00`, or `2d`, `12h`, `30m` ago. Raises
    `ConfigError`.
    """
    units = {"d": "days", "h": "hours", "m": "minutes"}
    if text[:-1].isdigit() and text[-1:] in units:
        ago = {units[text[-1]]: int(text[:-1])}
        try:
            return datetime.datetime.now(datetime.UTC) - datetime.timedelta(**ago)
        except OverflowError:
            raise ConfigError(f"{text} is too long ago", path=option) from None
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"expected a date as 2026-11-24, or 7d, 12h, 30m for how long ago, not {text!r}", path=option
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def utc(at_ms: int) -> str:
    """For people: date and time to the second."""
    return datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")


def minute(at_ms: int) -> str:
    """The same to the minute, for lists; empty for 0, which is never."""
    return utc(at_ms)[:16] if at_ms else ""
