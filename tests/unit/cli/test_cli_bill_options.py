"""The bill's options: spans, filters, CSV, pictures, forecasts, and a plan beside it."""

from __future__ import annotations

import csv
import datetime
import io
import json
import re
import time

import msgspec
import pytest
import typer
from support.ledger import attempt, call, settlement
from support.plans import basis
from typer.testing import CliRunner

from smallfirst.cli.bill import bill
from smallfirst.errors import SmallfirstError
from smallfirst.ledger.ledger import Ledger
from smallfirst.planning.costs.inputs import Inputs
from smallfirst.planning.costs.plan import make_plan, to_save
from smallfirst.planning.costs.saved import save_plan

app = typer.Typer()
app.command()(bill)
_DAY_MS = 86_400_000


def run(state, *arguments):
    result = CliRunner().invoke(app, [*arguments, "--state", str(state)], env={"COLUMNS": "200"})
    if isinstance(result.exception, SmallfirstError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """Twenty days up to now: an answer of the frontier and one of a small model each day, and a hit."""
    place = tmp_path_factory.mktemp("state")
    ledger = Ledger.open(place)
    now_ms = int(time.time() * 1000)
    small = attempt(0, model="small", frontier=False, cost_nusd=20_000_000)
    for ago in range(20):
        for fields in ({"tenant": "acme"}, {"tenant": "globex", "task": "reply"}):
            at_ms = now_ms - ago * _DAY_MS
            ledger.journal.append_settlement(
                settlement(call(attempt(cost_nusd=10**9), at_ms=at_ms, **fields))
            )
            ledger.journal.append_settlement(
                settlement(call(attempt(cost_nusd=10**9), at_ms=at_ms, **fields))
            )
            ledger.journal.append_settlement(settlement(call(small, at_ms=at_ms, cache="miss", **fields)))
        hit = call(at_ms=now_ms, cache="exact", saved_nusd=10**9, saved_frontier_nusd=10**9)
        hit = msgspec.structs.replace(hit, attempts=(), cost_nusd=0)
        ledger.journal.append_settlement(settlement(hit))
    ledger.close()
    return place


def test_what_was_saved_and_what_the_month_comes_to_is_told(state):
    text = run(state)
    for told in (
        "what was saved",
        "prompt caching",
        "Saved: $",
        "Forecast: $",
        "80% band",
        "weekdays told apart",
    ):
        assert told in text, told
    found = json.loads(run(state, "--json"))
    saved = found["savings"]["total"]
    parts = ("paid_nusd", "prompt_cache_nusd", "cache_nusd", "ladder_nusd")
    assert sum(saved[part] for part in parts) == saved["full_nusd"]
    assert saved["cache_nusd"] == 20 * 10**9
    assert found["forecast"]["total_nusd"] >= found["forecast"]["so_far_nusd"] > 0
    assert (found["budgets"], found["against_plan"]) == ([], None)


def test_what_is_shown_of_the_savings_adds_up_for_whoever_reads_it(state):
    for narrowed, name, places in ((), "total", 2), (("--task", "reply"), "reply", 4):
        lines = run(state, *narrowed).split("what was saved")[1].splitlines()
        total = next(line for line in lines if line.startswith(name))
        *parts, full = [float(text.replace(",", "")) for text in re.findall(r"\$([\d,.]+)", total)]
        assert len(parts) == 4
        assert f"{full:,.{places}f}" in total
        assert sum(parts) == pytest.approx(full, abs=2 * 10**-places)


def test_a_span_that_is_over_has_no_forecast(state):
    assert "Forecast" not in run(state, "--until", "2h")
    assert json.loads(run(state, "--until", "2h", "--json"))["forecast"] is None


def test_a_month_is_its_days(state):
    now = datetime.datetime.now(datetime.UTC)
    found = json.loads(run(state, "--month", f"{now:%Y-%m}", "--json"))
    assert found["span"]["since_hour"] % 24 == found["span"]["until_hour"] % 24 == 0
    assert found["total_nusd"] == found["forecast"]["so_far_nusd"]
    december = json.loads(run(state, "--month", "2020-12", "--json"))
    assert december["total_nusd"] == 0
    assert (december["span"]["until_hour"] - december["span"]["since_hour"]) == 31 * 24


@pytest.mark.parametrize(
    ("option", "total_usd"),
    [
        (("--tenant", "acme"), "40.4"),
        (("--task", "reply"), "40.4"),
        (("--model", "small"), "0.8"),
        (("--key", "web"), "80.8"),
        (("--origin", "eval"), "0"),
        (("--tenant", "nobody"), "0"),
    ],
)
def test_each_filter_holds(state, option, total_usd):
    assert json.loads(run(state, *option, "--json"))["total_nusd"] == int(float(total_usd) * 10**9)
    assert option[1] in run(state, *option)


def test_two_groups_are_two_columns(state):
    text = run(state, "--by", "tenant,model")
    assert all(told in text for told in ("tenant", "model", "globex", "frontier"))


def test_of_very_many_lines_the_dearest_are_shown_and_the_rest_is_one(tmp_path):
    ledger = Ledger.open(tmp_path)
    for number in range(70):
        one = call(attempt(cost_nusd=10**9 * (number + 1)), key=f"key-{number}")
        ledger.journal.append_settlement(settlement(one))
    ledger.close()
    text = run(tmp_path, "--by", "key")
    assert "key-69" in text
    assert "key-19" not in text
    others = next(line for line in text.splitlines() if "20 others" in line)
    assert "$210.00" in others
    assert len(list(csv.DictReader(io.StringIO(run(tmp_path, "--by", "key", "--csv", "-"))))) == 70


def test_the_csv_goes_to_a_file_or_alone_to_stdout(state, tmp_path):
    text = run(state, "--csv", "-", "--by", "day")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 20
    target = tmp_path / "bill.csv"
    assert "Total" in run(state, "--csv", str(target), "--by", "day")
    assert target.read_bytes().decode() == text or target.read_text() == text.replace("\r\n", "\n")
    assert target.stat().st_mode & 0o777 == 0o600
    assert sum(int(row["cost_nusd"]) for row in rows) == json.loads(run(state, "--json"))["total_nusd"]


def test_pictures_are_drawn(state, tmp_path):
    names = ["saved.svg", "days.svg", "month.svg"]
    files = [tmp_path / name for name in names]
    run(state, "--picture", files[0], "--picture-days", files[1], "--picture-forecast", files[2])
    assert all(path.read_text().startswith("<svg") for path in files)
    assert "frontier alone" in files[0].read_text()
    assert "US dollars a day" in files[1].read_text()


def test_a_budget_of_the_month_says_when_it_is_reached(state, tmp_path):
    config = tmp_path / "smallfirst.toml"
    config.write_text(
        '[tenants.acme]\nbudget = { usd_per_month = "0.50" }\n[tenants.globex]\nbudget = { usd_per_month = "9999" }\n'
    )
    text = run(state, "--config", str(config))
    assert "tenant acme" in text
    assert "it is reached" in text
    assert "not this month" in text


def test_a_plan_is_held_against_what_happened_and_the_causes_add_up(state):
    one = basis(serverless=None, spot=None)
    inputs = Inputs(
        calls_per_day=1e7,
        input_tokens=800,
        output_tokens=200,
        frontier_share=0.2,
        cache_hit_rate=0.3,
        way="hosted",
    )
    save_plan(
        state, to_save(make_plan(inputs, {}, one), one, "q4", task="", made_ms=1, made_by="me"), replace=True
    )
    text = run(state, "--plan", "q4")
    assert "plan q4" in text
    assert "volume" in text
    found = json.loads(run(state, "--plan", "q4", "--json"))["against_plan"]
    explained = sum(cause["usd_per_day"] for cause in found["because"])
    assert explained == pytest.approx(found["happened_usd"] - found["planned_usd"])
    assert found["happened_usd"] * found["days"] == pytest.approx(80.8)
    assert found["planned_usd"] == pytest.approx(8568)
    figures = {row["what"]: (row["planned"], row["happened"]) for row in found["figures"]}
    assert figures["cache hit rate h"] == pytest.approx((0.3, 20 / 140))
    assert figures["frontier share f"] == pytest.approx((0.2, 80 / 120))
    assert figures["a frontier call, USD"] == pytest.approx((0.0054, 1.0))
    assert figures["a small answer, USD"] == pytest.approx((0.00018, 0.02))
    assert 19 <= found["days"] <= 21


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--month", "2026-13"), "expected a month"),
        (("--month", "november"), "expected a month"),
        (("--month", "2026-11", "--since", "7d"), "--month"),
        (("--since", "2026-11-02", "--until", "2026-11-01"), "--until"),
        (("--by", "task,weather"), "'weather'"),
        (("--by", "task,task"), "two that differ"),
        (("--by", "task,model,key"), "two that differ"),
        (("--by", ""), "expected one of"),
        (("--csv", "-", "--json"), "not both"),
        (("--picture", "bill.pdf"), ".png or .svg"),
        (("--picture", "x.svg", "--key", "web"), "nothing can be compared"),
        (("--picture-days", "x.svg", "--tenant", "nobody"), "nothing was spent"),
        (("--picture-forecast", "x.svg", "--until", "2h"), "nothing to forecast"),
        (("--provider", "openai"), "--provider: goes with --reconcile alone"),
        (("--map", "at=Day"), "--map: goes with --reconcile alone"),
        (("--reconcile", "x.csv", "--task", "triage"), "--task: not beside --reconcile"),
        (("--reconcile", "x.csv", "--picture", "x.svg"), "--picture: not beside --reconcile"),
        (("--plan", "none"), "no plan 'none'"),
        (("--plan", "../../etc"), "expected letters"),
    ],
)
def test_what_cannot_be_done_is_one_line_that_names_it(state, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SmallfirstError) as error:
        run(state, *arguments)
    assert told in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--csv", "--picture", "--picture-days", "--picture-forecast"])
def test_a_folder_that_is_not_there_is_named_and_not_made(state, tmp_path, option):
    with pytest.raises(SmallfirstError, match=f"{option}: .* is no folder that can be written to"):
        run(state, option, str(tmp_path / "none" / "bill.svg"))
    assert list(tmp_path.iterdir()) == []
