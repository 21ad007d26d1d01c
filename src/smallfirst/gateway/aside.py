"""Calls answered again, off their clients' path: exploration, shadow answers and spot checks are one thing.

A call is drawn as it arrives (`aside_draw.py`). Once its client has its answer, other models or another policy answer it too, within a purse of
their own; all answers are scored beside the frontier's and remembered as outcomes of the client's call, one for each model. A client's call never
waits for this and never fails by it: what finds no room, no money or no model is left out and counted. Nothing of it outlives the gateway; what
was paid is recorded, by settlement or, after kill -9, by the intents.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

import msgspec

from smallfirst import limits
from smallfirst.answering.climb import Answer
from smallfirst.cache.entry import Entry
from smallfirst.errors import LedgerUnavailable, StateError
from smallfirst.gateway.aside_call import (
    AsideCall,
    Asked,
    Books,
    LeftOut,
    Said,
    Side,
    asked_of,
    side_of,
    whole,
)
from smallfirst.gateway.aside_draw import EXPLORE, SHADOW, Drawn, Purpose, draw
from smallfirst.gateway.aside_labels import Answers, LateLabels
from smallfirst.gateway.aside_scores import Scores, Unscored
from smallfirst.gateway.chosen import Chosen
from smallfirst.gateway.draft import Draft
from smallfirst.gateway.evidence import Evidence
from smallfirst.gateway.metrics import Metrics
from smallfirst.gateway.running import Running
from smallfirst.ledger import Ledger
from smallfirst.ledger.erasure import now_ms
from smallfirst.ledger.records import Attempt, Outcome
from smallfirst.models.reply import LiveReply
from smallfirst.wire.incoming import Incoming

_log = logging.getLogger(__name__)
_ANSWERED = ("ok", "unmet")


class _Job(msgspec.Struct, frozen=True, kw_only=True):
    """One client's call that is to be answered again, and what is known of it already."""

    asked: Asked
    side: Side
    drawn: Drawn
    known: tuple[Said, ...]  # by the client's own call


