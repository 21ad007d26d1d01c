"""`smallfirst keys`, as a user meets it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from smallfirst.cli.keys import app
from smallfirst.errors import SmallfirstError
from smallfirst.ledger import hash_key, open_keys


def run(state, *arguments):
    result = CliRunner().invoke(app, [*arguments, "--state", str(state)], env={"COLUMNS": "200"})
    if isinstance(result.exception, SmallfirstError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def test_a_key_is_made_shown_once_listed_and_revoked(tmp_path):
    made = run(
        tmp_path,
        "create",
        "web",
        "--tenant",
        "acme",
        "--budget",
        "2.50",
        "--model",
        "gpt-*",
        "--expires",
        "2099-12-31",
    )
    plaintext = made.stdout.strip()
    keys = open_keys(tmp_path)
    (stored,) = keys.load()
    assert stored.digest == hash_key(keys.secret, plaintext)
    keys.close()
    assert stored.budget_nusd_per_day == 2_500_000_000
    listed = run(tmp_path, "list").stdout
    assert "web" in listed
    assert "$2.50" in listed
    assert plaintext not in listed
    (row,) = json.loads(run(tmp_path, "list", "--json").stdout)
    assert (row["tenant"], row["models"], row["expires"]) == ("acme", ["gpt-*"], "2099-12-31")
    assert "digest" not in row
    run(tmp_path, "revoke", "web")
    assert json.loads(run(tmp_path, "list", "--json").stdout) == []
    assert len(json.loads(run(tmp_path, "list", "--all", "--json").stdout)) == 1


def test_a_key_may_be_limited_a_minute(tmp_path):
    run(tmp_path, "create", "web", "--requests-per-minute", "600", "--tokens-per-minute", "200000")
    (row,) = json.loads(run(tmp_path, "list", "--json").stdout)
    assert (row["requests_per_minute"], row["tokens_per_minute"]) == (600, 200_000)
    assert "600 requests, 200,000 tokens" in run(tmp_path, "list").stdout
    refused = CliRunner().invoke(
        app, ["create", "no", "--requests-per-minute", "0", "--state", str(tmp_path)]
    )
    assert refused.exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("create", "a b"), "no name"),
        (("create", "web", "--tenant", ""), "no name"),
        (("create", "web", "--budget", "much"), "expected dollars"),
        (("create", "web", "--budget", "-1"), "at least 0"),
        (("create", "web", "--budget", "NaN"), "expected dollars"),
        (("create", "web", "--expires", "soon"), "expected a day"),
        (("revoke", "nobody"), "no key in force"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(tmp_path, arguments, told):
    with pytest.raises(SmallfirstError, match=told):
        run(tmp_path, *arguments)
    assert json.loads(run(tmp_path, "list", "--json").stdout) == []
