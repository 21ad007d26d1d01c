"""`smallfirst bill --reconcile`, as a user meets it."""

from __future__ import annotations

import csv
import io
import json
import stat

import pytest
import typer
from support.accounts import asked, csv_text, of, put, spend_logs, usage_rows
from typer.testing import CliRunner

from smallfirst.cli.bill import bill
from smallfirst.cli.reconcile_shown import _apart, _usd
from smallfirst.errors import SmallfirstError

app = typer.Typer()
app.command()(bill)
CALLS = [asked(number) for number in range(40)]
CONFIG = """
[providers.openai]
kind = "openai"
api_key = "env:OPENAI_API_KEY"

[models.big]
provider = "openai"
id = "gpt-x"
prices = [{ since = "2026-01-01", input = 2, output = 8, cache_read = 0.2 }]

[tasks.triage]
ladder = ["big"]
"""


@pytest.fixture
def state(tmp_path):
    put(tmp_path / "state", *CALLS)
    return tmp_path / "state"


def run(state, text, *arguments, width=200):
    account = state.parent / "account.csv"
    account.write_text(text)
    result = CliRunner().invoke(
        app, ["--reconcile", str(account), "--state", str(state), *arguments], env={"COLUMNS": str(width)}
    )
    if isinstance(result.exception, SmallfirstError):
        raise result.exception
    return result.exit_code, result.stdout


def test_equal_accounts_end_with_0_and_say_so(state):
    status, text = run(state, csv_text(spend_logs(CALLS)))
    assert status == 0
    assert "LiteLLM's spend logs against the ledger's attempts of openai" in text
    assert "The same, to the last digit." in text
    total = sum(of(each).cost_nusd or 0 for each in CALLS) / 10**9
    assert text.count(f"${total:.9f}".rstrip("0")) == 4
    assert "which" not in text


def test_accounts_that_differ_end_with_1_and_name_the_calls(state):
    rows = spend_logs(CALLS)
    rows[3] |= {"spend": "0.5"}
    status, text = run(state, csv_text(rows[:-1]))
    assert status == 1
    assert "They differ." in text
    assert "the same tokens, another price" in text
    assert "only in the ledger" in text
    assert f"theirs line 5; ours {CALLS[3].id[:16]}/0 ok" in text
    assert f"ours {CALLS[-1].id[:16]}/0 ok" in text
    for width in (80, 60):
        assert run(state, csv_text(rows[:-1]), width=width)[0] == 1


def test_the_configuration_says_which_price_they_follow(state):
    (state.parent / "smallfirst.toml").write_text(CONFIG)
    half = [row | {"spend": f"{float(row['spend']) / 2:.10f}"} for row in spend_logs(CALLS)]
    _, text = run(state, csv_text(half), "--config", str(state.parent / "smallfirst.toml"))
    assert "they follow half of our price for every token" in text


def test_json_is_the_whole_of_it(state):
    status, text = run(state, csv_text(spend_logs(CALLS[1:])), "--json")
    told = json.loads(text)
    assert (status, told["equal"], told["by"], told["matched"]) == (1, False, "request", 39)
    assert told["differing"][0]["call"] == CALLS[0].id
    assert told["difference_nusd"] == -(of(CALLS[0]).cost_nusd or 0)
    assert told["difference_usd"].startswith("-0.000")


def test_every_differing_call_is_in_the_csv(state):
    out = state.parent / "differing.csv"
    status, text = run(
        state,
        csv_text(spend_logs(CALLS[:3])),
        "--csv",
        str(out),
        "--since",
        "2026-05-01",
        "--until",
        "2026-06-01",
    )
    assert (status, "They differ" in text) == (1, True)
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert {row["call"] for row in rows} == {each.id for each in CALLS[3:]}
    assert {row["cause"] for row in rows} == {"only-ours"}
    assert sum(int(row["difference_nusd"]) for row in rows) == -sum(
        of(each).cost_nusd or 0 for each in CALLS[3:]
    )
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    _, text = run(
        state,
        csv_text(spend_logs(CALLS[:39])),
        "--csv",
        "-",
        "--since",
        "2026-05-01",
        "--until",
        "2026-06-01",
    )
    assert len(list(csv.DictReader(io.StringIO(text)))) == 1


def test_what_a_spreadsheet_would_run_is_text_in_the_csv(state):
    out = state.parent / "differing.csv"
    strange = spend_logs(CALLS[:1])[0] | {"request_id": "=HYPERLINK(1)", "model": "@cmd"}
    run(state, csv_text([*spend_logs(CALLS), strange]), "--csv", str(out))
    (row,) = csv.DictReader(io.StringIO(out.read_text()))
    assert (row["request_id"], row["model"]) == ("'=HYPERLINK(1)", "'@cmd")


def test_a_file_that_cannot_be_compared_leaves_no_csv(state):
    out = state.parent / "differing.csv"
    rows = spend_logs(CALLS)
    rows[-1] |= {"spend": "x"}
    with pytest.raises(SmallfirstError, match="line 41: spend"):
        run(state, csv_text(rows), "--csv", str(out))
    assert [path.name for path in state.parent.iterdir() if "differing" in path.name] == []
    with pytest.raises(SmallfirstError, match=r"--csv: .* is no folder that can be written to"):
        run(state, csv_text(spend_logs(CALLS)), "--csv", str(state / "none" / "out.csv"))


def test_a_table_of_ones_own_and_whose_it_is(state):
    text = csv_text(
        [
            {"when": row["startTime"], "which": row["request_id"], "sum": row["spend"]}
            for row in spend_logs(CALLS)
        ]
    )
    options = [
        "--map",
        "at=when",
        "--map",
        "request_id=which",
        "--map",
        "cost_usd=sum",
        "--provider",
        "openai",
    ]
    assert run(state, text, *options)[0] == 0


def test_an_account_without_money_is_judged_by_its_tokens(state):
    status, text = run(state, csv_text(usage_rows(CALLS)))
    assert status == 0
    assert "this account tells no money: tokens alone are compared" in text
    assert "dollars" not in text.split("this account")[0]
    status, text = run(state, csv_text(usage_rows(CALLS[1:])))
    assert status == 1
    assert "as much as one call of ours that they do not have" in text


def test_dollars_are_shown_to_the_nano_dollar():
    from decimal import Decimal

    assert _usd(Decimal("1234.5")) == "$1,234.50"
    assert _usd(Decimal("0.000000001")) == "$0.000000001"
    assert (_apart(Decimal("-0.25")), _apart(Decimal(2)), _apart(Decimal(0))) == ("-$0.25", "+$2.00", "$0.00")
