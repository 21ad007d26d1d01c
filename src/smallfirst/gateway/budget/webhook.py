"""Alarms on their way to an operator's webhook: off every call's path, tried again with pauses, bounded, and never followed elsewhere.

The address is the operator's, from the environment; nothing of a call chooses it, and no log and no event holds it. What is sent is JSON, signed
where there is a secret: `x-smallfirst-signature: t=SECONDS,v1=HEX`, HEX the HMAC-SHA256 of `SECONDS.BODY` under the secret.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from yarl import URL

from smallfirst import limits
from smallfirst.config.schema import Timeouts
from smallfirst.config.secrets import resolve
from smallfirst.errors import ConfigError, UpstreamError
from smallfirst.gateway.budget.alarm import EVENT, Alarm
from smallfirst.gateway.budget.limit import Limit
from smallfirst.models.transport import Outgoing, Transport

_log = logging.getLogger(__name__)
SENT, FAILED = "budget-alarm-sent", "budget-alarm-failed"
_AGAIN = frozenset({408, 425, 429})
_FACTOR = 4
_TIMEOUTS = Timeouts(
    connect_s=limits.WEBHOOK_TIMEOUT_S,
    first_byte_s=limits.WEBHOOK_TIMEOUT_S,
    between_bytes_s=limits.WEBHOOK_TIMEOUT_S,
    total_s=limits.WEBHOOK_TIMEOUT_S,
)


class Webhooks:
    """Deliveries under way. `note` writes an event: that an alarm was sent, or why it could not be. Used on the gateway's event loop."""

    def __init__(
        self,
        transport: Transport,
        environ: Mapping[str, str],
        note: Callable[[str, dict[str, Any]], None],
        *,
        retry_first_s: float = limits.WEBHOOK_RETRY_FIRST_S,
    ) -> None:
        self._transport = transport
        self._environ = environ
        self._note = note
        self._retry_first_s = retry_first_s
        self._under_way: set[asyncio.Task[None]] = set()
        self.ended: Counter[str] = Counter()
        """How many deliveries ended: `sent`, `failed`."""

    def deliver(self, alarm: Alarm, limit: Limit) -> None:
        """Begins to send an alarm to the webhook of its limit, if it has one. Never waits, never raises."""
        alarms = limit.alarms
        if alarms is None or alarms.webhook is None:
            return
        if len(self._under_way) >= limits.WEBHOOKS_WAITING:
            self._failed(alarm, f"{limits.WEBHOOKS_WAITING} others are to be sent already")
            return
        try:
            url = URL(resolve(alarms.webhook, self._environ, path="alarms.webhook"))
            secret = resolve(alarms.secret, self._environ, path="alarms.secret") if alarms.secret else ""
        except ConfigError as error:  # `config check` says so too, and a gateway does not start with it
            self._failed(alarm, str(error))
            return
        except ValueError:  # it may name the address
            self._failed(alarm, f"{alarms.webhook} holds no address")
            return
        task = asyncio.get_running_loop().create_task(self._send(alarm, url, secret))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def stop(self) -> None:
        """Waits a moment for deliveries under way. Those that are not done are begun anew by the next gateway."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=limits.WEBHOOK_STOP_S)
        for task in list(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _send(self, alarm: Alarm, url: URL, secret: str) -> None:
        body = payload(alarm)
        why = ""
        for number in range(limits.WEBHOOK_TRIES):
            if number:
                await asyncio.sleep(self._retry_first_s * _FACTOR ** (number - 1))
            why, again = await self._try(url, body, secret)
            if not why:
                self.ended["sent"] += 1
                self._note(SENT, {"alarm": alarm.id})
                return
            if not again:
                break
        self._failed(alarm, why)

    async def _try(self, url: URL, body: bytes, secret: str) -> tuple[str, bool]:
        """Why it was not taken, empty if it was; and whether to try again."""
        headers = {"content-type": "application/json", "user-agent": "smallfirst"}
        if secret:
            headers["x-smallfirst-signature"] = signature(body, secret, at_s=int(time.time()))
        try:
            async with asyncio.timeout(limits.WEBHOOK_TIMEOUT_S):
                exchange = await self._transport.send(Outgoing(url, headers, body), _TIMEOUTS)
        except TimeoutError:
            return f"no answer within {limits.WEBHOOK_TIMEOUT_S:g} s", True
        except UpstreamError as error:
            return error.message, True
        status = exchange.status
        exchange.close()
        if 200 <= status < 300:
            return "", False
        if 300 <= status < 400:
            return f"answered with {status}, and no webhook is followed elsewhere", False
        return f"answered with {status}", status >= 500 or status in _AGAIN

    def _failed(self, alarm: Alarm, why: str) -> None:
        self.ended["failed"] += 1
        _log.error("the webhook was not told of an alarm (%s): %s", alarm.id, why)
        self._note(FAILED, {"alarm": alarm.id, "why": why})


def payload(alarm: Alarm) -> bytes:
    """The body that a webhook is sent. `text` is what chat services show."""
    told = {"event": EVENT, "id": alarm.id, "text": alarm.text} | msgspec.to_builtins(alarm)
    del told["webhook"]
    return msgspec.json.encode(told)


def signature(body: bytes, secret: str, *, at_s: int) -> str:
    """What `x-smallfirst-signature` says: a receiver makes the same of the body it got, and refuses what is too old."""
    mac = hmac.digest(secret.encode(), b"%d." % at_s + body, "sha256").hex()
    return f"t={at_s},v1={mac}"
