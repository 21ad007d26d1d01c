"""Sums of days are those of their hours, whatever comes when; and a report says the same with and without them."""

from __future__ import annotations

import contextlib
import sqlite3

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.ledger import AT_MS, DAY, HOUR_MS, attempt, call, calls, settlement

from smallfirst.ledger import store
from smallfirst.ledger.days import DAYS, FOLDED, HOURS_PER_DAY, fold
from smallfirst.ledger.intake import Intake
from smallfirst.ledger.ledger import Ledger
from smallfirst.ledger.reader import Reader
from smallfirst.ledger.reports import Reports, Span
from smallfirst.ledger.segment import Position

_DAY_MS = HOURS_PER_DAY * HOUR_MS
_LATER_MS = AT_MS + 30 * _DAY_MS
_GROUPS = ("task", "model", "key", "tenant", "provider", "day", "week", "month")


@pytest.fixture
def made(tmp_path):
    conn = store.connect(tmp_path)
    store.migrate(conn)
    reader = Reader(tmp_path)
    yield conn, Reports(reader)
    reader.close()
    conn.close()


def take(conn, *made):
    Intake(conn).take([settlement(one) for one in made], None)


def folded(conn):
    return [row[0] for row in conn.execute(f"{FOLDED} ORDER BY day")]


def on_day(number, *attempts, **fields):
    return call(*attempts, at_ms=AT_MS + number * _DAY_MS, **fields)


def everything(reports, span):
    def rows(found):
        return sorted(map(msgspec.json.encode, found))

    asked = [
        _added(reports.calls(span, by, then)) for by in _GROUPS for then in (None, "tenant") if by != then
    ]
    spent = [_added(reports.spend(span, by, then)) for by in _GROUPS for then in (None, "key") if by != then]
    latencies = {key: sorted(found) for key, found in reports.latencies(span).items()}
    return asked, spent, latencies, rows(reports.cache(span)), _frontier(reports.frontier(span))


def _added(found):
    """Rows of one name added up: days of one week are rows of their own."""
    sums: dict[tuple, list] = {}
    for row in found:
        fields = msgspec.to_builtins(row)
        usage = fields.pop("usage", {})
        names = tuple(fields.pop(name) for name in ("name", "then", "origin", "status"))
        values = [*fields.values(), *usage.values()]
        before = sums.get((*names, fields.get("simulated")), [0] * len(values))
        sums[(*names, fields.get("simulated"))] = [a + b for a, b in zip(before, values, strict=True)]
    return sums


def _frontier(found):
    """Without the last hour: of a day it is its first. Sums of floats depend on their order in the last digit."""
    rows = [msgspec.to_builtins(row) | {"last_hour": 0} for row in found]
    return sorted(
        tuple(pytest.approx(value) if isinstance(value, float) else value for value in row.values())
        for row in rows
    )


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(calls(), st.integers(0, 5)), max_size=14),
    st.lists(st.tuples(calls(), st.integers(0, 5)), max_size=4),
    st.integers(-30, 150),
    st.integers(0, 150),
    st.sampled_from(
        [{}, {"tenant": "acme"}, {"task": "triage"}, {"key": "web"}, {"model": "small"}, {"origin": "eval"}]
    ),
)
def test_reports_are_the_same_with_days_summed_and_without(tmp_path_factory, early, late, since, hours, only):
    state = tmp_path_factory.mktemp("state")
    with contextlib.closing(store.connect(state)) as conn:
        store.migrate(conn)
        first = AT_MS // HOUR_MS + since
        span = Span(
            since_hour=first if since >= 0 else None, until_hour=first + hours if hours else None, **only
        )
        take(conn, *(msgspec.structs.replace(one, at_ms=one.at_ms + day * _DAY_MS) for one, day in early))
        fold(conn, now_ms=_LATER_MS)
        take(conn, *(msgspec.structs.replace(one, at_ms=one.at_ms + day * _DAY_MS) for one, day in late))
        reader = Reader(state)
        mixed = everything(Reports(reader), span)
        fold(conn, now_ms=_LATER_MS)
        assert bool(folded(conn)) == bool(early or late)
        by_days = everything(Reports(reader), span)
        conn.execute("DELETE FROM days_folded")
        by_hours = everything(Reports(reader), span)
        reader.close()
    assert mixed == by_days == by_hours


