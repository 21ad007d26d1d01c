"""A judge put to answers that people scored. What it has said is kept, so that the same command goes on from where it was broken off.

    STATE/judges/asked/<12 hex digits>.jsonl     of one scorer, a line a verdict: a hash of what was judged, the score, what it took

Nothing of the texts is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import msgspec

from smallfirst.answering.offline import open_bench
from smallfirst.errors import ScorerError
from smallfirst.evals.books import call_of, cost_of
from smallfirst.evals.judging import JudgeAsk, judging
from smallfirst.evals.scored_by_people import Scored
from smallfirst.evals.session import Home, scorer_of
from smallfirst.evals.till import Till
from smallfirst.ledger.call_id import new_call_id
from smallfirst.ledger.notes import Notes
from smallfirst.ledger.records import Attempt, Call
from smallfirst.scoring.judge import UnreadableVerdict
from smallfirst.scoring.measurement import Measurement, Pair
from smallfirst.scoring.scorer import Scorer

Progress = Callable[[str, int, int], None]
_NOTED_AGAIN = 256  # a kill may have come between a verdict and its note in the ledger


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the judge said of one answer. `score` is None where that was none."""

    key: str
    call: str
    at_ms: int
    score: float | None
    position_bias: float | None = None
    attempts: tuple[Attempt, ...] = ()

    @property
    def cost_nusd(self) -> int | None:
        return cost_of(self.attempts)


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """How a judge is put to answers."""

    task: str
    home: Home
    concurrency: int = 4
    progress: Progress = lambda *_: None


def measure(rows: Sequence[Scored], session: Session, *, source: str) -> Measurement:
    """People's scores beside the judge's. Every question is in the ledger, as a call of origin `eval`.

    Raises `ScorerError` where the task's scorer is no judge or it does not answer (what it has said is kept), `ConfigError` where its model
    cannot be asked.
    """
    told = session.home.config.tasks[session.task]
    scorer, ask = scorer_of(told.scorer, told.contract, session.home)
    if ask is None:
        raise ScorerError(
            f'tasks.{session.task}.scorer.kind: expected "judge", got "{told.scorer.kind}": nothing else needs to be measured'
        )
    kept = Kept(session.home.state / "judges" / "asked" / f"{scorer.id.rpartition(':')[2]}.jsonl")
    missing = {key: row for row in rows if (key := _key(row)) not in kept.verdicts}
    if missing:
        asyncio.run(_ask_all(missing, scorer, ask, session, kept))
    verdicts = [kept.verdicts[_key(row)] for row in rows]
    pairs = tuple(
        Pair(example=row.id, human=row.human, judge=verdict.score, model=row.model, group=row.group)
        for row, verdict in zip(rows, verdicts, strict=True)
        if verdict.score is not None
    )
    biased = [verdict.position_bias for verdict in verdicts if verdict.position_bias is not None]
    costs = [verdict.cost_nusd for verdict in verdicts]
    return Measurement(
        task=session.task,
        scorer=scorer.id,
        model=ask.model,
        pairs=pairs,
        at_ms=int(time.time() * 1000),
        position_bias=sum(biased) / len(biased) if biased else None,
        unreadable=len(rows) - len(pairs),
        cost_nusd=None if None in costs else sum(cost for cost in costs if cost is not None),
        source=source,
    )


async def _ask_all(
    missing: dict[str, Scored], scorer: Scorer, ask: JudgeAsk, session: Session, kept: Kept
) -> None:
    waiting, done = iter(missing.items()), 0
    home, till = session.home, Till()
    session.progress("judging", 0, len(missing))
    async with contextlib.AsyncExitStack() as stack:
        notes = stack.enter_context(Notes(home.state))
        notes.settle(
            *(_call(verdict, session.task) for verdict in list(kept.verdicts.values())[-_NOTED_AGAIN:])
        )
        file = stack.enter_context(kept.appending())
        bench = await stack.enter_async_context(
            open_bench(
                home.config, [], state=home.state, base=home.base, environ=home.environ, beside=[ask.model]
            )
        )
        ask.bind(bench.answerer)

        async def work() -> None:
            nonlocal done
            for key, row in waiting:  # shared: each takes the next one
                verdict = await _judged(key, row, scorer, till)
                kept.add(verdict, file)
                notes.settle(_call(verdict, session.task))
                done += 1
                session.progress("judging", done, len(missing))

        limit = home.config.models[ask.model].concurrency or session.concurrency
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(session.concurrency, limit, len(missing))):
                    group.create_task(work())
        except ExceptionGroup as errors:  # the first ends the others
            raise errors.exceptions[0] from None


async def _judged(key: str, row: Scored, scorer: Scorer, till: Till) -> Verdict:
    at_ms = int(time.time() * 1000)
    with judging(till) as judged:
        try:
            score = await scorer.score(row.output, row.reference, messages=row.messages)
        except UnreadableVerdict:
            score = None
    return Verdict(
        key=key,
        call=new_call_id(at_ms),
        at_ms=at_ms,
        score=None if score is None else score.value,
        position_bias=None if score is None else score.parts.get("position_bias"),
        attempts=tuple(judged.attempts),
    )


class Kept:
    """The verdicts of one file. A line that a kill cut short is left out, and asked again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.verdicts: dict[str, Verdict] = {}
        if path.exists():
            for line in path.read_bytes().split(b"\n"):
                try:
                    verdict = msgspec.json.decode(line, type=Verdict)
                except msgspec.DecodeError:
                    continue
                self.verdicts[verdict.key] = verdict

    def appending(self) -> IO[bytes]:
        for folder in (self._path.parent.parent, self._path.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.fdopen(
            os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", buffering=0
        )
        file.write(b"\n")  # ends a line that was cut short
        return file

    def add(self, verdict: Verdict, file: IO[bytes]) -> None:
        self.verdicts[verdict.key] = verdict
        file.write(msgspec.json.encode(verdict) + b"\n")


def _key(row: Scored) -> str:
    told = msgspec.json.encode([row.messages, row.output, row.reference], order="sorted")
    return hashlib.sha256(told).hexdigest()


def _call(verdict: Verdict, task: str) -> Call:
    return call_of(task, verdict.attempts, call=verdict.call, at_ms=verdict.at_ms, decision={"by": "judge"})
