"""Tickets sent as an application would send them: with the official SDK, over a socket, many at once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import openai
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tickets import Row

TRIAGE, EXTRACT, SUMMARY = "ticket-triage", "ticket-extract", "ticket-summary"
GOLD = {TRIAGE: "category", EXTRACT: "record"}
CONCURRENCY = 8


@dataclass(frozen=True)
class Answered:
    """What came of one call. `cost_usd` None: unknown."""

    ticket: Row
    task: str
    model: str
    seconds: float
    text: str = ""
    reply: str = "{}"  # the provider's whole answer, JSON
    cost_usd: float | None = None
    cached: str = ""  # by what the cache knew the call; empty: a model answered it
    error: str = ""

    @property
    def right(self) -> bool | None:
        """Against the gold label; a summary has no single right text, so None."""
        if self.task not in GOLD or self.error:
            return None
        gold = self.ticket[GOLD[self.task]]
        if isinstance(gold, str):
            return self.text.strip() == gold
        try:
            return json.loads(self.text) == gold
        except ValueError:
            return False


class Application:
    """Whoever calls the gateway at `url` with this key.

    A demo has the same few tickets again and again where a product has new ones: unless these are meant to come again (`cached`), each is sent
    as a call that no cache may answer.
    """

    def __init__(self, url: str, key: str, console: Console, *, cached: bool = False) -> None:
        self._url, self._key, self._console = url, key, console
        self._headers = {} if cached else {"cache-control": "no-store"}

    def send(
        self,
        what: str,
        calls: Sequence[tuple[str, Row]],
        *,
        until: Callable[[], bool] = lambda: False,
    ) -> list[Answered]:
        """Calls of (task, ticket), with a progress bar. Once `until` holds no more are begun."""
        return asyncio.run(self._all(what, calls, until))

    async def _all(
        self, what: str, calls: Sequence[tuple[str, Row]], until: Callable[[], bool]
    ) -> list[Answered]:
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        turn = asyncio.Semaphore(CONCURRENCY)
        answered: list[Answered] = []
        with Progress(*columns, console=self._console) as progress:
            bar = progress.add_task(what, total=len(calls))
            async with openai.AsyncOpenAI(
                base_url=f"{self._url}/v1",
                api_key=self._key,
                default_headers=self._headers,
                max_retries=0,
                timeout=300,
            ) as client:

                async def one(task: str, ticket: Row) -> None:
                    async with turn:
                        if until():
                            return
                        answered.append(await _ask(client, task, ticket))
                    progress.advance(bar)

                await asyncio.gather(*(one(*call) for call in calls))
            progress.update(bar, total=len(answered))
        return answered


async def _ask(client: openai.AsyncOpenAI, task: str, ticket: Row) -> Answered:
    began = time.perf_counter()
    try:
        response = await client.chat.completions.with_raw_response.create(
            model=f"task/{task}",
            messages=[{"role": "user", "content": ticket["input"]}],
            temperature=0,
            extra_headers={"x-smallfirst-key": ticket["id"]},  # the application's own name for it
        )
    except openai.OpenAIError as error:
        return Answered(ticket, task, "-", time.perf_counter() - began, error=type(error).__name__)
    cost = response.headers.get("x-smallfirst-cost-usd", "unknown")
    return Answered(
        ticket,
        task,
        response.headers.get("x-smallfirst-model", "?"),
        time.perf_counter() - began,
        response.parse().choices[0].message.content or "",
        response.text,
        cost_usd=None if cost == "unknown" else float(cost),
        cached=response.headers.get("x-smallfirst-cache-by", ""),
    )