class Aside:
    """The waiting and the workers. All methods are called on the gateway's event loop."""

    def __init__(self, ledger: Ledger, metrics: Metrics, evidence: Evidence) -> None:
        self._ledger = ledger
        self.books = Books(ledger, metrics, evidence)
        self._counts = metrics.aside
        self._waiting: asyncio.Queue[_Job] = asyncio.Queue(limits.ASIDE_WAITING)
        self._workers: list[asyncio.Task[None]] = []
        self._scores = Scores()
        self._labels = LateLabels(ledger)
        self._stopped = False
        self.at_work = 0

    @property
    def waiting(self) -> int:
        """Calls that are to be answered again and are not yet."""
        return self._waiting.qsize() + self.at_work

    def draw(self, running: Running, draft: Draft, chosen: Chosen, incoming: Incoming) -> Drawn | None:
        """Draws for a call that has arrived, and notes in its decision what it was drawn for."""
        task = running.config.tasks.get(chosen.policy.task)
        if task is None:
            return None
        drawn = draw(chosen, incoming, task.rollout, shadow=running.shadow)
        if drawn is not None:
            draft.decision |= drawn.record(chosen)
        return drawn

    def follow(
        self,
        running: Running,
        draft: Draft,
        chosen: Chosen,
        incoming: Incoming,
        answer: Answer | Entry,
        drawn: Drawn | None,
    ) -> None:
        """Takes up a call whose client has its whole answer, from the models or from the cache. Never waits, and leaves out what finds no room."""
        if drawn is None or (isinstance(answer, Answer) and not _answered(answer)):
            return
        if self._stopped:
            self._counts.left_out("shutdown")
            return
        job = _job(running, draft, chosen, incoming, answer, drawn)
        if sum(len(said.text or "") for said in job.known) > limits.ASIDE_BODY_BYTES:
            self._counts.left_out("too_long")
            return
        try:
            self._waiting.put_nowait(job)
        except asyncio.QueueFull:
            self._counts.left_out("queue_full")
            return
        if not self._workers:
            self._workers.append(asyncio.create_task(self._follow_labels()))
        if len(self._workers) <= min(limits.ASIDE_AT_ONCE, self.waiting):
            self._workers.append(asyncio.create_task(self._work()))

    async def stop(self) -> None:
        """Ends what is under way; each call that asked somebody is settled."""
        self._stopped = True
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        for _ in range(self._waiting.qsize()):
            self._counts.left_out("shutdown")
        self._scores.close()

    async def _work(self) -> None:
        while True:
            job = await self._waiting.get()
            self.at_work += 1
            try:
                await self._answer_again(job)
            except LeftOut as left_out:
                self._counts.left_out(left_out.why)
            except (LedgerUnavailable, StateError) as error:
                _log.warning("call %s was not answered again as it was drawn: %s", job.asked.call, error)
                self._counts.left_out("ledger")
            except Exception:  # a boundary: a fault of ours ends this, and no other
                _log.exception("call %s could not be answered again", job.asked.call)
                self._counts.left_out("fault")
            finally:
                self.at_work -= 1

    async def _answer_again(self, job: _Job) -> None:
        """The frontier first: without it there is nothing to score by, and nothing else is paid for."""
        job = msgspec.structs.replace(
            job, asked=msgspec.structs.replace(job.asked, incoming=whole(job.asked.incoming))
        )
        await self._labels.begin()
        chances, last = job.drawn.chances, len(job.side.policy.ladder) - 1
        by_rung = {said.rung: said for said in job.known}
        if last not in by_rung:
            by_rung[last] = await self._call(job, job.side, next(iter(chances))).ask_rung(last)
        if by_rung[last].text is None or by_rung[last].unmet:
            raise LeftOut("no_reference")
        said: dict[Purpose, list[Said]] = {purpose: list(by_rung.values()) for purpose in chances}
        policies = dict.fromkeys(chances, job.side.policy)
        if EXPLORE in chances:
            for rung in range(last):
                if rung not in by_rung:
                    said[EXPLORE] += await self._unless_left_out(
                        self._call(job, job.side, EXPLORE).ask_rung(rung)
                    )
        if job.drawn.shadow is not None:
            shadow = _shadow_side(job)
            said[SHADOW] += await self._unless_left_out(self._call(job, shadow, SHADOW).ask_policy())
            policies[SHADOW] = shadow.policy  # baseline, which may be live, does not say how to score
        answers = Answers(
            call=job.asked.call, frontier=by_rung[last], said=said, policies=policies, chances=chances
        )
        self._labels.keep(answers)
        await self._score(answers, await self._labels.of(job.asked.call))

    async def _unless_left_out(self, asking: Awaitable[Said]) -> list[Said]:
        try:
            return [await asking]
        except LeftOut as left_out:
            self._counts.left_out(left_out.why)
            return []

    def _call(self, job: _Job, side: Side, purpose: Purpose) -> AsideCall:
        chance = job.drawn.chances[purpose]
        return AsideCall(self.books, job.asked, side, purpose=purpose, chance=chance)

    async def _follow_labels(self) -> None:
        """Scores anew what a label has come for since."""
        while True:
            await asyncio.sleep(limits.ASIDE_LABELS_EVERY_S)
            try:
                for answers, label in await self._labels.come():
                    await self._score(answers, label)
            except StateError as error:
                _log.warning("late labels could not be read: %s", error)
            except Exception:  # a boundary: a fault of ours ends this turn, and not all that follow
                _log.exception("late labels could not be taken up")

    async def _score(self, answers: Answers, label: Any) -> None:
        """Writes a score for each answer, beside the frontier's or the label; without a value where it can have none."""
        for purpose, said in answers.said.items():
            unscored = ""
            scores: list[float | None] = [None] * len(said)
            try:
                scores = [
                    *await self._scores.of(
                        answers.policies[purpose], said, frontier=answers.frontier, label=label
                    )
                ]
            except Unscored as without:
                unscored = without.why
                self._counts.left_out(f"unscored_{unscored}")
                _log.info("answers to call %s have no scores: %s", answers.call, without)
            told = {
                "reference": "frontier" if label is None else "label",
                "p": answers.chances[purpose],
            } | ({"unscored": unscored} if unscored else {})
            for each, score in zip(said, scores, strict=True):
                self._note(answers, purpose, _value(each, score) | told)

    def _note(self, answers: Answers, purpose: Purpose, value: dict[str, Any]) -> None:
        outcome = Outcome(at_ms=now_ms(), call=answers.call, kind="score", value=value, source=purpose)
        if not self._ledger.journal.append(outcome):
            self._counts.left_out("ledger")
        elif value["score"] is not None:
            self._counts.scored(purpose, answers.policies[purpose].task)


