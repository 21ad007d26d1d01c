"""Calibrations that are kept: `STATE/calibrations/NAME.json`, for the owner's eyes only, written after each rate.

`smallfirst plan --calibration NAME` plans with one; the command that began it goes on where it ended.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from smallfirst.errors import ConfigError, StateError
from smallfirst.planning.fleet.calibrate.fit import Fit
from smallfirst.planning.fleet.calibrate.lengths import Lengths
from smallfirst.planning.fleet.calibrate.point import Point
from smallfirst.planning.fleet.gpu import GPU
from smallfirst.planning.fleet.server import Engine
from smallfirst.planning.fleet.shape import Shape
from smallfirst.planning.kept import Kept

FORMAT = 1


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


CALIBRATIONS = Kept(
    Calibration,
    word="calibration",
    folder="calibrations",
    format_number=FORMAT,
    again="measure again with --replace",
)


def fit_of(state: Path, name: str) -> tuple[Calibration, Fit]:
    """A calibration that can be planned with. Raises `StateError` where there is none, or nothing was fitted yet."""
    found = CALIBRATIONS.load(state, name)
    if found.fit is None:
        raise StateError(
            f"the calibration {name!r} has {len(found.points)} rates and no fit yet: give its `smallfirst plan calibrate` again, it goes on"
        )
    return found, found.fit


def begun(state: Path, name: str, setting: Setting, *, replace: bool) -> Calibration | None:
    """The calibration of that name to go on with; None where there is none, or it is to be replaced.

    Raises `ConfigError` where there is one of another setting.
    """
    if replace or not CALIBRATIONS.path(state, name).exists():
        return None
    found = CALIBRATIONS.load(state, name)
    for field in Setting.__struct_fields__:
        if getattr(found.setting, field) != getattr(setting, field):
            raise ConfigError(
                f"there is a calibration {name!r} of another {_WORDS.get(field, field)}; --replace takes its place, another name keeps both",
                path="--save",
            )
    return found


_WORDS = {"shape": "model shape", "lengths": "lengths", "gpu": "GPU", "engine": "engine setting"}
