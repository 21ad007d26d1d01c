"""Single flight: of calls that ask the same at the same time one asks upstream, and the others wait for its answer.

Who waits is never worse off for long: where the leader fails or leaves, the one that has waited longest asks next; where its answer is none that
may be shared, all ask at once; and nobody waits longer than a bound. All methods are called on one event loop.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from smallfirst import limits
from smallfirst.cache.entry import Entry


class Flights:
    """The keys that are being asked for, each with the call that asks and those that wait."""

    def __init__(
        self, *, most: int = limits.CACHE_FLIGHTS, wait_s: float = limits.CACHE_FLIGHT_WAIT_S
    ) -> None:
        self._most = most
        self._wait_s = wait_s
        self._flights: dict[bytes, _Flight] = {}
        self.waiting = 0  # calls that wait for another's answer

    def __len__(self) -> int:
        return len(self._flights)

    def board(self, key: bytes) -> Seat:
        """A call's seat in the flight of its key: the first one leads. Where there are too many flights it asks alone."""
        flight = self._flights.get(key)
        if flight is not None:
            seat = Seat(self, flight, self._wait_s)
            flight.waiting[seat] = asyncio.get_running_loop().create_future()
            return seat
        if len(self._flights) >= self._most:
            return Seat(self, None, self._wait_s)
        flight = _Flight(key)
        seat = Seat(self, flight, self._wait_s)
        seat.leads = True
        flight.leader = seat
        self._flights[key] = flight
        return seat

    def end(self, flight: _Flight) -> None:
        """Nobody joins this flight any more. Another of the same key may have begun since."""
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]


class _Flight:
    __slots__ = ("key", "leader", "waiting")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.leader: Seat | None = None
        self.waiting: dict[Seat, asyncio.Future[Entry | None]] = {}  # in the order of their coming


class Seat:
    """One call's part in a flight; a context manager that leaves it at the end, however the call ends.

    `leads`: this call asks, and others may wait for it. A seat that neither leads nor waits asks alone.
    """

    __slots__ = ("_flight", "_flights", "_wait_s", "leads")

    def __init__(self, flights: Flights, flight: _Flight | None, wait_s: float) -> None:
        self._flights = flights
        self._flight = flight
        self._wait_s = wait_s
        self.leads = False

    async def wait(self) -> Entry | None:
        """The leader's answer. None: this call is to ask itself, as the next to lead or alone."""
        flight = self._flight
        if flight is None or self.leads:
            return None
        future = flight.waiting[self]
        self._flights.waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                return await future
        except TimeoutError:
            return future.result() if future.done() and not future.cancelled() else None
        finally:
            self._flights.waiting -= 1
            flight.waiting.pop(self, None)
            if not self.leads:
                self._flight = None

    def land(self, entry: Entry) -> None:
        """The leader has an answer: it is everybody's."""
        self._finish(entry)

    def scatter(self) -> None:
        """The leader's answer is its own: all others ask at once."""
        self._finish(None)

    def leave(self) -> None:
        """The call has ended. Where it led and has not landed, the one that has waited longest asks next."""
        flight, self._flight = self._flight, None
        if flight is None:
            return
        if not self.leads:
            flight.waiting.pop(self, None)
            return
        self.leads = False
        flight.leader = None
        for seat, future in flight.waiting.items():
            if not future.done():
                seat.leads = True
                flight.leader = seat
                del flight.waiting[seat]
                future.set_result(None)
                return
        self._flights.end(flight)

    def _finish(self, entry: Entry | None) -> None:
        flight, self._flight = self._flight, None
        if flight is None or not self.leads:
            return
        self.leads = False
        self._flights.end(flight)
        for future in flight.waiting.values():
            if not future.done():
                future.set_result(entry)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
