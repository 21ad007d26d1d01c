"""Where alarms may be sent: addresses of webhooks, which no message holds."""

from __future__ import annotations

import pytest

from smallfirst.config.check import check
from smallfirst.config.finding import Surroundings
from smallfirst.config.load import parse

CONFIG = "[providers.p]\nbase_url = 'https://p.example/v1'\n[models.m]\nprovider = 'p'\n[budget.alarms]\nwebhook = 'env:HOOK'"


def found(url: str) -> list[str]:
    findings = check(parse(CONFIG), Surroundings(environ={"HOOK": url}))
    return [str(finding) for finding in findings if finding.path.startswith("budget")]


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example/T0/B0/token",
        "https://hooks.example:8443/x?sig=1",
        "http://127.0.0.1:9000/alarms",
        "http://localhost/alarms",
        "http://[::1]:9000/alarms",
    ],
)
def test_an_encrypted_address_and_one_of_this_machine_will_do(url: str) -> None:
    assert found(url) == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://hooks.example/token", "is not encrypted; https:// is required outside this machine"),
        ("http://10.0.0.7/token", "is not encrypted; https:// is required outside this machine"),
        ("ftp://hooks.example/token", "holds no address that begins with https://"),
        ("hooks.example/token", "holds no address that begins with https://"),
        ("https:///token", "holds no address that begins with https://"),
        ("https://[token", "holds no address"),
        ("https://hooks.example:99999/token", "holds no address"),
        ("https://user:token@hooks.example/", "holds a user or password"),
    ],
)
def test_any_other_is_refused_and_not_shown(url: str, message: str) -> None:
    (line,) = found(url)
    assert line.startswith("budget.alarms.webhook: env:HOOK holds")
    assert message in line
    assert "token" not in line.replace("a webhook's token", "")
