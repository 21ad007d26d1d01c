"""The way `now`: the ladder as the ledger measured it, and what it is at another volume."""

import msgspec
import pytest
from support.ledger import AT_MS, HOUR_MS, attempt, call, settlement
from support.plans import basis, work

from smallfirst.chat import Usage
from smallfirst.config import Config
from smallfirst.ledger.ledger import Ledger
from smallfirst.ledger.records import Heartbeat
from smallfirst.planning.costs.crossings import crossings, line_of
from smallfirst.planning.costs.inputs import Inputs, Source
from smallfirst.planning.costs.measured import measured
from smallfirst.planning.costs.now import FOLLOWED, Now
from smallfirst.planning.costs.plan import make_plan, small_prices, to_save
from smallfirst.planning.costs.quote import token_price
from smallfirst.planning.costs.ways import NOT_SERVED, parts_of, ways_of

READ = Usage(input_tokens=800, output_tokens=200)
HOURS, HOUR = 48, AT_MS // HOUR_MS
NOW = Now(
    small_call_usd=0.001, hours_usd_per_day=24.0, input_tokens=800, output_tokens=200, models=("own", "head")
)


def small(model, cost_nusd: int | None = 0, **fields):
    return attempt(0, model=model, frontier=False, cost_nusd=cost_nusd, **fields)


def of_an_hour(hour):
    """Ten calls: one from the cache, three that climb from a head, one that a model sold by the token answers, five that the own one does; and ten
    of another task, which the own one answers.
    """
    at = {"at_ms": AT_MS + hour * HOUR_MS, "cache": "miss"}
    yield from (call(small("head"), attempt(1, usage=READ), **at) for _ in range(3))
    yield call(small("sold", 3_000_000), **at)
    yield from (call(small("own"), **at) for _ in range(5))
    hit = call(cache="exact", saved_nusd=5, cost_nusd=0, at_ms=AT_MS + hour * HOUR_MS)
    yield msgspec.structs.replace(hit, attempts=())
    yield from (call(small("own"), task="other", **at) for _ in range(10))


def found_in(state, *more, task=None, until_hour=None):
    ledger = Ledger.open(state)
    for hour in range(HOURS):
        for one in of_an_hour(hour):
            ledger.journal.append_settlement(settlement(one))
        beat = Heartbeat(at_ms=AT_MS + hour * HOUR_MS, seconds=3600.0, hourly_nusd={"own": 2 * 10**9})
        ledger.journal.append(beat)
    for one in more:
        ledger.journal.append_settlement(settlement(one))
    ledger.close()
    with Ledger.read(state) as read:
        return measured(read, Config(), task=task, until_hour=until_hour)


def now_in(found):
    assert found.now is not None
    return found.now


def basis_with(found, **changed):
    values = {name: value for name, (value, _) in found.inputs.items() if name in work().__struct_fields__}
    return basis(workload=work(**(values | changed)), hosted=None, own=None)._replace(now=found.now)


def test_it_costs_what_was_recorded_by_call_and_by_hour(tmp_path):
    found = found_in(tmp_path)
    whole = basis_with(found)
    parts = {name: float(usd) for name, usd in parts_of("now", whole).items()}
    frontier_call_usd = float(whole.frontier_usd)
    assert parts == {
        "frontier": pytest.approx(3 * 24 * frontier_call_usd),
        "small": pytest.approx(24 * 0.003),
        "hours": pytest.approx(48.0),
    }
    assert now_in(found).models == ("head", "own", "sold")
    assert [way.name for way in ways_of(whole)] == ["frontier", "frontier-cache", "now"]


def test_of_a_task_it_is_its_part_of_the_hours_and_says_so(tmp_path):
    found = found_in(tmp_path, task="triage")
    assert now_in(found).hours_usd_per_day == pytest.approx(48.0 * 5 / 15)
    assert any("own models' hours belong to no task" in remark for remark in found.remarks)


