"""What a hostile reviewer tried: upstreams and clients that do what no honest one does, and what must hold all the same."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from support.gateway import CONFIG, KEY, GatewayProcess
from support.simulator import SimulatorProcess
from uvicorn.server import ServerState

from smallfirst import limits
from smallfirst.chat import Usage
from smallfirst.errors import BudgetExceeded
from smallfirst.gateway.budget import Budgets, Limit, PurseName
from smallfirst.gateway.history import History
from smallfirst.gateway.listener import BoundedHttp
from smallfirst.models.endpoints import Breaker
from smallfirst.models.meter import Meter

CHAT = "/v1/chat/completions"
EXTRA = """
[providers.raw]
base_url = "{raw}/v1"
max_attempts = 1
accepts = ["wild-*"]
timeouts = {{ connect_s = 1, first_byte_s = 0.5, between_bytes_s = 3, total_s = 3 }}

[models.raw]
provider = "raw"
id = "upstreams-own-name"
prices = [{{ since = "2026-01-01", input = 1, output = 1 }}]

[[relay]]
prefix = "/v1/raw"
provider = "raw"
"""
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class Scripted:
    """An upstream that answers each request with the same bytes, or as a function of its connection does."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.answer: bytes | Callable[[socket.socket], None] = b""
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._read_request(connection)
                if isinstance(self.answer, bytes):
                    connection.sendall(self.answer)
                else:
                    self.answer(connection)
            except OSError:  # the gateway left: what some tests are for
                return

    @staticmethod
    def _read_request(connection: socket.socket) -> None:
        with connection.makefile("rb") as file:
            size = 0
            while (line := file.readline().strip().lower()) != b"":
                if line.startswith(b"content-length:"):
                    size = int(line.split(b":")[1])
            file.read(size)


def whole(body: dict[str, Any] | bytes, *, head: bytes = b"", status: bytes = b"200 OK") -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head += b"Content-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n" % len(data)
    return b"HTTP/1.1 " + status + b"\r\n" + head + b"\r\n" + data


