"""`smallfirst init` and `smallfirst config`, as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema_rs
import pytest

SECRET = "sk-nightingale-1234567890abcdef"
LOOKS_SECRET = 'looks like a secret; write "env:NAME" and set the variable. The value is not shown'
NO_REFERENCE = (
    'expected a reference to an environment variable such as "env:OPENAI_API_KEY"; '
    "what stands there is not shown"
)
NO_PRICE = "its price is unknown, which is not zero; [[models.NAME.prices]] or hourly_usd gives one"
_COMMAND = [sys.executable, "-c", "from smallfirst.cli import main; main()"]
_KEPT = ("PATH", "HOME", "PYTHONPATH", "LANG", "SYSTEMROOT")


class Cli:
    """Runs commands in one folder, in an environment that holds nothing of the developer's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        done = subprocess.run(
            [*_COMMAND, *arguments],
            cwd=self.folder,
            env={**kept, "NO_COLOR": "1", **environ},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert "nightingale" not in done.stdout + done.stderr
        return done

    def write(self, text: str, name: str = "smallfirst.toml") -> None:
        (self.folder / name).write_text(text, encoding="utf-8")


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def test_init_then_check_then_show(cli: Cli) -> None:
    made = cli("init", OPENAI_API_KEY=SECRET, ANTHROPIC_API_KEY=SECRET)
    assert made.returncode == 0
    assert "found: openai, anthropic" in made.stdout
    assert "smallfirst config check\n  smallfirst serve" in made.stdout
    checked = cli("config", "check", OPENAI_API_KEY=SECRET, ANTHROPIC_API_KEY=SECRET)
    assert (checked.returncode, checked.stdout) == (0, "smallfirst.toml: in order\n")
    shown = json.loads(cli("config", "show", "--json").stdout)
    assert shown["providers"]["openai"]["api_key"] == "env:OPENAI_API_KEY"
    assert shown["server"]["max_calls_in_flight"] == 4096


def test_what_show_prints_is_the_same_configuration(cli: Cli) -> None:
    cli("init")
    cli.write(cli("config", "show").stdout, "shown.toml")
    assert cli("config", "diff", "shown.toml").stdout == "nothing differs\n"


def test_init_never_overwrites_unless_told(cli: Cli) -> None:
    cli.write("# mine\n")
    refused = cli("init")
    assert refused.returncode == 1
    assert "smallfirst.toml exists already and was not touched; --force overwrites it" in refused.stderr
    assert (cli.folder / "smallfirst.toml").read_text() == "# mine\n"
    forced = cli("init", "--force")
    assert "python -m smallfirst.simulator --port 8081" in forced.stdout
    assert "[providers.simulated]" in (cli.folder / "smallfirst.toml").read_text()


def test_init_into_a_folder_that_is_not_there_is_one_line(cli: Cli) -> None:
    for force in ([], ["--force"]):
        failed = cli("init", "--path", "no/such/x.toml", *force)
        assert failed.returncode == 1
        assert failed.stderr == "error: no/such/x.toml cannot be written: No such file or directory\n"


def test_check_reports_everything_and_fails(cli: Cli) -> None:
    cli.write(
        '[providers.p]\napi_key = "env:NOT_SET"\nheaders = {Authorization = "Bearer ' + SECRET + '"}\n'
        '[models.m]\nprovider = "q"\n[tasks.t]\nladder = ["m"]\n'
    )
    failed = cli("config", "check")
    assert failed.returncode == 1
    assert failed.stdout.splitlines()[:3] == [
        "error providers.p.headers.Authorization: " + LOOKS_SECRET,
        "error providers.p.api_key: the environment variable NOT_SET is not set",
        'error models.m.provider: provider "q" is not declared; known: p',
    ]
    assert failed.stdout.splitlines()[-1] == "smallfirst.toml: 3 errors, 2 notes"
    as_json = json.loads(cli("config", "check", "--json").stdout)
    assert as_json["ok"] is False
    assert {finding["level"] for finding in as_json["findings"]} == {"error", "note"}


