"""What differs between two files, and what it takes for each difference to be served."""

from __future__ import annotations

import pytest

from smallfirst.config.diff import diff
from smallfirst.config.load import parse

BEFORE = """
frontier = "big"
[server]
port = 8080
[providers.hosted]
api_key = "env:A"
headers = { Authorization = "Bearer canary-1234567" }
[providers.own]
base_url = "http://u:canary@gpu/v1"
[providers.inside]
kind = "embedded"
[providers.heads]
kind = "head"
[models.big]
provider = "hosted"
[models.free]
provider = "hosted"
[models.small]
provider = "inside"
[models.triage-head]
provider = "heads"
[models.other-head]
provider = "heads"
[tenants.t]
budget.usd_per_day = 5
[tasks.triage]
ladder = ["triage-head", "small", "big"]
"""


@pytest.mark.parametrize(
    ("old", "new", "kind", "line"),
    [
        ("port = 8080", "port = 9090", "restart", "server.port: 8080 → 9090"),
        ("port = 8080", "host = 'x'\nport = 8080", "restart", 'server.host: "127.0.0.1" → "x"'),
        ("port = 8080", "port = 8080\nmetrics = false", "reload", "server.metrics: true → false"),
        ("[server]", "[storage]\npath = 'p'\n[server]", "restart", 'storage.path: ".smallfirst" → "p"'),
        ("[server]", "[storage]\nbodies_days = 1\n[server]", "reload", "storage.bodies_days: 30 → 1"),
        ('frontier = "big"', "", "restart", 'frontier: "big" → absent'),
        ("env:A", "env:B", "reload", 'providers.hosted.api_key: "env:A" → "env:B"'),
        ("gpu/v1", "gpu2/v1", "reload", 'providers.own.base_url: "http://***@gpu/v1" → "http://***@gpu2/v1"'),
        (
            "canary-1234567",
            "canary-7654321",
            "reload",
            'providers.hosted.headers.Authorization: "(hidden)" → "(hidden)"',
        ),
        ("usd_per_day = 5", "usd_per_day = 5.5", "reload", 'tenants.t.budget.usd_per_day: "5" → "5.5"'),
        (
            "[tasks.triage]",
            "[tasks.triage]\nlimits.calls_at_once = 3",
            "reload",
            "tasks.triage.limits.calls_at_once: absent → 3",
        ),
        ("[models.free]", "[models.free]\nid = 'x'", "reload", 'models.free.id: absent → "x"'),
        ("[models.big]", "[models.big]\nid = 'x'", "release", 'models.big.id: absent → "x"'),
        ("[models.big]", "[models.big]\nconcurrency = 3", "reload", "models.big.concurrency: absent → 3"),
        ("[models.small]", "[models.small]\nid = 'x'", "restart", 'models.small.id: absent → "x"'),
        ("[tasks.triage]", "[tasks.triage]\nmargin = 0.1", "release", "tasks.triage.margin: 0.02 → 0.1"),
        (
            "[tasks.triage]",
            "[tasks.triage]\ncache.exact = true",
            "release",
            "tasks.triage.cache.exact: false → true",
        ),
        (
            "[tenants.t]",
            "[cache]\nmax_entries = 5\n[tenants.t]",
            "restart",
            "cache.max_entries: 1000000 → 5",
        ),
        (
            '["triage-head", "small", "big"]',
            '["big"]',
            "release",
            'tasks.triage.ladder: ["triage-head","small","big"] → ["big"]',
        ),
        (
            "[models.triage-head]",
            "[models.triage-head]\nid = 'triage'",
            "release",
            'models.triage-head.id: absent → "triage"',
        ),
        (
            "[models.other-head]",
            "[models.other-head]\nid = 'triage'",
            "reload",
            'models.other-head.id: absent → "triage"',
        ),
        (
            "[tasks.triage]",
            "[tasks.triage]\nkeep_bodies = true",
            "reload",
            "tasks.triage.keep_bodies: false → true",
        ),
        ("[tasks.triage]", "[tasks.triage]\nredact = ['x']", "reload", 'tasks.triage.redact: [] → ["x"]'),
        (
            "[tasks.triage]",
            "[routing]\nauto = ['any']\n[tasks.triage]",
            "reload",
            'routing.auto: ["auto"] → ["any"]',
        ),
        (
            "[tasks.triage]",
            "[routing]\nunclassified = 'big'\n[tasks.triage]",
            "reload",
            'routing.unclassified: absent → "big"',
        ),
        (
            "[tasks.triage]",
            "[routing]\nintents = 'none'\n[tasks.triage]",
            "release",
            'routing.intents: "newest" → "none"',
        ),
        ("[tasks.triage]", "[aliases]\na = 'big'\n[tasks.triage]", "reload", 'aliases.a: absent → "big"'),
    ],
)
def test_each_difference_has_its_kind(old: str, new: str, kind: str, line: str) -> None:
    assert BEFORE.count(old) == 1
    changes = diff(parse(BEFORE), parse(BEFORE.replace(old, new)))
    assert [(change.kind, str(change)) for change in changes] == [(kind, line)]
    assert "canary" not in repr(changes)


def test_tables_that_come_and_go_are_named_whole() -> None:
    after = parse(BEFORE.replace("[models.free]", "[models.liberated]") + "[tasks.new]\nladder = ['big']\n")
    changes = diff(parse(BEFORE), after)
    assert [(change.path, change.kind) for change in changes] == [
        ("models.free", "reload"),
        ("models.liberated", "reload"),
        ("tasks.new", "release"),
    ]
    assert changes[0].new is None
    assert changes[1].old is None


def test_nothing_differs_from_itself() -> None:
    assert diff(parse(BEFORE), parse(BEFORE)) == []
