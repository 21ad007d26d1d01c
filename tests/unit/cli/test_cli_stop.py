"""`smallfirst stop`, `resume`, `stops` and `budgets`, as a user meets them without a gateway."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from smallfirst.cli.main import app
from smallfirst.errors import SmallfirstError
from smallfirst.ledger import Ledger, open_keys
from smallfirst.ledger.notes import Notes
from smallfirst.stops import FILE, read_stops

CONFIG = """
[budget]
usd_total = 100

[providers.p]
base_url = "http://127.0.0.1:1/v1"

[models.small]
provider = "p"

[models.large]
provider = "p"

[aliases]
big = "large"

[tasks.triage]
ladder = ["small", "large"]
budget = { usd_per_month = 5, at_limit = "small" }

[tenants.acme]
budget = { usd_per_day = "0.000001" }
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    (tmp_path / "smallfirst.toml").write_text(CONFIG, "utf-8")
    return tmp_path


def run(house: Path, *arguments: str) -> Result:
    config = str(house / "smallfirst.toml")
    result = CliRunner().invoke(app, [*arguments, "--config", config], env={"COLUMNS": "200"})
    if isinstance(result.exception, SmallfirstError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def test_a_stop_is_a_file_and_an_event_and_so_is_its_end(house: Path) -> None:
    state = house / ".smallfirst"
    run(house, "stop", "--model", "big", "--reason", "[bold]too dear[/]")
    run(house, "stop", "--tenant", "acme", "--reason", "runaway", "--now")
    assert [(one.kind, one.name, bool(one.cut_ms)) for one in read_stops(state)] == [
        ("model", "large", False),
        ("tenant", "acme", True),
    ]
    shown = run(house, "stops")
    assert "[bold]too dear[/]" in shown.stdout
    run(house, "resume", "--all")
    assert read_stops(state) == ()
    assert "nothing is stopped" in run(house, "stops").stderr
    with Ledger.read(state) as ledger:
        kinds = [event.kind for event in reversed(ledger.queries.events())]
    assert kinds == ["stop", "stop", "resume", "resume"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("stop", "--reason", "x"), "give one of --tenant, --key, --task, --model and --all"),
        (("stop", "--all", "--tenant", "acme", "--reason", "x"), "give one of --tenant"),
        (("stop", "--all", "--reason", " "), "--reason: say why"),
        (("stop", "--tenant", "", "--reason", "x"), "--tenant: a name is expected"),
        (("resume", "--tenant", "acme"), "tenant 'acme' is not stopped; `smallfirst stops` shows what is"),
        (("resume", "--all"), "nothing is stopped; `smallfirst stops`"),
    ],
)
def test_what_is_not_meant_is_told(house: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(SmallfirstError, match=message):
        run(house, *arguments)
    assert not (house / ".smallfirst" / FILE).exists()


def test_an_unknown_name_is_stopped_all_the_same_and_doubted(house: Path) -> None:
    told = run(house, "stop", "--tenant", "acmee", "--reason", "x").stderr
    assert " ".join(told.split()) == "the stop stands, but no tenant 'acmee' is known; did you mean \"acme\"?"
    assert read_stops(house / ".smallfirst")[0].name == "acmee"
    for kind, name in (("tenant", "acme"), ("task", "triage"), ("model", "small")):
        assert "known" not in run(house, "stop", f"--{kind}", name, "--reason", "x").stderr


def test_a_configuration_that_is_wrong_keeps_nobody_from_stopping(house: Path) -> None:
    (house / "smallfirst.toml").write_text("[nonsense", "utf-8")
    result = CliRunner().invoke(
        app,
        ["stop", "--all", "--reason", "x", "--state", str(house), "--config", str(house / "smallfirst.toml")],
    )
    assert result.exit_code == 0, result.output
    assert [one.kind for one in read_stops(house)] == ["all"]


def test_a_full_disk_leaves_what_was_stopped_stopped(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Notes, state: Path) -> None:
        from smallfirst.errors import StateError

        raise StateError("the disk is full")

    monkeypatch.setattr(Notes, "__init__", full)
    assert "it holds, but is not in the ledger" in run(house, "stop", "--all", "--reason", "x").stderr
    assert [one.kind for one in read_stops(house / ".smallfirst")] == ["all"]


# Budgets.


def test_budgets_are_listed_with_what_is_spent_and_what_was_told(house: Path) -> None:
    state = house / ".smallfirst"
    keys = open_keys(state)
    keys.create("web", "acme", budget_nusd_per_day=1, budget_nusd_per_month=2, budget_nusd_total=3)
    keys.close()
    run(house, "stop", "--task", "triage", "--reason", "x")
    told = json.loads(run(house, "budgets", "--json").stdout)
    assert [(one["scope"], one["name"], one["period"], one["limit_nusd"]) for one in told["budgets"]] == [
        ("gateway", "", "total", 100_000_000_000),
        ("tenant", "acme", "day", 1000),
        ("key", "web", "day", 1),
        ("key", "web", "month", 2),
        ("key", "web", "total", 3),
        ("task", "triage", "month", 5_000_000_000),
    ]
    assert [stop["name"] for stop in told["stops"]] == ["triage"]
    assert told["budgets"][-1]["at_limit"] == "small"
    shown = run(house, "budgets").stdout
    assert "small rungs" in shown
    assert "task triage" in shown


def test_before_the_first_start_nothing_is_spent(house: Path) -> None:
    told = json.loads(run(house, "budgets", "--json").stdout)
    assert [(one["scope"], one["spent_nusd"]) for one in told["budgets"]] == [
        ("gateway", 0),
        ("tenant", 0),
        ("task", 0),
    ]
    assert not (house / ".smallfirst").exists()


def test_without_budgets_it_says_how_one_is_made(house: Path) -> None:
    (house / "smallfirst.toml").write_text("", "utf-8")
    open_keys(house / ".smallfirst").close()
    assert "no budget is configured" in run(house, "budgets").stderr
    assert json.loads(run(house, "budgets", "--json").stdout) == {"budgets": [], "stops": []}