def reply(**fields: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
    return {"id": "r", "model": "upstreams-own-name", "choices": [choice], "usage": usage} | fields


def event(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return (
        b"data: "
        + json.dumps({"id": "s", "model": "upstreams-own-name", "choices": [choice]}).encode()
        + b"\n\n"
    )


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


DONE = b"data: [DONE]\n\n"


@pytest.fixture(scope="module")
def raw() -> Iterator[Scripted]:
    upstream = Scripted()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def gateway(
    _simulator: SimulatorProcess, raw: Scripted, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    config = CONFIG.format(sim=_simulator.base_url) + EXTRA.format(raw=raw.url)
    with GatewayProcess(tmp_path_factory.mktemp("review"), config) as process:
        yield process
        assert "Traceback" not in process.log_text()


def connect(gateway: GatewayProcess) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=10)


def send(
    gateway: GatewayProcess, path: str, body: dict[str, Any], **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = connect(gateway)
    try:
        told = {"authorization": f"Bearer {KEY}"} | headers
        connection.request("POST", path, json.dumps(body).encode(), told)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def ask(model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "hi there"}]} | fields


def well(gateway: GatewayProcess, raw: Scripted) -> None:
    """The scripted upstream answers as it should: its failures in a row are forgotten."""
    raw.answer = whole(reply())
    assert send(gateway, CHAT, ask("raw"))[0] == 200


# Upstreams.


@pytest.mark.parametrize("path", [CHAT, "/v1/raw/x"])
def test_a_control_character_in_an_upstreams_header_does_not_cost_its_answer(
    gateway: GatewayProcess, raw: Scripted, path: str
) -> None:
    raw.answer = whole(reply(), head=b"openai-odd: a\x01b\r\nx-request-id: r\x7f\r\nopenai-fine: yes\r\n")
    status, headers, body = send(gateway, path, ask("raw"))
    assert (status, json.loads(body)["id"]) == (200, "r")
    assert headers["openai-fine"] == "yes"
    assert "openai-odd" not in headers


@pytest.mark.parametrize("status", [b"999 Odd", b"600 Odd", b"101 Switching Protocols"])
@pytest.mark.parametrize("path", [CHAT, "/v1/raw/x"])
def test_a_status_that_is_none_is_a_502(
    gateway: GatewayProcess, raw: Scripted, path: str, status: bytes
) -> None:
    well(gateway, raw)
    raw.answer = whole({"error": {"message": "odd", "type": "odd"}}, status=status)
    assert send(gateway, path, ask("raw"))[0] == 502


def test_a_redirect_generated_nothing_and_owes_nothing(gateway: GatewayProcess, raw: Scripted) -> None:
    well(gateway, raw)
    raw.answer = whole(b"", head=b"Location: http://127.0.0.1:1/\r\n", status=b"307 Temporary Redirect")
    status, headers, _ = send(gateway, CHAT, ask("raw"))
    attempt = gateway.call(headers["x-smallfirst-call"])["attempts"][0]
    assert (status, attempt["usage_source"], attempt["cost_nusd"]) == (502, "none", 0)


def test_an_answer_with_a_name_that_is_not_utf8_is_the_upstreams_fault(
    gateway: GatewayProcess, raw: Scripted
) -> None:
    well(gateway, raw)
    raw.answer = whole(json.dumps(reply()).encode()[:-1] + b', "\xff": 1}')
    status, _, body = send(gateway, CHAT, ask("raw"))
    assert (status, json.loads(body)["error"]["code"]) == (502, "upstream_broken")


@pytest.mark.parametrize("tokens", [10**12, 10**18, 10**30, 1e300])
def test_usage_that_nobody_can_mean_is_not_believed_and_spoils_nothing(
    gateway: GatewayProcess, raw: Scripted, tokens: float
) -> None:
    well(gateway, raw)
    raw.answer = whole(reply(usage={"prompt_tokens": tokens, "completion_tokens": 5}))
    status, headers, _ = send(gateway, CHAT, ask("raw"))
    attempt = gateway.call(headers["x-smallfirst-call"])["attempts"][0]
    assert (status, attempt["usage_source"]) == (200, "estimated")
    assert 0 < attempt["cost_nusd"] < 10**6


def test_what_an_upstream_says_of_itself_is_kept_short(gateway: GatewayProcess, raw: Scripted) -> None:
    raw.answer = whole(reply(id="i" * 1_000_000, model="m" * 1_000_000))
    _, headers, _ = send(gateway, CHAT, ask("raw"))
    attempt = gateway.call(headers["x-smallfirst-call"])["attempts"][0]
    assert len(attempt["upstream_id"]) == len(attempt["upstream_model"]) == 256


def test_a_cut_after_the_terminal_event_is_nothing_to_the_client(
    gateway: GatewayProcess, raw: Scripted
) -> None:
    raw.answer = STREAM_HEAD + chunk(event("yes") + event("", "stop") + DONE)  # and no last chunk
    _, headers, body = send(gateway, CHAT, ask("raw", stream=True))
    assert body.endswith(DONE)
    assert gateway.call(headers["x-smallfirst-call"])["status"] == "ok"


def test_done_alone_does_not_make_an_answer_whole(gateway: GatewayProcess, raw: Scripted) -> None:
    raw.answer = STREAM_HEAD + chunk(event("ye")) + chunk(DONE) + LAST_CHUNK
    _, headers, body = send(gateway, CHAT, ask("raw", stream=True))
    assert DONE not in body
    assert b'"error"' in body
    assert gateway.call(headers["x-smallfirst-call"])["status"] == "cut"


def test_the_upstreams_own_model_name_is_hidden_also_after_a_chunk_without_one(
    gateway: GatewayProcess, raw: Scripted
) -> None:
    first = b'data: {"choices": [], "prompt_filter_results": []}\n\n'
    raw.answer = STREAM_HEAD + chunk(first + event("yes") + event("", "stop") + DONE) + LAST_CHUNK
    body = send(gateway, CHAT, ask("raw", stream=True))[2]
    assert b"upstreams-own-name" not in body
    assert body.count(b'"model":"raw"') == 2


def test_a_pause_inside_a_stream_may_be_longer_than_the_wait_for_its_first_byte(
    gateway: GatewayProcess, raw: Scripted
) -> None:
    def slow(connection: socket.socket) -> None:
        connection.sendall(STREAM_HEAD + chunk(event("yes")))
        time.sleep(0.9)  # first_byte_s is 0.5, between_bytes_s 3
        connection.sendall(chunk(event("", "stop") + DONE) + LAST_CHUNK)

    raw.answer = slow
    assert send(gateway, CHAT, ask("raw", stream=True))[2].endswith(DONE)


# Clients.


@pytest.mark.parametrize(
    "model", ["wild-\r\nset-cookie: a=b", "wild-\x01", "wild-漢字", "wild-" + "x" * 3000]
)
def test_a_name_that_could_not_be_declared_is_not_a_model(gateway: GatewayProcess, model: str) -> None:
    status, headers, _ = send(gateway, CHAT, ask(model))
    assert status == 404
    assert "set-cookie" not in headers


@pytest.mark.parametrize("tokens", [10**12, 2**62, 10**30])
def test_a_limit_that_no_model_has_is_passed_on_not_a_crash(
    gateway: GatewayProcess, raw: Scripted, tokens: int
) -> None:
    raw.answer = whole(reply())
    assert send(gateway, CHAT, ask("raw", max_tokens=tokens))[0] == 200


def test_names_that_callers_invent_do_not_grow_the_metrics(gateway: GatewayProcess, raw: Scripted) -> None:
    raw.answer = whole(reply())
    for number in range(limits.MAX_MODEL_LABELS + 20):
        assert send(gateway, CHAT, ask(f"wild-{number}"))[0] == 200
    lines = gateway.get("/metrics")[1].decode().splitlines()
    wild = [line for line in lines if line.startswith("smallfirst_requests_total") and "wild-" in line]
    assert len(wild) <= limits.MAX_MODEL_LABELS
    assert any('model="other"' in line for line in lines)


def test_a_client_that_takes_nothing_does_not_hold_its_upstream_forever(
    gateway: GatewayProcess, raw: Scripted
) -> None:
    def endless(connection: socket.socket) -> None:
        connection.sendall(STREAM_HEAD)
        while True:
            connection.sendall(chunk(event("x" * 60_000)))

    raw.answer = endless
    body = json.dumps(ask("raw", stream=True)).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as stalled:
        stalled.sendall(head.encode() + body)
        deadline = time.monotonic() + 10
        while not (calls := [call for call in gateway.calls() if call["error"] == "client_stalled"]):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    attempt = gateway.call(calls[0]["id"])["attempts"][0]
    assert (attempt["status"], attempt["usage_source"]) == ("cancelled", "estimated")


def test_the_streamed_answer_of_a_text_task_is_kept_where_bodies_are(
    gateway: GatewayProcess, simulator: SimulatorProcess
) -> None:
    simulator.fault(answer="a summary", times=1)
    _, headers, _ = send(gateway, CHAT, ask("task/summary", stream=True))
    call = headers["x-smallfirst-call"]
    shown = gateway.wait_for(
        lambda: gateway.run("calls", "show", call, "--bodies", "--config", str(gateway.path), "--json")
    )
    assert json.loads(shown["bodies"]["answer"]) == {"text": "a summary"}


def test_a_head_without_end_is_refused(gateway: GatewayProcess) -> None:
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: ")
        with pytest.raises(OSError):  # noqa: PT011 (reset or broken pipe: closed while there is more to send)
            connection.sendall(b"a" * 1000 * limits.MAX_HEAD_BYTES)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\nGET",
    ],
)
async def test_a_request_that_does_not_come_whole_is_left(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    async def app(scope: Any, receive: Any, tell: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await tell({"type": "http.response.start", "status": 204, "headers": []})
        await tell({"type": "http.response.body"})

    monkeypatch.setattr(limits, "REQUEST_TIMEOUT_S", 0.1)
    config, state = uvicorn.Config(app, lifespan="off", log_config=None), ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: BoundedHttp(config, state, {}), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(sent)
        async with asyncio.timeout(5):
            await reader.read()  # to its end: the connection was closed
        writer.close()
        await writer.wait_closed()


# What is counted.


class Time:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_one_outage_told_by_many_calls_opens_a_breaker_for_its_shortest_time() -> None:
    clock = Time()
    breaker = Breaker(clock)
    for _ in range(50):
        breaker.begin()
    for _ in range(50):
        breaker.failure()
    clock.now_s += limits.BREAKER_OPEN_S
    assert breaker.allows


def test_a_call_over_midnight_gives_back_what_it_set_aside() -> None:
    budgets, limit = Budgets(lambda purse, number: 0), Limit(PurseName("key", "web"), 100)
    midnight_ms = 2 * 86_400_000
    late = budgets.reserve((limit,), 60, at_ms=midnight_ms - 1, model="m")
    next_day = budgets.reserve((limit,), 70, at_ms=midnight_ms, model="m")
    # the first call again: it arrived yesterday, and yesterday pays
    retried = budgets.reserve((limit,), 40, at_ms=midnight_ms - 1, model="m")
    with pytest.raises(BudgetExceeded):
        budgets.reserve((limit,), 1, at_ms=midnight_ms - 1, model="m")
    for reservation in (late, next_day, retried):
        budgets.settle(reservation, 1)
    assert budgets.spent(limit, at_ms=midnight_ms) == (1, 0)
    assert budgets.spent(limit, at_ms=midnight_ms - 1) == (2, 0)


def test_tool_calls_teach_nothing_of_characters_a_token() -> None:
    meter = Meter()
    before = meter.estimate(prompt_bytes=0, answer_chars=400)
    for _ in range(1000):
        meter.learn(Usage(input_tokens=0, output_tokens=200), prompt_bytes=0, answer_chars=0, seconds=1)
    assert meter.estimate(prompt_bytes=0, answer_chars=400) == before


def test_histories_are_followed_of_so_many_models_and_no_more() -> None:
    asked: list[str] = []

    def read(task: str, model: str, quantile: float) -> int:
        asked.append(model)
        return 7

    history = History(read)
    for number in range(limits.MAX_HISTORIES + 50):
        assert history.output_tokens("", f"m{number}") == limits.DEFAULT_RESERVED_OUTPUT_TOKENS
    history.refresh()
    assert len(asked) == limits.MAX_HISTORIES
    assert history.output_tokens("", "m0") == 7
