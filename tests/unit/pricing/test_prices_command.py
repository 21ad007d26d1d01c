"""`smallfirst prices list` and `compare`, as a user types them."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from smallfirst.cli.prices import app

CONFIG = """
[providers.oa]
[providers.own]
base_url = "http://localhost:8000/v1"
[models.mini]
provider = "oa"
id = "gpt-5-mini"
[[models.mini.prices]]
since = "2026-07-01"
input = 0.0375
output = 0.15
note = "negotiated [2026]"
[models.small]
provider = "own"
hourly_usd = 1.2
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SMALLFIRST_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "240")


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def _models(*arguments: str) -> list[dict[str, Any]]:
    result = _run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["models"]


def test_nine_families_are_compared_without_a_configuration() -> None:
    models = _models("compare", "--on", "2026-11-24")
    families = {"Claude", "GPT", "Gemini", "Llama", "Qwen", "Mistral", "DeepSeek", "Phi", "Grok"}
    assert {model["family"] for model in models} == families
    costs = [float(model["cost"]["call_usd"]) for model in models]
    assert costs == sorted(costs)


def test_the_configurations_models_are_compared_too(tmp_path: Path) -> None:
    (tmp_path / "smallfirst.toml").write_text(CONFIG)
    found = {
        model["model"]: model for model in _models("compare", "--tokens-in", "1000", "--tokens-out", "0")
    }
    assert found["mini"]["configured"] is True
    assert found["mini"]["cost"]["call_usd"] == "0.0000375"
    assert found["mini"]["cost"]["million_calls_usd"] == "37.5"
    assert found["small"]["hourly_usd"] == "1.2"
    assert found["small"]["cost"]["call_usd"] is None
    people = _run("compare", "mini", "small")
    assert "negotiated [2026]" in people.stdout
    assert "by the hour" in people.stdout


def test_a_configuration_is_read_from_where_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text(CONFIG)
    assert [row["model"] for row in _models("list", "--provider", "own", "--config", str(path))] == ["small"]
    assert _models("list", "--provider", "own") == []


def test_a_list_is_chosen_by_provider_and_pattern() -> None:
    models = _models("list", "--provider", "x-ai", "--model", "grok-4.2*", "--on", "2026-04-29")
    assert models[0]["price"]["usd_per_million_tokens"]["input"] == "2"
    assert {model["provider"] for model in models} == {"x-ai"}
    assert "no such models" in _run("list", "--model", "nothing-like-it").output


def test_people_see_dates_and_what_is_unknown() -> None:
    shown = _run("compare", "anthropic/claude-haiku-5-5", "--on", "2026-11-24").stdout
    assert "table of 20" in shown
    assert "over 100,000 tokens" in shown
    assert "?" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compare", "gpt-5-minni"), "gpt-5-mini"),
        (("compare", "--on", "26"), "YYYY-MM-DD"),
        (("compare", "--tokens-in", "-1"), "tokens-in"),
    ],
)
def test_wrong_usage_says_what_to_do(arguments: tuple[str, ...], message: str) -> None:
    result = _run(*arguments)
    assert result.exit_code == 2
    assert message in result.output
