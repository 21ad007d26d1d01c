"""`smallfirst bill`, as a user meets it."""

from __future__ import annotations

import json

import pytest
import typer
from support.ledger import AT_MS, attempt, call, settlement
from typer.testing import CliRunner

from smallfirst.chat import Usage
from smallfirst.cli.bill import bill
from smallfirst.errors import SmallfirstError
from smallfirst.ledger.ledger import Ledger
from smallfirst.ledger.records import Heartbeat

app = typer.Typer()
app.command()(bill)


def put(state, *records):
    ledger = Ledger.open(state)
    for record in records:
        if isinstance(record, Heartbeat):
            ledger.journal.append(record)
        else:
            ledger.journal.append_settlement(settlement(record))
    ledger.close()


def run(state, *arguments, columns="200"):
    result = CliRunner().invoke(app, [*arguments, "--state", str(state)], env={"COLUMNS": columns})
    if isinstance(result.exception, SmallfirstError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_the_bill_says_what_was_spent_and_what_it_is_compared_with(tmp_path):
    small = attempt(0, model="small", frontier=False, cost_nusd=2_000_000)
    put(
        tmp_path,
        *(call(small, attempt(1, cost_nusd=100_000_000), ttft_ms=30.0) for _ in range(40)),
        *(call(small) for _ in range(60)),
        call(attempt(cost_nusd=None), task="extract"),
        call(
            attempt(cost_nusd=1_000_000_000, simulated=True, usage_source="estimated"),
            origin="eval",
            unproven=True,
        ),
        Heartbeat(at_ms=AT_MS, seconds=7200.0, hourly_nusd={"own-8b": 1_500_000_000}),
    )
    text = run(tmp_path)
    for told in (
        "triage",
        "origin: eval",
        "own-8b",
        "Total: $8.20",
        "in no sum: 1 attempts",
        "[[models.NAME.prices]]",
        "not reported: 1 attempts, $1.00",
        "unproven release: 1 calls",
        "recorded for 40, estimated for 60 from 40 answers",
        "hard calls climb more often",
        "a price is unknown: 1 calls",
        "gateway's own",
        "simulated",
    ):
        assert told in text, told


def test_no_number_is_cut_in_eighty_columns(tmp_path):
    usage = Usage(input_tokens=721_456_789, cache_read_tokens=1_360_000, output_tokens=999_999)
    many = attempt(cost_nusd=10_009_840_000_000, usage=usage, simulated=True)
    put(tmp_path, call(many), call(attempt(status="unmet", cost_nusd=None), attempt(1, cost_nusd=None)))
    text = run(tmp_path, "--by", "tenant,task", columns="80")
    line = next(line for line in text.splitlines() if line.startswith("acme"))
    assert line.split()[-8:] == ["3", "723", "M", "1.36", "M", "1", "M", "$10,009.84"]
    assert "simulated" in text.split()


def test_too_few_frontier_answers_are_said_in_words(tmp_path):
    put(tmp_path, call(), call(attempt(model="small", frontier=False)))
    text = run(tmp_path)
    assert "too few answers of the frontier: 1; 29 more are needed to estimate the other 1" in text
    assert "On the frontier alone: unknown" in text


@pytest.mark.parametrize("by", ["task", "model", "key", "tenant", "provider", "day"])
def test_every_grouping_prints_and_is_json(tmp_path, by):
    put(tmp_path, call(), call(tenant="[globex]", key="[/x]", task="[/t]", origin="shadow"))
    assert "total" in run(tmp_path, "--by", by)
    made = json.loads(run(tmp_path, "--by", by, "--json"))
    assert (
        made["total_nusd"]
        == 2000
        == sum(line["cost_nusd"] for section in made["sections"] for line in section["lines"])
    )


def test_a_span_and_a_tenant_narrow_it(tmp_path):
    put(tmp_path, call(), call(tenant="globex"))
    assert json.loads(run(tmp_path, "--json", "--tenant", "globex"))["total_nusd"] == 1000
    assert json.loads(run(tmp_path, "--json", "--until", "2020-01-01"))["total_nusd"] == 0
    assert "No calls in this span" in run(tmp_path, "--until", "2020-01-01")


def test_what_cannot_be_done_is_one_clear_line(tmp_path):
    with pytest.raises(SmallfirstError, match="there is no ledger"):
        run(tmp_path)
    put(tmp_path)
    with pytest.raises(SmallfirstError, match="has no calls"):
        run(tmp_path)
    with pytest.raises(SmallfirstError, match="expected one of"):
        run(tmp_path, "--by", "weather")
