"""Each call counts exactly once, and the hourly sums are what adding up all rows would give."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.ledger import AT_MS, DAY, attempt, bodies, call, calls, intent, intents, settlement

from smallfirst.chat import Usage
from smallfirst.ledger import store
from smallfirst.ledger.buckets import bucket
from smallfirst.ledger.intake import Intake
from smallfirst.ledger.names import Names
from smallfirst.ledger.queries import Queries
from smallfirst.ledger.reader import Reader
from smallfirst.ledger.records import OWN_PURSE, Heartbeat, Outcome
from smallfirst.ledger.rollups import MS_PER_HOUR
from smallfirst.ledger.segment import Position

_TABLES = ("calls", "attempts", "bodies", "intents_open")
_ROLLUPS = (
    "hourly_calls",
    "hourly_attempts",
    "hourly_latency",
    "hourly_output",
    "hourly_frontier",
    "hourly_frontier_spend",
)


@pytest.fixture
def state(tmp_path):
    conn = store.connect(tmp_path)
    store.migrate(conn)
    conn.close()
    return tmp_path


def connection():
    """A database in memory: properties need many."""
    conn = sqlite3.connect(":memory:", isolation_level=None)
    store.migrate(conn)
    return conn


def contents(conn, tables):
    return {table: conn.execute(f"SELECT * FROM {table}").fetchall() for table in tables}


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(calls(), max_size=12), st.data())
def test_taking_records_again_changes_nothing(made, data):
    with contextlib.closing(connection()) as conn:
        _taking_again(conn, made, data)


def _taking_again(conn, made, data):
    intake = Intake(conn)
    records = [record for one in made for record in (*intents(one), settlement(one), bodies(one))]
    cut = data.draw(st.integers(0, len(records)))
    intake.take(records[:cut], Position(1, cut))
    intake.take(records[cut:], Position(1, len(records)))
    once = contents(conn, (*_TABLES, *_ROLLUPS))
    assert intake.open_intents() == {}
    again = Intake(conn)
    again.take(records[:cut], Position(2, cut))
    again.take(records[cut:], Position(2, len(records)))
    assert contents(conn, (*_TABLES, *_ROLLUPS)) == once


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(calls(), max_size=30), st.integers(1, 10))
def test_hourly_sums_are_the_sums_of_all_rows(made, batch):
    with contextlib.closing(connection()) as conn:
        _hourly_sums(conn, made, batch)


def _hourly_sums(conn, made, batch):
    intake = Intake(conn)
    for at in range(0, len(made), batch):
        intake.take([settlement(one) for one in made[at : at + batch]], Position(1, at))
    names = Names(conn)

    def grouped(query):
        return sorted(conn.execute(query).fetchall())

    by_call = f"at_ms / {MS_PER_HOUR}, tenant, key, task"
    assert grouped("SELECT * FROM hourly_calls") == grouped(
        f"SELECT {by_call}, model, origin, status, unproven, outside_bound, count(*)"
        " FROM calls GROUP BY 1,2,3,4,5,6,7,8,9"
    )
    tokens = ", ".join(f"sum({name}_tokens)" for name in _TOKENS)
    assert grouped("SELECT * FROM hourly_attempts") == grouped(
        f"SELECT {by_call}, a.model, provider, origin, a.status, simulated, count(*), {tokens},"
        " coalesce(sum(a.cost_nusd), 0), sum(a.cost_nusd IS NULL), sum(usage_source = e.id),"
        " coalesce(sum(a.cost_nusd) FILTER (WHERE usage_source = e.id), 0),"
        " sum(prompt_cache_saved_nusd)"
        " FROM attempts a JOIN calls ON calls.n = a.call"
        " JOIN (SELECT coalesce(max(id), -1) AS id FROM names WHERE name = 'estimated') e"
        " GROUP BY 1,2,3,4,5,6,7,8,9"
    )
    own = ", ".join(f"'{origin}'" for origin in OWN_PURSE)
    assert grouped("SELECT * FROM hourly_frontier_spend") == grouped(
        f"SELECT {by_call}, sum(a.cost_nusd) FROM attempts a JOIN calls ON calls.n = a.call"
        " JOIN names ON names.id = origin"
        f" WHERE frontier AND a.cost_nusd > 0 AND names.name NOT IN ({own}) GROUP BY 1,2,3,4"
    )
    assert grouped("SELECT * FROM hourly_cache") == grouped(
        f"SELECT at_ms / {MS_PER_HOUR}, tenant, task, names.id, count(*), sum(saved_nusd IS NULL),"
        " coalesce(sum(saved_nusd), 0) FROM calls JOIN names ON names.name = cache GROUP BY 1,2,3,4"
    )
    assert _latencies(conn, names) == _expected_latencies(made)
    assert _frontier(conn, names) == _expected_frontier(made)


_TOKENS = (
    "input",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "input_audio",
    "output",
    "reasoning",
    "output_audio",
)


def _latencies(conn, names):
    rows = conn.execute(
        "SELECT hour, tenant, task, model, origin, measure, bucket, calls FROM hourly_latency"
    )
    return {(row[0], *(names[number] for number in row[1:5]), row[5], row[6]): row[7] for row in rows}


def _expected_latencies(made):
    expected: dict[tuple, int] = {}
    for one in made:
        if one.status != "ok":
            continue
        of = (one.at_ms // MS_PER_HOUR, one.tenant, one.task, one.model, one.origin)
        for measure, value in enumerate((one.latency_ms, one.ttft_ms, one.overhead_ms)):
            if value is not None:
                row = (*of, measure, bucket(round(value * 1000)))
                expected[row] = expected.get(row, 0) + 1
    return expected


_FRONTIER = (
    "calls, unknown_calls, paid_nusd, frontier_nusd, bytes, prompt_cache_saved_nusd, full_nusd, hit_calls, hit_nusd,"
    " cache_saved_nusd, unknown_hits"
)


def _frontier(conn, names):
    found: dict[tuple, tuple] = {}
    for row in conn.execute(f"SELECT tenant, task, model, {_FRONTIER} FROM hourly_frontier"):
        key = tuple(names[number] for number in row[:3])
        found[key] = tuple(a + b for a, b in zip(found.get(key, (0,) * 11), row[3:], strict=True))
    return found


def _expected_frontier(made):
    found: dict[tuple, tuple] = {}
    for one in made:
        if one.status != "ok" or one.origin != "client":
            continue
        asked = [each for each in one.attempts if each.frontier]
        answered = [each for each in asked if each.status in ("ok", "unmet")]
        key = (one.tenant, one.task, answered[-1].model if answered else "")
        costs = [each.cost_nusd for each in asked] if answered else []
        cached = sum(each.prompt_cache_saved_nusd for each in one.attempts)
        if one.cost_nusd is None or None in costs:
            row = (0, 1) + 9 * (0,)
        elif answered:
            full = sum(each.cost_nusd + each.prompt_cache_saved_nusd for each in asked)
            row = (1, 0, one.cost_nusd, sum(costs), one.prompt_bytes, cached, full, 0, 0, 0, 0)
        else:
            hit = one.cache in ("exact", "semantic", "flight")
            known = one.saved_frontier_nusd if hit else None
            size = one.prompt_bytes if known is None else 0
            saved = (one.saved_nusd or 0, int(one.saved_nusd is None)) if hit else (0, 0)
            row = (1, 0, one.cost_nusd, 0, size, cached, 0, int(known is not None), known or 0, *saved)
        found[key] = tuple(a + b for a, b in zip(found.get(key, (0,) * 11), row, strict=True))
    return found


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(made=calls())
def test_a_call_comes_back_as_it_went_in(state, made):
    conn = store.connect(state)
    Intake(conn).take([settlement(made)], Position(1, 1))
    conn.close()
    reader = Reader(state)
    assert Queries(reader).call(made.id) == made
    reader.close()


def test_a_batch_that_fails_leaves_no_trace_and_can_be_taken_again(state):
    conn = store.connect(state)
    intake = Intake(conn)
    first, second = call(), call(tenant="never seen")
    intake.take([intent(first)], Position(1, 1))
    before = contents(conn, (*_TABLES, *_ROLLUPS, "names", "meta"))
    conn.execute("CREATE TRIGGER fails BEFORE INSERT ON attempts BEGIN SELECT raise(ABORT, 'no'); END")
    with pytest.raises(sqlite3.IntegrityError):
        intake.take([settlement(first), intent(second), settlement(second)], Position(1, 2))
    assert contents(conn, (*_TABLES, *_ROLLUPS, "names", "meta")) == before
    assert intake.position == Position(1, 1)
    assert list(intake.open_intents()) == [first.id]
    conn.execute("DROP TRIGGER fails")
    intake.take([settlement(first), intent(second), settlement(second)], Position(1, 2))
    assert intake.open_intents() == {}
    conn.close()
    reader = Reader(state)
    assert Queries(reader).call(second.id) == second
    reader.close()


def test_an_attempt_that_its_settlement_does_not_name_is_accounted_for_at_its_reservation(state):
    conn = store.connect(state)
    made = call(attempt(0, cost_nusd=1000))
    lost = intent(made, 1, reserved_nusd=9000)
    Intake(conn).take([intent(made), lost, settlement(made)], Position(1, 1))
    conn.close()
    reader = Reader(state)
    found = Queries(reader).call(made.id)
    assert found.cost_nusd == 10_000
    assert [(each.status, each.usage_source, each.cost_nusd) for each in found.attempts] == [
        ("ok", "reported", 1000),
        ("lost", "estimated", 9000),
    ]
    assert found.attempts[1].usage == lost.reserved_usage
    reader.close()


def test_own_models_hours_are_added_up(state):
    conn = store.connect(state)
    beats = [
        Heartbeat(at_ms=AT_MS + n * 10_000, seconds=10.0, hourly_nusd={"own-8b": 3_600_000_000})
        for n in range(6)
    ]
    Intake(conn).take(beats, Position(1, 1))
    assert conn.execute("SELECT sum(seconds), sum(cost_nusd) FROM hourly_models").fetchone() == (
        60.0,
        60_000_000,
    )
    conn.close()


def test_outcomes_are_appended_and_never_overwritten(state):
    conn = store.connect(state)
    made = call()
    learned = [
        Outcome(at_ms=AT_MS + n, call=made.id, kind="score", value=n / 2, source="judge") for n in range(3)
    ]
    Intake(conn).take([settlement(made), *learned], Position(1, 1))
    conn.close()
    reader = Reader(state)
    assert [outcome.value for outcome in Queries(reader).outcomes(made.id)] == [0.0, 0.5, 1.0]
    reader.close()


def test_an_open_intent_survives_a_restart_whole(state):
    conn = store.connect(state)
    made = call()
    announced = intent(made, reserved_nusd=None, origin="shadow")
    Intake(conn).take([announced], Position(1, 1))
    assert Intake(conn).open_intents() == {made.id: [announced]}
    conn.close()


def test_an_absurd_figure_does_not_stop_the_ledger(state, caplog):
    conn = store.connect(state)
    absurd = call(attempt(usage=Usage(input_tokens=2**63, output_tokens=3), cost_nusd=2**63 + 1))
    Intake(conn).take([settlement(absurd), settlement(call())], Position(1, 1))
    conn.close()
    reader = Reader(state)
    (found,) = Queries(reader).call(absurd.id).attempts
    assert (found.usage.input_tokens, found.usage.output_tokens, found.cost_nusd) == (10**14, 3, 10**14)
    assert (
        Queries(reader).spent_nusd(("tenant", "acme"), since_hour=DAY * 24, until_hour=DAY * 24 + 24)
        == 10**14 + 1000
    )
    assert absurd.id in caplog.text
    reader.close()
