"""Forecasts that are kept: `STATE/plans/NAME.json`, for the owner's eyes only, to be compared with what happened (`smallfirst bill --plan NAME`)."""

from __future__ import annotations

from pathlib import Path

import msgspec

from smallfirst.errors import ConfigError
from smallfirst.planning.costs.inputs import Inputs, Source
from smallfirst.planning.costs.quote import Quote
from smallfirst.planning.costs.ways import Way
from smallfirst.planning.kept import Kept

FORMAT = 1


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


PLANS = Kept(SavedPlan, word="plan", folder="plans", format_number=FORMAT, again="plan again")


def check_name(state: Path, name: str, *, replace: bool = False) -> None:
    """Raises `ConfigError` for a name that is none, or is taken."""
    if PLANS.path(state, name).exists() and not replace:
        raise ConfigError(f"there is a plan {name!r} already; --replace takes its place", path="--save")


def save_plan(state: Path, plan: SavedPlan, *, replace: bool = False) -> Path:
    """Writes it whole. Raises `ConfigError` as `check_name` does, `OSError` where it cannot be written."""
    check_name(state, plan.name, replace=replace)
    return PLANS.save(state, plan)


def load_plan(state: Path, name: str) -> SavedPlan:
    """The forecast of that name. Raises `StateError` where there is none, or it cannot be read."""
    return PLANS.load(state, name)