def test_a_span_ends_where_it_is_told_to(tmp_path):
    found = found_in(tmp_path, until_hour=HOUR + 24)
    assert found.inputs["calls_per_day"] == (pytest.approx(20 * 24), "480 calls over 24 h")
    assert now_in(found).hours_usd_per_day == pytest.approx(48.0)


def test_without_a_known_price_there_is_none_and_it_is_said(tmp_path):
    ledger = Ledger.open(tmp_path)
    for _ in range(40):
        ledger.journal.append_settlement(settlement(call(small("engine", None), attempt(1, usage=READ))))
    ledger.close()
    with Ledger.read(tmp_path) as read:
        found = measured(read, Config())
    assert found.now is None
    assert any("is unknown: the way `now` is not priced" in remark for remark in found.remarks)


def test_unknown_prices_among_known_ones_are_counted_and_no_zero(tmp_path):
    odd = [call(small("engine", None), at_ms=AT_MS) for _ in range(432)]
    found = found_in(tmp_path, *odd)
    known = 48 * 0.003 / (48 * 19)  # of the priced calls of small models
    assert now_in(found).small_call_usd == pytest.approx(known)
    assert any("432 of 1,344 calls of small models have no known price" in told for told in found.remarks)


def test_where_the_frontier_answers_all_there_is_no_ladder(tmp_path):
    ledger = Ledger.open(tmp_path)
    ledger.journal.append_settlement(settlement(call(attempt(usage=READ))))
    ledger.close()
    with Ledger.read(tmp_path) as read:
        found = measured(read, Config())
    assert found.now is None
    assert not any("now" in remark.split() for remark in found.remarks)


def test_at_another_volume_calls_follow_and_hours_do_not():
    before, after = (
        parts_of("now", basis(workload=work(calls_per_day=calls))._replace(now=NOW)) for calls in (1000, 4000)
    )
    assert after["small"] == 4 * before["small"]
    assert after["frontier"] == 4 * before["frontier"]
    assert after["hours"] == before["hours"] == 24
    line = line_of("now", basis()._replace(now=NOW))
    assert (float(line.fixed_usd_per_day), float(line.day_usd(0))) == (24.0, 24.0)


def test_its_break_even_is_where_the_hours_are_paid_off():
    whole = basis(own=None)._replace(now=msgspec.structs.replace(NOW, small_call_usd=0.0))
    found = {(one.way, one.than): one for one in crossings(whole)}
    saved_usd = float((whole.hosted_usd or 0) * whole.workload.small_per_day) / whole.workload.calls_per_day
    assert found["now", "hosted"].calls_per_day == pytest.approx(24 / saved_usd)


def test_other_lengths_cost_as_much_more_as_a_frontier_call_does():
    price, longer = token_price("3/15"), work(input_tokens=1600, output_tokens=400)
    assert float(NOW.call_usd(work(input_tokens=800, output_tokens=200), price)) == pytest.approx(0.001)
    assert float(NOW.call_usd(longer, price)) == pytest.approx(0.002)
    assert float(msgspec.structs.replace(NOW, input_tokens=0).call_usd(longer, price)) == pytest.approx(0.001)


def test_it_can_be_kept_and_says_which_inputs_were_not_measured():
    whole = basis(own=None)._replace(now=NOW)
    sources = {name: Source(kind="measured") for name in FOLLOWED} | {"calls_per_day": Source(kind="given")}
    plan = make_plan(Inputs(way="now"), sources, whole)
    assert plan.not_as_measured == ("calls_per_day",)
    day = to_save(plan, whole, "kept", task="", made_ms=0, made_by="").day
    assert day.small_call_usd == pytest.approx(0.001)
    assert day.fixed_usd == 24.0
    assert day.frontier_usd + day.small_usd + day.fixed_usd == pytest.approx(day.total_usd)
    s = small_prices(whole, plan.ways)["own or head as measured"]
    assert s == pytest.approx((0.001 + 24 / float(whole.workload.small_per_day)) / float(whole.frontier_usd))
    assert "now" not in NOT_SERVED
