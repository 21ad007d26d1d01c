"""Outcomes, told over HTTP and by command while a gateway runs: taken or refused row by row, known when they are answered."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from support.gateway import CONFIG, KEY, GatewayProcess
from support.simulator import SimulatorProcess

from smallfirst import limits
from smallfirst.ledger import Ledger, Notes

RIVAL = """
[tenants.rival]

[keys.rival]
secret = "env:RIVAL_KEY"
tenant = "rival"
"""
RIVAL_KEY = "sf-rival-key"


@pytest.fixture(scope="module")
def told_gateway(
    _simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("outcomes"),
        (CONFIG + RIVAL).format(sim=_simulator.base_url),
        environ={"RIVAL_KEY": RIVAL_KEY},
    )
    gateway.start()
    try:
        yield gateway
        assert "Traceback" not in gateway.log_text()
    finally:
        if gateway._process is not None:
            gateway.stop()


def ask(gateway: GatewayProcess, api_key: str = KEY, **headers: str) -> str:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=api_key, max_retries=0, timeout=20) as client:
        done = client.chat.completions.with_raw_response.create(
            model="frontier",
            messages=[{"role": "user", "content": "hi"}],
            max_tokens=5,
            extra_headers={f"x-smallfirst-{name}": value for name, value in headers.items()},
        )
    return done.headers["x-smallfirst-call"]


def tell(
    gateway: GatewayProcess, body: object, *, key: str = KEY, method: str = "POST"
) -> tuple[int, dict[str, Any]]:
    """The status and the JSON of an answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{gateway.url}/smallfirst/outcomes",
        data=data,
        method=method,
        headers={"authorization": f"Bearer {key}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def learned(gateway: GatewayProcess, call: str) -> list[tuple[str, Any, str]]:
    with Ledger.read(gateway.state) as ledger:
        return [(told.kind, told.value, told.source) for told in ledger.queries.outcomes(call)]


def test_an_outcome_is_known_as_soon_as_it_is_answered(told_gateway: GatewayProcess) -> None:
    call = ask(told_gateway)
    row = {"call": call, "kind": "score", "value": 0.5}
    assert tell(told_gateway, row) == (
        200,
        {"new": 1, "repeated": 0, "refused": 0, "rows": [{"row": 0, "status": "new", "call": call}]},
    )
    assert learned(told_gateway, call) == [("score", 0.5, "client")]
    assert tell(told_gateway, row)[1]["repeated"] == 1
    assert tell(told_gateway, row | {"value": 1})[1]["new"] == 1
    assert learned(told_gateway, call) == [("score", 0.5, "client"), ("score", 1.0, "client")]


def test_each_row_is_taken_or_refused_by_itself(told_gateway: GatewayProcess) -> None:
    call = ask(told_gateway, key="order-7")
    rows = [
        {"key": "order-7", "kind": "label", "value": "billing", "source": "support"},
        {"key": "order-8", "kind": "label", "value": "billing"},
        {"key": "order-7", "kind": "thumbs", "value": "sideways"},
        "what?",
    ]
    status, told = tell(told_gateway, rows)
    assert (status, told["new"], told["refused"]) == (200, 1, 3)
    assert [row.get("field") for row in told["rows"]] == [None, "key", "value", "row"]
    lines = b"\n".join(json.dumps(row).encode() for row in rows[:2]) + b"\n{broken\n"
    status, told = tell(told_gateway, lines)
    assert (status, told["repeated"], told["refused"]) == (200, 1, 2)
    assert tell(told_gateway, rows[1:])[0] == 400  # none was taken
    assert learned(told_gateway, call) == [("label", "billing", "support")]


def test_a_tenant_speaks_of_its_own_calls_only(told_gateway: GatewayProcess) -> None:
    theirs = ask(told_gateway, RIVAL_KEY, key="shared")
    ours = ask(told_gateway, key="shared")
    unknown = tell(told_gateway, {"call": "0" * 28, "kind": "score", "value": 1})
    assert tell(told_gateway, {"call": theirs, "kind": "score", "value": 1}) == unknown
    assert unknown[0] == 400
    by_key = {"key": "shared", "kind": "score", "value": 1}
    assert tell(told_gateway, by_key)[1]["rows"][0]["call"] == ours
    assert tell(told_gateway, by_key, key=RIVAL_KEY)[1]["rows"][0]["call"] == theirs


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"not json", 400),
        (b"[]", 400),
        (b"[" * 100_000, 400),
        (b'{"kind":"label","call":"x","value":' + b"[" * 5000 + b"]" * 5000 + b"}", 400),
        (b"[" + b"1," * limits.MAX_OUTCOMES + b"1]", 400),
        (b"\xff\xfe\n\xff", 400),
    ],
)
def test_what_is_no_outcome_is_refused(told_gateway: GatewayProcess, body: bytes, status: int) -> None:
    assert tell(told_gateway, body)[0] == status


def test_nobody_without_a_key_says_anything(told_gateway: GatewayProcess) -> None:
    row = {"call": "x", "kind": "score", "value": 1}
    assert tell(told_gateway, row, key="sf-none")[0] == 401
    assert tell(told_gateway, row, method="PUT")[0] == 400


def test_commands_write_while_the_gateway_does(told_gateway: GatewayProcess, tmp_path: Path) -> None:
    calls = [ask(told_gateway) for _ in range(5)]
    rows = tmp_path / "told.jsonl"
    rows.write_text(
        "\n".join(json.dumps({"call": call, "kind": "thumbs", "value": "down"}) for call in calls)
    )
    done = told_gateway.cli("outcomes", "import", str(rows), "--source", "bulk")
    assert (done["new"], done["refused"]) == (5, 0)
    with Notes(told_gateway.state) as notes:
        notes.event("heldout-read", {"dataset": "d"})
    after = ask(told_gateway)
    assert told_gateway.call(after)["status"] == "ok"
    found = told_gateway.run(
        "outcomes", "list", "--source", "bulk", "--config", str(told_gateway.path), "--json"
    )
    listed = [json.loads(line) for line in found.stdout.splitlines()]
    assert {one["call"] for one in listed} == set(calls)
    assert {one["outcome"]["value"] for one in listed} == {False}


def test_a_file_with_a_wrong_row_ends_with_status_1(told_gateway: GatewayProcess, tmp_path: Path) -> None:
    rows = tmp_path / "told.csv"
    rows.write_text(f"call,kind,value\n{ask(told_gateway)},score,1\nnone,score,1\n")
    done = told_gateway.run("outcomes", "import", str(rows), "--config", str(told_gateway.path))
    assert done.returncode == 1
    assert "told.csv, line 3: call: no such call is in the ledger" in done.stderr
    assert "1 new, 0 known before, 1 refused" in done.stdout


def test_a_call_that_may_not_be_trained_on_says_so(told_gateway: GatewayProcess) -> None:
    assert told_gateway.call(ask(told_gateway, train="0"))["trainable"] is False
    assert told_gateway.call(ask(told_gateway, train="1"))["trainable"] is True
