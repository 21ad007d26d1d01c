"""Forecasts that are kept: `STATE/plans/NAME.json`, for the owner's eyes only, to be compared with what happened (`smallfirst bill --plan NAME`)."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from smallfirst.durable import write_whole
from smallfirst.errors import ConfigError, StateError
from smallfirst.planning.costs.inputs import Inputs, Source
from smallfirst.planning.costs.quote import Quote
from smallfirst.planning.costs.ways import Way

FORMAT = 1
_FOLDER = "plans"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ExpectedDay(msgspec.Struct, frozen=True, kw_only=True):
    """What the chosen way expects of a day. Money is in dollars; `fixed_usd` (GPUs) does not follow the calls.

    Of `calls`, the cache answers `cache_hits`, the frontier `frontier_calls` and the small model the rest; it is asked `small_calls`. `prices` are
    the price versions by model.
    """

    calls: float
    cache_hits: float
    frontier_calls: float
    small_calls: float
    input_tokens_per_call: float
    output_tokens_per_call: float
    cached_share: float
    cache_hit_rate: float
    frontier_share: float
    frontier_call_usd: float
    small_call_usd: float | None  # by the call; None where GPUs are paid by the hour
    frontier_usd: float
    small_usd: float
    fixed_usd: float
    total_usd: float
    all_frontier_usd: float
    prices: dict[str, str]


class SavedPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A forecast as it was made: of `task` (empty: of all), on `made_ms`, with its inputs, its prices and all ways; `way` was chosen."""

    name: str
    made_ms: int
    made_by: str
    task: str
    inputs: Inputs
    sources: dict[str, Source]
    frontier: Quote
    hosted: Quote | None
    ways: tuple[Way, ...]
    way: str
    day: ExpectedDay
    format: int = FORMAT


def check_name(state: Path, name: str, *, replace: bool = False) -> Path:
    """Where a forecast of that name goes. Raises `ConfigError` for a name that is none, or is taken."""
    path = _path(state, name)
    if path.exists() and not replace:
        raise ConfigError(f"there is a plan {name!r} already; --replace takes its place", path="--save")
    return path


def save_plan(state: Path, plan: SavedPlan, *, replace: bool = False) -> Path:
    """Writes it whole. Raises `ConfigError` as `check_name` does, `OSError` where it cannot be written."""
    path = check_name(state, plan.name, replace=replace)
    write_whole(path, msgspec.json.encode(plan))
    return path


def load_plan(state: Path, name: str) -> SavedPlan:
    """The forecast of that name. Raises `StateError` where there is none, or it cannot be read."""
    path = _path(state, name)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        known = ", ".join(listed_plans(state)) or "none"
        raise StateError(f"no plan {name!r} is saved in {state}; those that are: {known}") from None
    return _decoded(path, data)


def listed_plans(state: Path) -> list[str]:
    """The names of the forecasts that are kept, in their order."""
    return sorted(path.stem for path in (state / _FOLDER).glob("*.json") if not path.name.startswith("."))


def remove_plan(state: Path, name: str) -> None:
    """Removes a forecast. Raises `StateError` where there is none."""
    try:
        _path(state, name).unlink()
    except FileNotFoundError:
        raise StateError(f"no plan {name!r} is saved in {state}") from None


def _path(state: Path, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"expected letters, digits, dots, dashes and underscores, at most 64, not {name!r}", path="plan"
        )
    return state / _FOLDER / f"{name}.json"


def _decoded(path: Path, data: bytes) -> SavedPlan:
    try:
        found = msgspec.json.decode(data, type=_Formatted).format
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(f"{path} is no saved plan: {error}") from None
    if found != FORMAT:
        raise StateError(
            f"{path} was saved by another smallfirst (format {found}, this one reads {FORMAT}): plan again"
        )
    try:
        return msgspec.json.decode(data, type=SavedPlan)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(f"{path} is no saved plan: {error}") from None


class _Formatted(msgspec.Struct):
    format: int
