"""Webhooks of alarms, against a real server: signed, tried again, never followed, bounded, and never anybody's failure."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from smallfirst import limits
from smallfirst.config.budget import Alarms as Rule
from smallfirst.gateway.budget import Limit, PurseName
from smallfirst.gateway.budget.alarm import Alarm
from smallfirst.gateway.budget.webhook import Webhooks
from smallfirst.models.transport import AiohttpTransport

LIMIT = Limit(PurseName("tenant", "acme"), 100, alarms=Rule(webhook="env:HOOK", secret="env:HOOK_SECRET"))
ALARM = Alarm(
    scope="tenant",
    name="acme",
    period="day",
    frontier=False,
    begins="2026-11-26",
    at=0.8,
    spent_nusd=80,
    limit_nusd=100,
    webhook="env:HOOK",
)


class Receiver:
    """A webhook that answers as it is told, one status after the other, the last again and again; 0 hangs."""

    def __init__(self) -> None:
        self.statuses = [204]
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.got.append(
            ({name.lower(): value for name, value in request.headers.items()}, await request.read())
        )
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if not status:
            await asyncio.sleep(30)
        headers = {"location": f"{self.url}/elsewhere"} if 300 <= status < 400 else {}
        return web.Response(status=status, headers=headers)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/{path:.*}", made.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


Made = tuple[Webhooks, list[tuple[str, dict[str, Any]]]]


@pytest.fixture
async def webhooks() -> AsyncIterator[Callable[[str], Made]]:
    transport = AiohttpTransport()
    all_made: list[Webhooks] = []

    def make(url: str) -> Made:
        noted: list[tuple[str, dict[str, Any]]] = []
        environ = {"HOOK": url, "HOOK_SECRET": "s3cret"}
        made = Webhooks(
            transport, environ, lambda kind, detail: noted.append((kind, detail)), retry_first_s=0.001
        )
        all_made.append(made)
        return made, noted

    yield make
    for made in all_made:
        await made.stop()
    await transport.close()


async def ended(noted: list[Any], count: int = 1) -> None:
    async with asyncio.timeout(10):
        while len(noted) < count:
            await asyncio.sleep(0.005)


async def test_an_alarm_is_sent_as_json_and_signed(
    receiver: Receiver, webhooks: Callable[[str], Made]
) -> None:
    sender, noted = webhooks(receiver.url + "/hook/token")
    sender.deliver(ALARM, LIMIT)
    await ended(noted)
    assert noted == [("budget-alarm-sent", {"alarm": ALARM.id})]
    ((headers, body),) = receiver.got
    told = json.loads(body)
    assert told["text"] == ALARM.text
    assert (told["id"], told["scope"], told["at"], told["spent_nusd"]) == (ALARM.id, "tenant", 0.8, 80)
    assert "webhook" not in told
    moment, mac = headers["x-smallfirst-signature"].removeprefix("t=").split(",v1=")
    assert hmac.new(b"s3cret", f"{moment}.".encode() + body, hashlib.sha256).hexdigest() == mac


async def test_a_webhook_that_fails_is_tried_again_and_told_once(
    receiver: Receiver, webhooks: Callable[[str], Made]
) -> None:
    receiver.statuses = [500, 429, 503, 200]
    sender, noted = webhooks(receiver.url)
    sender.deliver(ALARM, LIMIT)
    await ended(noted)
    assert noted == [("budget-alarm-sent", {"alarm": ALARM.id})]
    assert len(receiver.got) == 4
    assert dict(sender.ended) == {"sent": 1}


@pytest.mark.parametrize(
    ("status", "tries", "why"),
    [
        (302, 1, "answered with 302, and no webhook is followed elsewhere"),
        (404, 1, "answered with 404"),
        (500, limits.WEBHOOK_TRIES, "answered with 500"),
    ],
)
async def test_a_webhook_that_cannot_be_told_is_an_event(
    receiver: Receiver, webhooks: Callable[[str], Made], status: int, tries: int, why: str
) -> None:
    receiver.statuses = [status]
    sender, noted = webhooks(receiver.url)
    sender.deliver(ALARM, LIMIT)
    await ended(noted)
    assert noted == [("budget-alarm-failed", {"alarm": ALARM.id, "why": why})]
    assert len(receiver.got) == tries


async def test_neither_event_nor_log_holds_the_address(
    webhooks: Callable[[str], Made], caplog: pytest.LogCaptureFixture
) -> None:
    sender, noted = webhooks("http://127.0.0.1:9/hook/very-secret-token")
    sender.deliver(ALARM, LIMIT)
    await ended(noted)
    assert noted[0][0] == "budget-alarm-failed"
    assert "token" not in str(noted) + caplog.text


async def test_what_is_no_address_is_an_event_that_does_not_hold_it(
    webhooks: Callable[[str], Made], caplog: pytest.LogCaptureFixture
) -> None:
    sender, noted = webhooks("https://hook\\example/very-secret-token")
    sender.deliver(ALARM, LIMIT)
    assert noted == [("budget-alarm-failed", {"alarm": ALARM.id, "why": "env:HOOK holds no address"})]
    assert "token" not in caplog.text


async def test_one_that_hangs_is_left_and_holds_up_nobody(
    receiver: Receiver, webhooks: Callable[[str], Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WEBHOOK_TIMEOUT_S", 0.2)
    receiver.statuses = [0, 200, 0, 0, 0, 0, 0]
    sender, noted = webhooks(receiver.url)
    sender.deliver(ALARM, LIMIT)
    async with asyncio.timeout(5):
        while not receiver.got:
            await asyncio.sleep(0.005)
    sender.deliver(ALARM, LIMIT)
    await ended(noted)
    assert noted == [("budget-alarm-sent", {"alarm": ALARM.id})]
    await ended(noted, 2)
    assert noted[1] == ("budget-alarm-failed", {"alarm": ALARM.id, "why": "no answer within 0.2 s"})


async def test_more_than_may_wait_are_given_up_at_once(
    receiver: Receiver, webhooks: Callable[[str], Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WEBHOOKS_WAITING", 2)
    monkeypatch.setattr(limits, "WEBHOOK_STOP_S", 0.01)
    receiver.statuses = [0]
    sender, noted = webhooks(receiver.url)
    for _ in range(3):
        sender.deliver(ALARM, LIMIT)
    assert noted == [("budget-alarm-failed", {"alarm": ALARM.id, "why": "2 others are to be sent already"})]


async def test_a_gateway_that_ends_leaves_what_is_under_way_to_the_next(
    receiver: Receiver, webhooks: Callable[[str], Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WEBHOOK_STOP_S", 0.01)
    receiver.statuses = [0]
    sender, noted = webhooks(receiver.url)
    sender.deliver(ALARM, LIMIT)
    await sender.stop()
    assert noted == []


async def test_without_a_webhook_nothing_is_sent(webhooks: Callable[[str], Made]) -> None:
    sender, noted = webhooks("http://127.0.0.1:9")
    sender.deliver(ALARM, Limit(PurseName("tenant", "acme"), 100, alarms=Rule()))
    sender.deliver(ALARM, Limit(PurseName("tenant", "acme"), 100))
    await sender.stop()
    assert noted == []
