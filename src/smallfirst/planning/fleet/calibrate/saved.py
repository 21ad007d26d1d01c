"""Calibrations that are kept: `STATE/calibrations/NAME.json`, for the owner's eyes only, written after each rate.

`smallfirst plan --calibration NAME` plans with one; the command that began it goes on where it ended.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from smallfirst.durable import write_whole
from smallfirst.errors import ConfigError, StateError
from smallfirst.planning.fleet.calibrate.fit import Fit
from smallfirst.planning.fleet.calibrate.lengths import Lengths
from smallfirst.planning.fleet.calibrate.point import Point
from smallfirst.planning.fleet.gpu import GPU
from smallfirst.planning.fleet.server import Engine
from smallfirst.planning.fleet.shape import Shape

FORMAT = 1
_FOLDER = "calibrations"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, and with what: another setting is another calibration. `endpoint` is without credentials."""

    endpoint: str
    model: str
    gpu: GPU
    shape: Shape
    engine: Engine
    lengths: Lengths
    seed: int


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Rates of an endpoint as they were measured on `made_ms`, each request with its times, and what was fitted to them (None: not yet).

    `kv_tokens` is how many tokens of context the engine says that it has room for. `stopped` says why the sweep ended before it was complete; empty
    where it is.
    """

    name: str
    made_ms: int
    made_by: str
    setting: Setting
    kv_tokens: float | None = None
    points: tuple[Point, ...] = ()
    fit: Fit | None = None
    stopped: str = ""
    format: int = FORMAT


def check_name(state: Path, name: str) -> Path:
    """Where a calibration of that name is. Raises `ConfigError` for a name that is none."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"expected letters, digits, dots, dashes and underscores, at most 64, not {name!r}",
            path="calibration",
        )
    return state / _FOLDER / f"{name}.json"


def save_calibration(state: Path, made: Calibration) -> Path:
    """Writes it whole, in the place of the one before. Raises `OSError` where it cannot be written."""
    path = check_name(state, made.name)
    write_whole(path, msgspec.json.encode(made))
    return path


def load_calibration(state: Path, name: str) -> Calibration:
    """The calibration of that name. Raises `StateError` where there is none, or it cannot be read."""
    path = check_name(state, name)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        known = ", ".join(listed_calibrations(state)) or "none"
        raise StateError(f"no calibration {name!r} is saved in {state}; those that are: {known}") from None
    return _decoded(path, data)


def fit_of(state: Path, name: str) -> tuple[Calibration, Fit]:
    """A calibration that can be planned with. Raises `StateError` where there is none, or nothing was fitted yet."""
    found = load_calibration(state, name)
    if found.fit is None:
        raise StateError(
            f"the calibration {name!r} has {len(found.points)} rates and no fit yet: give its `smallfirst plan calibrate` again, it goes on"
        )
    return found, found.fit


def begun(state: Path, name: str, setting: Setting, *, replace: bool) -> Calibration | None:
    """The calibration of that name to go on with; None where there is none, or it is to be replaced.

    Raises `ConfigError` where there is one of another setting.
    """
    if replace or not check_name(state, name).exists():
        return None
    found = load_calibration(state, name)
    for field in Setting.__struct_fields__:
        if getattr(found.setting, field) != getattr(setting, field):
            raise ConfigError(
                f"there is a calibration {name!r} of another {_WORDS.get(field, field)}; --replace takes its place, another name keeps both",
                path="--save",
            )
    return found


_WORDS = {"shape": "model shape", "lengths": "lengths", "gpu": "GPU", "engine": "engine setting"}


def listed_calibrations(state: Path) -> list[str]:
    """The names of the calibrations that are kept, in their order."""
    return sorted(path.stem for path in (state / _FOLDER).glob("*.json") if not path.name.startswith("."))


def remove_calibration(state: Path, name: str) -> None:
    """Removes one. Raises `StateError` where there is none."""
    try:
        check_name(state, name).unlink()
    except FileNotFoundError:
        raise StateError(f"no calibration {name!r} is saved in {state}") from None


def _decoded(path: Path, data: bytes) -> Calibration:
    try:
        found = msgspec.json.decode(data, type=_Formatted).format
        if found == FORMAT:
            return msgspec.json.decode(data, type=Calibration)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StateError(f"{path} is no saved calibration: {error}") from None
    raise StateError(
        f"{path} was saved by another smallfirst (format {found}, this one reads {FORMAT}): measure again with --replace"
    )


class _Formatted(msgspec.Struct):
    format: int
