"""Two groups, weeks and months, attempts that answered nobody, and the CSV: each adds up to the same total."""

from __future__ import annotations

import csv
import datetime
import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ledger import AT_MS, HOUR_MS, attempt, call, settlement

from smallfirst.ledger import store
from smallfirst.ledger.intake import Intake
from smallfirst.ledger.reader import Reader
from smallfirst.ledger.records import Heartbeat
from smallfirst.ledger.reports import Reports, Span
from smallfirst.money import nusd_from_usd
from smallfirst.planning.bill.bill import Bill, make_bill
from smallfirst.planning.bill.bill_csv import bill_csv
from smallfirst.planning.bill.counterfactual import counterfactual
from smallfirst.planning.bill.lines import Line, Section

_DAY_MS = 24 * HOUR_MS


@pytest.fixture
def reports(tmp_path):
    conn = store.connect(tmp_path)
    store.migrate(conn)
    made = [
        call(attempt(cost_nusd=5), tenant="acme", task="triage"),
        call(attempt(cost_nusd=70), tenant="globex", task="triage", at_ms=AT_MS + 8 * _DAY_MS),
        call(attempt(cost_nusd=900), tenant="globex", task="=SUM(A1)", at_ms=AT_MS + 40 * _DAY_MS),
        call(
            attempt(status="cancelled", cost_nusd=2000, usage_source="estimated"),
            status="cancelled",
            task="triage",
        ),
        call(attempt(status="refused", cost_nusd=0, usage_source="none"), attempt(1, cost_nusd=None)),
        call(attempt(0, status="unmet", cost_nusd=1, frontier=False), attempt(1, cost_nusd=3), origin="eval"),
    ]
    beat = Heartbeat(at_ms=AT_MS, seconds=3600.0, hourly_nusd={"own": 11})
    Intake(conn).take([*map(settlement, made), beat], None)
    conn.close()
    reader = Reader(tmp_path)
    yield Reports(reader)
    reader.close()


def test_two_groups_show_each_of_one_within_the_other(reports):
    (client, own) = make_bill(reports, Span(), by="tenant", then="task").sections
    assert [(line.name, line.then, line.cost_nusd) for line in client.lines] == [
        ("acme", "triage", 2005),
        ("globex", "=SUM(A1)", 900),
        ("globex", "triage", 70),
    ]
    assert client.total.cost_nusd == 2975
    assert own.total.cost_nusd == 4


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("week", ["2026-W22", "2026-W23", "2026-W28"]),
        ("month", ["2026-05", "2026-06", "2026-07"]),
        ("day", ["2026-05-28", "2026-06-05", "2026-07-07"]),
    ],
)
def test_weeks_and_months_are_in_order(reports, by, names):
    assert datetime.datetime.fromtimestamp(AT_MS / 1000, datetime.UTC).date().isoformat() == "2026-05-28"
    made = make_bill(reports, Span(), by=by)
    assert [line.name for line in made.sections[0].lines] == names
    assert made.attempts_nusd == 2979


def test_what_answered_nobody_is_told_by_what_became_of_it(reports):
    found = {line.status: line for line in make_bill(reports, Span()).unused}
    assert list(found) == ["unmet", "cancelled", "refused"]
    cancelled = found["cancelled"]
    assert (cancelled.attempts, cancelled.cost_nusd, cancelled.estimated_nusd) == (1, 2000, 2000)
    assert (cancelled.mostly, cancelled.mostly_nusd) == ("triage", 2000)
    assert (found["refused"].cost_nusd, found["refused"].mostly) == (0, "")


@pytest.mark.parametrize("groups", [("task", None), ("tenant", "task"), ("day", "model"), ("provider", None)])
def test_the_csv_adds_up_to_the_bill(reports, groups):
    made = make_bill(reports, Span(), by=groups[0], then=groups[1])
    rows = list(csv.DictReader(io.StringIO(bill_csv(made))))
    assert sum(int(row["cost_nusd"]) for row in rows) == made.total_nusd == 2990
    assert sum(nusd_from_usd(Decimal(row["cost_usd"])) for row in rows) == made.total_nusd
    assert sum(int(row["unknown_attempts"]) for row in rows) == 1
    assert {row["origin"] for row in rows} == {"client", "eval", "own-models"}
    assert all(None not in row and len(row) == len(rows[0]) for row in rows)


@given(st.text(min_size=1, max_size=8))
def test_no_name_is_a_formula_to_a_spreadsheet(name):
    line = Line(name=name, calls=1)
    made = Bill(
        span=Span(), by="model", then=None, sections=(Section(origin="client", lines=(line,), total=line),),
        own_models=(), attempts_nusd=0, own_models_nusd=0, total_nusd=0, unknown_attempts=0, simulated_nusd=0,
        unused=(), counterfactual=counterfactual([]), savings=None, latency=(),
    )  # fmt: skip
    text = io.StringIO(bill_csv(made), newline="")
    (row,) = list(csv.DictReader(text))
    assert row["model"] in (name, f"'{name}")
    assert not row["model"].startswith(("=", "+", "-", "@", "\t", "\r"))
