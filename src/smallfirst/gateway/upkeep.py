"""What a gateway does beside answering.

It follows keys, forgets rate limits that are gone, refreshes histories, notes own models' hours, and reads engines' queues.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from smallfirst.errors import SmallfirstError
from smallfirst.gateway.hand import Desk
from smallfirst.ledger.records import Heartbeat
from smallfirst.models.queues import read_queues
from smallfirst.models.transport import Transport
from smallfirst.money import nusd_from_usd

_log = logging.getLogger(__name__)
KEYS_EVERY_S = 0.25
HISTORY_EVERY_S = 60.0
RATES_EVERY_S = 60.0
HEARTBEAT_EVERY_S = 10.0
QUEUES_EVERY_S = 1.0


class Upkeep:
    """Small loops, started and stopped together; `also` are more of them, with the seconds between their turns."""

    def __init__(
        self,
        desk: Desk,
        transport: Transport,
        *,
        also: Sequence[tuple[float, Callable[[], Awaitable[None]]]] = (),
    ) -> None:
        self._also = also
        self._desk = desk
        self._transport = transport
        self._tasks: list[asyncio.Task[None]] = []
        self._beat_s = time.monotonic()

    def start(self) -> None:
        for every_s, work in (
            (KEYS_EVERY_S, self._follow_keys),
            (HISTORY_EVERY_S, self._refresh_history),
            (RATES_EVERY_S, self._forget_rates),
            (HEARTBEAT_EVERY_S, self._beat),
            (QUEUES_EVERY_S, self._read_queues),
            *self._also,
        ):
            self._tasks.append(asyncio.create_task(_every(every_s, work)))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._beat()

    async def _follow_keys(self) -> None:
        if self._desk.ledger.keys.changed():
            self._desk.running.reload_keys()

    async def _refresh_history(self) -> None:
        await asyncio.to_thread(self._desk.running.history.refresh)

    async def _forget_rates(self) -> None:
        running = self._desk.running
        running.rates.keep(running.all_rate_limits())

    async def _beat(self) -> None:
        """Notes for how long own models have been kept: their hours are billed, not their tokens."""
        now_s = time.monotonic()
        seconds, self._beat_s = now_s - self._beat_s, now_s
        hourly = {
            name: nusd_from_usd(model.hourly_usd)
            for name, model in self._desk.running.answerer.catalogue.declared.items()
            if model.hourly_usd is not None
        }
        if hourly:
            beat = Heartbeat(at_ms=int(time.time() * 1000), seconds=seconds, hourly_nusd=hourly)
            self._desk.ledger.journal.append(beat)

    async def _read_queues(self) -> None:
        await read_queues(self._desk.running.answerer.catalogue.declared.values(), self._transport)


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Does the work again and again; a failure is logged and the next turn comes."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except (SmallfirstError, OSError) as error:
            _log.warning("upkeep: %s", error)
        except Exception:  # a boundary: a fault of one turn must not end the loop that follows rollbacks
            _log.exception("upkeep failed")