def test_a_day_is_summed_once_it_is_over_and_a_call_under_way_at_midnight_is_in(made):
    conn, _ = made
    take(conn, on_day(0), on_day(2))
    midnight = (DAY + 1) * _DAY_MS
    assert not fold(conn, now_ms=midnight + HOUR_MS)
    assert folded(conn) == []
    fold(conn, now_ms=midnight + 2 * HOUR_MS)
    assert folded(conn) == [DAY]
    fold(conn, now_ms=_LATER_MS)
    assert folded(conn) == [DAY, DAY + 1, DAY + 2]  # the day between them is empty, and known to be


def test_what_comes_late_to_a_day_is_read_at_once_and_summed_at_the_next_turn(made):
    conn, reports = made
    take(conn, on_day(0, attempt(cost_nusd=5)))
    fold(conn, now_ms=_LATER_MS)
    take(conn, on_day(0, attempt(cost_nusd=70)))
    assert folded(conn) == []
    assert sum(row.cost_nusd for row in reports.spend(Span(), "task")) == 75
    fold(conn, now_ms=_LATER_MS)
    assert folded(conn) == [DAY]
    assert sum(row.cost_nusd for row in reports.spend(Span(), "task")) == 75


def test_days_are_what_is_read(made):
    """Not the hours: a sum that is changed behind their back is not seen."""
    conn, reports = made
    take(conn, on_day(0, attempt(cost_nusd=5)))
    fold(conn, now_ms=_LATER_MS)
    conn.execute("UPDATE hourly_attempts SET cost_nusd = 999")
    assert [row.cost_nusd for row in reports.spend(Span(), "model")] == [5]
    assert [row.cost_nusd for row in reports.spend(Span(), "key")] == [5]
    half = Span(since_hour=AT_MS // HOUR_MS)  # the day's first hours are not asked for
    assert [row.cost_nusd for row in reports.spend(half, "model")] == [999]


def test_a_turn_sums_as_many_tables_as_it_is_told(made):
    conn, _ = made
    take(conn, *(on_day(number) for number in range(4)))
    assert fold(conn, now_ms=_LATER_MS, at_most=3 * len(DAYS) + 1)
    assert folded(conn) == [DAY, DAY + 1, DAY + 2]
    assert not fold(conn, now_ms=_LATER_MS, at_most=len(DAYS) - 1)
    assert folded(conn) == [DAY, DAY + 1, DAY + 2, DAY + 3]


@pytest.mark.parametrize("tables", range(1, len(DAYS)))
def test_a_day_that_is_summed_in_part_is_read_from_its_hours_and_gone_on_with(made, tables):
    """As a process that dies in it leaves it; and what comes in between is in every table."""
    conn, reports = made
    take(conn, on_day(0, attempt(cost_nusd=5)))
    assert fold(conn, now_ms=_LATER_MS, at_most=tables)
    assert folded(conn) == []
    assert [row.cost_nusd for row in reports.spend(Span(), "task")] == [5]
    take(conn, on_day(0, attempt(cost_nusd=70)))
    for _ in DAYS:
        fold(conn, now_ms=_LATER_MS, at_most=1)
    assert folded(conn) == [DAY]
    conn.execute("DELETE FROM hourly_attempts")  # days alone are read
    for by in ("task", "tenant", "key"):
        assert [row.cost_nusd for row in reports.spend(Span(), by)] == [75]


def test_what_comes_while_a_day_is_added_up_is_in_its_sums(made, tmp_path, monkeypatch):
    conn, reports = made
    take(conn, on_day(0, attempt(cost_nusd=5)))
    with contextlib.closing(store.connect(tmp_path)) as other:
        whole, late = store.transaction, [on_day(0, attempt(cost_nusd=70))]

        @contextlib.contextmanager
        def slow(connection):
            if connection is conn and late:
                take(other, late.pop())  # between reading the hours and writing the day
            with whole(connection):
                yield

        monkeypatch.setattr("smallfirst.ledger.store.transaction", slow)
        fold(conn, now_ms=_LATER_MS)
    assert folded(conn) == []
    assert [row.cost_nusd for row in reports.spend(Span(), "task")] == [75]
    fold(conn, now_ms=_LATER_MS)
    assert folded(conn) == [DAY]
    assert [row.cost_nusd for row in reports.spend(Span(), "task")] == [75]


def test_others_write_while_a_day_is_added_up(made, tmp_path):
    """The write lock is not held while hours are read: a note is on the disk meanwhile."""
    conn, _ = made
    take(conn, *(on_day(0, attempt(cost_nusd=number), key=f"key-{number}") for number in range(300)))
    written = []
    with contextlib.closing(store.connect(tmp_path, busy_timeout_s=0)) as other:

        def write():
            if not written and not conn.in_transaction:
                other.execute("INSERT INTO events VALUES (NULL, 0, 'note', '{}')")
                written.append(True)

        def summing(statement):
            if "CREATE TEMP TABLE" in statement:
                conn.set_progress_handler(write, 50)

        conn.set_trace_callback(summing)
        fold(conn, now_ms=_LATER_MS)
    assert written
    assert folded(conn) == [DAY]


def test_a_clock_that_was_wrong_does_not_make_a_century_of_days(made):
    conn, _ = made
    take(conn, call(at_ms=0), on_day(0))
    fold(conn, now_ms=_LATER_MS)
    assert folded(conn) == [0, DAY]


def test_a_gateway_sums_days_while_it_runs_and_a_command_where_none_does(tmp_path):
    ledger = Ledger.open(tmp_path)
    ledger.journal.append_settlement(settlement(on_day(0)))
    ledger.importer.import_now()
    for _ in DAYS:
        ledger.importer.retain_now()
    ledger.journal.append_settlement(settlement(on_day(1)))
    ledger.close()
    with contextlib.closing(store.connect(tmp_path)) as conn:
        assert folded(conn) == [DAY]
        with Ledger.read(tmp_path):
            assert folded(conn) == [DAY, DAY + 1]


def test_every_table_of_days_has_the_columns_of_its_hours():
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as conn:
        store.migrate(conn)

        def columns(table):
            return [row[1] for row in conn.execute(f"PRAGMA table_info({table})")]

        for days in DAYS:
            assert {*columns(days.table)} - {"day"} <= {*columns(days.hourly)}
            assert {*days.by} < {*columns(days.table)}


def test_what_was_recorded_before_is_migrated(tmp_path):
    """A ledger of the version before: its comparison goes on, and what the cache saved is found in its calls."""
    from smallfirst.ledger import migrations

    with contextlib.closing(store.connect(tmp_path)) as conn:
        store.migrate(conn)
        hit = msgspec.structs.replace(
            call(prompt_bytes=500), attempts=(), cost_nusd=0, cache="exact", saved_nusd=40
        )
        unknown = msgspec.structs.replace(hit, id="other", saved_nusd=None)
        Intake(conn).take(
            [settlement(one) for one in (call(attempt(cost_nusd=9)), hit, unknown)], Position(0, 0)
        )
        columns = ("cache_saved_nusd", "unknown_hits", "full_nusd", "full2", "full_cross")
        query = f"SELECT calls, {', '.join(columns)} FROM hourly_frontier ORDER BY frontier_nusd"
        whole = conn.execute(query).fetchall()
        for name in ("prompt_cache_saved_nusd", *columns, "hit_calls", "hit_nusd"):
            conn.execute(f"ALTER TABLE hourly_frontier DROP COLUMN {name}")
        conn.execute("ALTER TABLE calls DROP COLUMN saved_frontier_nusd")
        for table in ("days_folded", *(days.table for days in DAYS)):
            conn.execute(f"DROP TABLE {table}")
        conn.execute("DELETE FROM migrations WHERE number > 5")
        assert len(migrations.MIGRATIONS) >= 6
        store.migrate(conn)
        assert (
            conn.execute(query).fetchall() == whole == [(2, 40, 1, 0, 0.0, 0.0), (1, 0, 0, 9, 81.0, 3600.0)]
        )
