"""The effective configuration as it may be shown."""

from __future__ import annotations

from smallfirst.config import toml_text
from smallfirst.config.load import parse
from smallfirst.config.shown import shown

TEXT = """
[providers.p]
base_url = "https://u:canary@h/v1"
api_key = "env:A"
headers.Authorization = "Bearer canary123"
headers.x-api-key = "env:B"
headers.X-Team = "a"
headers.X-Other = "sk-canary-123456789012"
[models.m]
provider = "p"
endpoints = ["https://u:canary@i/v1"]
prices = [{ since = 2026-01-01, input = "0.000000001", output = 1 }]
[tenants.t]
[tasks.t]
ladder = ["m", { model = "m", max_tokens = 3 }]
contract = { type = "json", schema = { type = "object", properties = { budget = {}, headers = {} } } }
"""


def test_credentials_are_masked_and_references_stay() -> None:
    tables = shown(parse(TEXT))
    assert "canary" not in repr(tables)
    provider = tables["providers"]["p"]
    assert provider["base_url"] == "https://***@h/v1"
    assert provider["api_key"] == "env:A"
    assert provider["headers"] == {
        "Authorization": "(hidden)",
        "x-api-key": "env:B",
        "X-Team": "a",
        "X-Other": "(hidden)",
    }


def test_it_is_a_configuration_with_the_same_meaning() -> None:
    plain = (
        TEXT.replace("u:canary@", "")
        .replace("Bearer canary123", "env:C")
        .replace("sk-canary-123456789012", "b")
    )
    config = parse(plain)
    assert parse(toml_text.write(shown(config))) == config


def test_defaults_are_written_out() -> None:
    assert shown(parse(""))["server"]["port"] == 8080
