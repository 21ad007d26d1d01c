"""`smallfirst models list`: from a configuration, with and without a gateway that runs."""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from smallfirst.classify.store import Artifacts, Described
from smallfirst.cli.models import app
from smallfirst.config.load import parse
from smallfirst.models.inventory import endpoints_up, inventory

CONFIG = """
[server]
port = {port}

[providers.sim]
base_url = "http://127.0.0.1:8081/v1/"
simulated = true

[providers.anthropic]
kind = "anthropic"

[providers.embedded]
kind = "embedded"

[models.small]
provider = "embedded"
id = "{weights}"
context_tokens = 2048
hourly_usd = "0.02"

[models.absent]
provider = "embedded"
id = "absent.gguf"

[models.frontier]
provider = "sim"
id = "sim-frontier"
prices = [{{ since = "2026-01-01", input = "2.5", output = 10 }}]

[models.claude]
provider = "anthropic"
id = "no-such-claude"

[models.fleet]
provider = "sim"
endpoints = ["http://gpu-1:8000/v1", "http://gpu-2:8000/v1"]
hourly_usd = "4"
"""
METRICS = """# HELP smallfirst_endpoint_up 1 if requests may be sent to it
# TYPE smallfirst_endpoint_up gauge
smallfirst_endpoint_up{endpoint="http://127.0.0.1:8081/v1"} 1.0
smallfirst_endpoint_up{endpoint="http://gpu-1:8000/v1"} 0.0
smallfirst_endpoint_up{endpoint="http://gpu-2:8000/v1"} 1.0
smallfirst_endpoint_up{endpoint="https://api.anthropic.com"} 0.0
"""
ON = datetime.date(2026, 7, 1)


class _Metrics(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/metrics" else 404)
        self.end_headers()
        self.wfile.write(METRICS.encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (its name there)
        """Says nothing."""


@pytest.fixture
def gateway_port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), _Metrics) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def path(tmp_path: Path, gateway_port: int) -> Path:
    weights = tmp_path / "mine.gguf"
    weights.write_bytes(b"GGUF")
    path = tmp_path / "smallfirst.toml"
    path.write_text(CONFIG.format(port=gateway_port, weights=weights), "utf-8")
    return path


def test_rows_tell_who_answers_and_at_what_price(path: Path) -> None:
    rows = {row.name: row for row in inventory(parse(path.read_text("utf-8")), on=ON)}
    assert list(rows) == ["small", "absent", "frontier", "claude", "fleet"]
    assert rows["small"].weights == path.parent / "mine.gguf"
    assert (rows["small"].lacks_weights, rows["absent"].lacks_weights, rows["claude"].lacks_weights) == (
        False,
        True,
        False,
    )
    assert (rows["small"].hourly_usd, rows["small"].context_tokens) == (Decimal("0.02"), 2048)
    price = rows["frontier"].price
    assert price is not None
    assert (price.version, price.input) == ("config/models.frontier@2026-01-01", 2_500_000_000)
    assert rows["claude"].price is None
    assert rows["claude"].endpoints == ("https://api.anthropic.com",)
    assert {row.health for row in rows.values()} == {"unknown"}


def test_health_is_what_the_running_gateway_says(path: Path) -> None:
    config = parse(path.read_text("utf-8"))
    health = {row.name: row.health for row in inventory(config, on=ON, up=endpoints_up(config))}
    assert health == {
        "small": "unknown",
        "absent": "unknown",
        "frontier": "up",
        "claude": "down",
        "fleet": "up",
    }


def test_without_a_gateway_health_is_not_known() -> None:
    with HTTPServer(("127.0.0.1", 0), _Metrics) as server:
        port = server.server_port
    assert endpoints_up(parse(CONFIG.format(port=port, weights="mine.gguf"))) is None


def test_the_list_for_people_says_what_to_do(path: Path) -> None:
    done = CliRunner().invoke(app, ["list", "--config", str(path)], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    assert "no weights: there is no such file" in done.output
    assert "$0.02 an hour" in done.output
    assert "2.5 / 10" in done.output
    assert "up, simulated" in done.output


def test_the_list_for_scripts_is_json(path: Path) -> None:
    done = CliRunner().invoke(app, ["list", "--config", str(path), "--json"])
    assert done.exit_code == 0, done.output
    shown = json.loads(done.output)
    assert shown["gateway"] == "answers"
    frontier = next(model for model in shown["models"] if model["name"] == "frontier")
    assert frontier["price"] == {
        "version": "config/models.frontier@2026-01-01",
        "input": "2.5",
        "output": "10",
    }
    assert frontier["health"] == "up"


HEADS = """
[providers.heads]
kind = "head"

[models.trained]
provider = "heads"
id = "triage"

[models.untrained]
provider = "heads"
id = "routing"
"""


def test_a_label_head_is_where_it_was_trained(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / ".smallfirst")
    sha256 = artifacts.save(b"head", Described(at_ms=1, kind="head", task="triage"))
    path = tmp_path / "smallfirst.toml"
    path.write_text(HEADS, "utf-8")
    rows = {row.name: row for row in inventory(parse(HEADS), on=ON, state=tmp_path / ".smallfirst")}
    assert rows["trained"].weights == artifacts.path(sha256)
    assert (rows["trained"].lacks_weights, rows["untrained"].lacks_weights) == (False, True)
    assert (rows["trained"].tools, rows["trained"].endpoints) == (False, ())
    price = rows["trained"].price
    assert price is not None
    assert price.version == "in-process"
    done = CliRunner().invoke(app, ["list", "--config", str(path)], env={"COLUMNS": "160"})
    assert "no head: smallfirst train routing --method head" in done.output
    assert done.output.count("no head") == 1
