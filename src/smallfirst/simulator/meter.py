"""Counts what was generated for one request, at the pace at which it is made."""

from __future__ import annotations

import asyncio

from .connection import ClientGoneError, Connection
from .latency import Pace


class Meter:
    """The tokens that one answer has cost so far; a client that leaves stops it where it is."""

    def __init__(self, connection: Connection, pace: Pace) -> None:
        self._connection = connection
        self._pace = pace
        self._now = asyncio.get_running_loop().time
        self._due_s = self._now() + pace.first_token_s  # when all that was asked for so far is made
        self.output_tokens = 0
        self.reasoning_tokens = 0

    async def first_token(self) -> None:
        """Wait until generation begins."""
        await self._connection.pause(self._due_s - self._now())

    async def generate(self, output_tokens: int, reasoning_tokens: int, slow_s: float = 0.0) -> None:
        """Take the time that these tokens take, and count them; of an interrupted run, those made by then."""
        total = output_tokens + reasoning_tokens
        begun_s = self._due_s + slow_s
        self._due_s = begun_s + total * self._pace.seconds_per_token
        try:
            await self._connection.pause(self._due_s - self._now())
        except ClientGoneError:
            made = self._pace.spent_tokens(self._now() - begun_s, total)
            reasoned = min(made, reasoning_tokens)
            self._count(made - reasoned, reasoned)
            raise
        self._count(output_tokens, reasoning_tokens)

    def _count(self, output_tokens: int, reasoning_tokens: int) -> None:
        self.output_tokens += output_tokens
        self.reasoning_tokens += reasoning_tokens
