"""`smallfirst calls`, as a user meets it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
from support.ledger import AT_MS, attempt, bodies, call, settlement
from typer.testing import CliRunner

from smallfirst.cli.calls import app
from smallfirst.errors import SmallfirstError
from smallfirst.ledger.ledger import Ledger


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def put(state, *made):
    ledger = Ledger.open(state)
    for one in made:
        ledger.journal.append_settlement(settlement(one))
        ledger.journal.append(bodies(one))
    ledger.close()


def run(state, *arguments):
    """What a command prints; its error is raised, as it is for `cli.main`."""
    result = CliRunner().invoke(app, [*arguments, "--state", str(state)], env={"COLUMNS": "200"})
    if isinstance(result.exception, SmallfirstError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_list_shows_the_latest_first(state):
    made = [call(), call(tenant="globex", task="extract")]
    put(state, *made)
    text = run(state, "list")
    assert text.index(made[1].id) < text.index(made[0].id)
    rows = [
        json.loads(line)
        for line in run(state, "list", "--json", "--tenant", "globex", "--since", "2026-01-01").splitlines()
    ]
    assert [row["id"] for row in rows] == [made[1].id]
    assert rows[0]["cost_nusd"] == 1000
    assert run(state, "list", "--json", "--status", "error") == ""


def test_show_tells_everything_of_one_call(state):
    one = call(
        attempt(status="unmet", reason="[not] a label"),
        attempt(1, kind="climb", cost_nusd=None),
        decision={"by": "header"},
    )
    put(state, one)
    text = run(state, "show", one.id, "--bodies")
    for told in (one.id, "[not] a label", "climb", "unknown", '"by":"header"', '{"ask":1}', '{"say":2}'):
        assert told in text
    shown = json.loads(run(state, "show", one.id, "--json", "--bodies"))
    assert [each["reason"] for each in shown["attempts"]] == ["[not] a label", ""]
    assert shown["bodies"] == {"request": '{"ask":1}', "answer": '{"say":2}'}


def test_tail_shows_the_oldest_first(state):
    made = [call() for _ in range(5)]
    put(state, *made)
    lines = run(state, "tail", "-n", "3", "--json").splitlines()
    assert [json.loads(line)["id"] for line in lines] == [one.id for one in made[2:]]
    assert made[4].id in run(state, "tail")


def test_erase_asks_first_and_then_forgets(state):
    mine, other = call(tenant="globex"), call()
    put(state, mine, other)
    refused = CliRunner().invoke(app, ["erase", "--tenant", "globex", "--state", str(state)], input="n\n")
    assert refused.exit_code == 1
    assert mine.id in run(state, "list")
    assert "erased 1 calls, 1 bodies and 0 cached answers" in run(
        state, "erase", "--tenant", "globex", "--yes"
    )
    text = run(state, "list")
    assert mine.id not in text
    assert other.id in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("show", "ffff"), "no call 'ffff'"),
        (("erase", "--call", "ffff", "--yes"), "no call 'ffff'"),
        (("erase", "--yes"), "say which"),
        (("list", "--since", "yesterday"), "expected a date"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(state, arguments, told):
    put(state, call(at_ms=AT_MS))
    with pytest.raises(SmallfirstError, match=told) as caught:
        run(state, *arguments)
    assert "\n" not in str(caught.value)


def test_an_empty_and_a_missing_ledger_are_said_so(state):
    with pytest.raises(SmallfirstError, match="there is no ledger"):
        run(state, "list")
    put(state)
    with pytest.raises(SmallfirstError, match="has no calls"):
        run(state, "list")


def test_tail_follows_what_comes_and_ends_cleanly_with_ctrl_c(state):
    first, second = call(), call()
    put(state, first)
    ledger = Ledger.open(state)
    ledger.start()
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from smallfirst.cli.calls import app; app()"
    command = [sys.executable, "-c", code, "tail", "-f", "--json", "--state", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tail:
        assert tail.stdout is not None
        assert json.loads(tail.stdout.readline())["id"] == first.id
        ledger.journal.append_settlement(settlement(second))
        assert json.loads(tail.stdout.readline())["id"] == second.id
        tail.send_signal(signal.SIGINT)
        assert tail.communicate(timeout=20) == (b"", b"")
        assert tail.returncode == 130
    ledger.close()