def _answered(answer: Answer) -> bool:
    record = answer.attempting.record
    return record is not None and record.status in _ANSWERED


def _job(
    running: Running, draft: Draft, chosen: Chosen, incoming: Incoming, answer: Answer | Entry, drawn: Drawn
) -> _Job:
    side, asked = side_of(chosen), asked_of(running, draft, incoming)
    if isinstance(answer, Answer):
        known = _known(side, draft.id, draft.attempts, answer)
    else:
        known = _given_again(side, draft, answer, drawn)
    return _Job(asked=asked, side=side, drawn=drawn, known=tuple(known))


def _given_again(side: Side, draft: Draft, entry: Entry, drawn: Drawn) -> list[Said]:
    """What the client got from the cache. It says nothing of what models cost and how long they take: who explores asks all of them. Nor is it what
    the frontier says to this call, where it was said to another.
    """
    another = draft.cache == "semantic" and entry.rung == len(side.policy.ladder) - 1
    if EXPLORE in drawn.chances or another:
        return []
    return [
        Said(
            side=side,
            rung=entry.rung,
            model=entry.model,
            text=entry.text,
            call=draft.id,
            latency_ms=round(draft.ttft_ms or 0.0, 3),
            cost_nusd=0,
            answered=True,
        )
    ]


def _known(side: Side, call: str, attempts: list[Attempt], answer: Answer) -> list[Said]:
    """What each rung that the client's call asked has answered, or how it failed."""
    reply = answer.reply
    text = "".join(reply.peek.text_parts) if isinstance(reply, LiveReply) else reply.text
    told: dict[int, tuple[str | None, str, bool]] = {
        each.rung: (each.text, each.reason, not each.doubted) for each in answer.rejected
    }
    answered = answer.attempting.plan.rung
    told[answered] = (text, answer.unmet, bool(answer.unmet))
    known: dict[int, Said] = {}
    for attempt in attempts:
        if attempt.rung < 0:
            continue  # a router's question
        said, reason, unmet = told.get(attempt.rung, (None, attempt.reason or attempt.status, False))
        before = known.get(attempt.rung)
        costs = [attempt.cost_nusd, before.cost_nusd if before else 0]
        known[attempt.rung] = Said(
            side=side,
            rung=attempt.rung,
            model=attempt.model,
            text=said,
            reason=reason,
            unmet=unmet,
            call=call,
            latency_ms=attempt.latency_ms,
            cost_nusd=None if None in costs else sum(cost for cost in costs if cost is not None),
            answered=attempt.rung == answered,
        )
    return list(known.values())


def _shadow_side(job: _Job) -> Side:
    shadow, task = job.drawn.shadow, job.side.policy.task
    assert shadow is not None
    return Side(
        policy=shadow.policies[task],
        policy_hash=shadow.hashes[task],
        release=shadow.release,
        channel="shadow",
        router=shadow.routers.get(task),
    )


def _value(answer: Said, score: float | None) -> dict[str, Any]:
    """What an outcome says of one model's answer."""
    value: dict[str, Any] = {
        "model": answer.model,
        "rung": answer.rung,
        "policy": answer.side.policy_hash,
        "release": answer.side.release,
        "channel": answer.side.channel,
        "score": score,
        "by": answer.call,
        "answered": answer.answered,
        "latency_ms": answer.latency_ms,
        "cost_usd": answer.cost_usd,
    }
    return value | ({"reason": answer.reason[:500]} if answer.reason else {})
