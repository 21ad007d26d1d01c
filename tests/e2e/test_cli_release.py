"""`smallfirst release` and `smallfirst explain`, as processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.gateway import CONFIG, GatewayProcess


@pytest.fixture
def stopped(tmp_path: Path) -> GatewayProcess:
    """A configuration and its commands; nothing runs."""
    return GatewayProcess(tmp_path, CONFIG.format(sim="http://127.0.0.1:9"))


def test_a_release_is_built_once_listed_shown_and_promoted(stopped: GatewayProcess) -> None:
    built = stopped.cli("release", "build")
    assert built["new"]
    assert not stopped.cli("release", "build")["new"]
    assert (
        stopped.cli("release", "show", built["id"][:8])["policies"]["triage"]["ladder"][0]["model"] == "mini"
    )
    assert stopped.cli("release", "list")["live"]["release"] == "baseline"
    config = ("--config", str(stopped.path))
    refused = stopped.run("release", "promote", *config)
    assert refused.returncode == 1
    assert "no passing verdict" in refused.stderr
    assert stopped.run("release", "promote", "--unproven", "a test", *config).returncode == 0
    live = stopped.cli("release", "list")["live"]
    assert (live["release"], live["unproven"]) == (built["id"], "a test")
    assert stopped.run("release", "promote", "baseline", *config).returncode == 0
    assert stopped.cli("release", "list")["live"]["release"] == "baseline"


def test_promoting_without_any_release_says_how_to_make_one(stopped: GatewayProcess) -> None:
    refused = stopped.run("release", "promote", "--config", str(stopped.path))
    assert refused.returncode == 1
    assert "smallfirst release build" in refused.stderr


def test_explain_says_who_would_be_asked_without_asking(stopped: GatewayProcess) -> None:
    told = stopped.cli("explain", "I was charged twice", "--task", "triage", "--release", "candidate")
    assert [step["model"] for step in told["steps"]] == ["mini", "frontier"]
    assert all(step["asked"] for step in told["steps"])
    live = stopped.cli("explain", "I was charged twice", "--task", "triage")
    assert [step["model"] for step in live["steps"]] == ["frontier"]
    assert live["release"] == "baseline"


def test_explain_of_an_unknown_task_names_the_known(stopped: GatewayProcess) -> None:
    refused = stopped.run("explain", "x", "--task", "nope", "--config", str(stopped.path))
    assert refused.returncode == 1
    assert "triage" in refused.stderr
