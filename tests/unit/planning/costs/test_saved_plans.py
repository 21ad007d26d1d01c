"""Forecasts that are kept: whole, private, versioned, and never over another by mistake."""

import stat

import pytest
from support.plans import basis

from smallfirst.errors import ConfigError, StateError
from smallfirst.planning.costs.inputs import Inputs
from smallfirst.planning.costs.plan import make_plan, to_save
from smallfirst.planning.costs.saved import PLANS, check_name, load_plan, save_plan

INPUTS = Inputs(
    calls_per_day=1e7, input_tokens=800, output_tokens=200, frontier_share=0.2, cache_hit_rate=0.3
)


def saved(name="autumn", **inputs):
    one = basis(serverless=None, spot=None)
    plan = make_plan(
        Inputs(**{field: getattr(INPUTS, field) for field in INPUTS.__struct_fields__} | inputs), {}, one
    )
    return to_save(plan, one, name, task="triage", made_ms=1, made_by="me")


def test_a_forecast_comes_back_as_it_was_made(tmp_path):
    plan = saved()
    path = save_plan(tmp_path / "state", plan)
    assert load_plan(tmp_path / "state", "autumn") == plan
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert PLANS.names(tmp_path / "state") == ["autumn"]


def test_a_day_of_it_adds_up():
    day = saved(way="hosted").day
    assert (day.calls, day.cache_hits, day.frontier_calls, day.small_calls) == (1e7, 3e6, 1.4e6, 5.6e6)
    assert (day.frontier_call_usd, day.small_call_usd) == (0.0054, 0.00018)
    assert day.total_usd == day.frontier_usd + day.small_usd + day.fixed_usd == 8_568
    assert day.all_frontier_usd == 54_000
    assert day.prices == {"$3/$15": "given", "$0.1/$0.5": "given"}
    own = saved(way="own").day
    assert (own.small_usd, own.small_call_usd, own.fixed_usd) == (0, None, 432)
    assert saved(way="frontier").day.cache_hits == 0


def test_a_name_that_is_taken_is_not_overwritten_unasked(tmp_path):
    save_plan(tmp_path, saved())
    with pytest.raises(ConfigError, match="--replace takes its place"):
        save_plan(tmp_path, saved())
    save_plan(tmp_path, saved(way="own"), replace=True)
    assert load_plan(tmp_path, "autumn").way == "own"


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 65, "a\n", "naïve"])
def test_a_name_cannot_leave_the_folder(tmp_path, name):
    for use in (check_name, load_plan, PLANS.remove):
        with pytest.raises(ConfigError):
            use(tmp_path, name)


def test_what_is_not_there_or_not_ours_is_said(tmp_path):
    with pytest.raises(StateError, match=r"no plan 'autumn' is saved in .*; those that are: none"):
        load_plan(tmp_path, "autumn")
    path = save_plan(tmp_path, saved())
    for data, told in (
        (b"", "is no saved plan"),
        (b'{"format": 2}', "another smallfirst"),
        (b'{"format": 1}', "is no saved plan"),
    ):
        path.write_bytes(data)
        with pytest.raises(StateError, match=told):
            load_plan(tmp_path, "autumn")
    PLANS.remove(tmp_path, "autumn")
    with pytest.raises(StateError):
        PLANS.remove(tmp_path, "autumn")


def test_what_can_only_be_compared_with_is_not_saved():
    with pytest.raises(ConfigError, match="own-saturated can only be compared with"):
        saved(way="own-saturated")