def test_check_in_ci_needs_no_secrets(cli: Cli) -> None:
    cli("init", OPENAI_API_KEY=SECRET)
    assert cli("config", "check").returncode == 1
    assert cli("config", "check", "--no-secrets").returncode == 0


def test_check_says_that_a_price_is_unknown(cli: Cli) -> None:
    cli.write(
        '[providers.p]\nbase_url = "https://p.example/v1"\n[models.m]\nprovider = "p"\n'
        '[models.n]\nprovider = "p"\nhourly_usd = "1.20"\n'
    )
    done = cli("config", "check")
    assert done.stdout.splitlines() == [
        "warning models.m: " + NO_PRICE,
        "smallfirst.toml: 1 warning",
    ]
    assert done.returncode == 0


def test_a_wrong_file_is_all_its_problems_and_no_traceback(cli: Cli) -> None:
    cli.write(f'[server]\nport = "[bold]x"\nhots = "a"\n[providers.p]\napi_key = "{SECRET}"\n')
    failed = cli("config", "check")
    assert failed.returncode == 1
    assert failed.stderr.splitlines() == [
        "error: smallfirst.toml: 3 problems",
        '  server.port: expected a whole number in [0, 65535], got "[bold]x"',
        '  server.hots: unknown field; did you mean "host"?',
        "  providers.p.api_key: " + NO_REFERENCE,
    ]


def test_no_file_names_the_fix(cli: Cli) -> None:
    failed = cli("config", "show")
    assert failed.stderr == (
        "error: smallfirst.toml does not exist; `smallfirst init` writes one, --config names another\n"
    )


def test_the_variable_names_the_file(cli: Cli) -> None:
    cli.write('frontier = "m"\n', "other.toml")
    assert cli("config", "show", SMALLFIRST_CONFIG="other.toml").stdout.startswith('frontier = "m"\n')


def test_diff_says_what_each_change_takes(cli: Cli) -> None:
    old = '[providers.p]\n[models.m]\nprovider = "p"\n[tasks.t]\nladder = ["m"]\n'
    cli.write(old, "old.toml")
    cli.write("[server]\nport = 1\nmetrics = false\n" + old + "margin = 0.1\n")
    assert cli("config", "diff", "old.toml").stdout.splitlines() == [
        "reload (SIGHUP applies it)",
        "  server.metrics: true → false",
        "release (served after `smallfirst release build` and loading that release)",
        "  tasks.t.margin: 0.02 → 0.1",
        "restart (served after a restart)",
        "  server.port: 8080 → 1",
    ]
    changes = json.loads(cli("config", "diff", "old.toml", "smallfirst.toml", "--json").stdout)["changes"]
    assert {"path": "server.port", "old": 8080, "new": 1, "kind": "restart"} in changes


def test_the_schema_is_one(cli: Cli) -> None:
    schema = json.loads(cli("config", "schema").stdout)
    validator = jsonschema_rs.validator_for(schema)
    assert validator.is_valid({"server": {"port": 1}})
    assert not validator.is_valid({"server": {"prot": 1}})


def test_init_from_litellm_lists_what_it_took_and_left(cli: Cli) -> None:
    cli.write(
        "model_list:\n"
        "- {model_name: a, litellm_params: {model: openai/gpt-4o, api_key: " + SECRET + ", rpm: 3}}\n"
        "- {model_name: b, litellm_params: {model: bedrock/x}}\n",
        "litellm.yaml",
    )
    done = cli("init", "--from", "litellm.yaml")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert '  model_list[0]: model "a" of provider "openai"' in lines
    assert (
        "  model_list[1] (b): bedrock is not spoken here; keep LiteLLM for it, as a provider of kind openai"
        in lines
    )
    assert SECRET not in (cli.folder / "smallfirst.toml").read_text()
    assert cli("config", "check", OPENAI_API_KEY=SECRET).returncode == 0
