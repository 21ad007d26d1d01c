"""What the cache learns off the calls' path: whether a miss's answer is that of its neighbours, and whether hits that were drawn for it were right.

A miss that was answered and kept is compared with what its nearest neighbours say, by the task's scorer: equal to one, it is its alias; either way
it says what the best candidate's answer would have been. A hit drawn for a spot check is answered by the task's policy too, paid from its purse
for such calls. What cannot be compared is no observation; a check that cannot be made counts as a wrong hit. Calls never wait for any of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from smallfirst import limits
from smallfirst.cache.entry import Entry
from smallfirst.cache.semantic.look_up import Hit, Miss, Semantic
from smallfirst.cache.semantic.observed import Observed
from smallfirst.cache.semantic.seen import Candidate, Observation
from smallfirst.cache.semantic.trust import PROBABLE
from smallfirst.cache.stores.store import CacheStore, Which
from smallfirst.errors import SmallfirstError, StateError
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
from smallfirst.gateway.aside_draw import SPOT_CHECK
from smallfirst.gateway.aside_scores import Scores, Unscored
from smallfirst.gateway.cache.counts import CacheCounts
from smallfirst.gateway.cache.fresh import fresh_entry
from smallfirst.gateway.chosen import Chosen
from smallfirst.gateway.draft import Draft
from smallfirst.gateway.running import Running
from smallfirst.releases import Policy
from smallfirst.wire.incoming import Incoming

_log = logging.getLogger(__name__)
_GROUPS = 3  # different answers that a fresh one is compared with
_PAUSE_S, _LONGEST_PAUSE_S = 60.0, 86_400.0
_FIRST_AGAIN_S = 1.0  # a check that failed; then twice as long each time
_FINAL = ("budget", "no_price", "ledger")  # why a check was not paid for; it will not be in a moment either


class _Compare(msgspec.Struct, frozen=True):
    policy: Policy
    miss: Miss
    entry: Entry


class _Check(msgspec.Struct, frozen=True):
    asked: Asked
    side: Side
    hit: Hit
    due_s: float  # by when it must be made


class CacheLearning:
    """The waiting and the workers. All methods are called on the gateway's event loop."""

    def __init__(
        self, store: CacheStore, semantic: Semantic, *, observed: Observed, books: Books, counts: CacheCounts
    ) -> None:
        self._store = store
        self._semantic = semantic
        self._observed = observed
        self._books = books
        self._counts = counts
        self._scores = Scores()
        self._compares: asyncio.Queue[_Compare] = asyncio.Queue(limits.CACHE_LEARNING_WAITING)
        self._checks: asyncio.Queue[_Check] = asyncio.Queue(limits.CACHE_CHECKS_WAITING)
        self._workers: list[asyncio.Task[None]] = []
        self._paused_s: dict[str, float] = {}  # until then no hit of a task is served
        self._unpaid: Counter[str] = Counter()  # checks in a row that could not be paid for, by task
        self._at_work = 0
        semantic.may_check = self._may_check

    @property
    def waiting(self) -> int:
        """Misses and hits that are to be looked at and are not yet."""
        return self._compares.qsize() + self._checks.qsize() + self._at_work

    def answered(
        self, running: Running, chosen: Chosen, incoming: Incoming, miss: Miss, entry: Entry
    ) -> None:
        """A miss was answered, and its answer kept as this entry. Never waits."""
        policy = chosen.policy
        why = miss.why or ("judge" if policy.scorer.kind == "judge" else "" if entry.id else "not kept")
        if not why and len(entry.text) > limits.ASIDE_SCORED_CHARS:
            why = "too_long"
        if why:
            self._counts.left_out(why)
            return
        bare = msgspec.structs.replace(entry, answer=b"")  # of many that wait, no more than is compared
        try:
            self._compares.put_nowait(_Compare(policy, miss, bare))
        except asyncio.QueueFull:
            self._counts.left_out("queue full")
        self._employ()

    def released(self, running: Running, chosen: Chosen, incoming: Incoming, hit: Hit, draft: Draft) -> None:
        """A hit was released to its client: checked, if it was drawn for that. Never waits."""
        if not hit.drawn:
            return
        due_s = time.monotonic() + limits.CACHE_CHECK_PATIENCE_S
        try:
            self._checks.put_nowait(_Check(asked_of(running, draft, incoming), side_of(chosen), hit, due_s))
        except asyncio.QueueFull:  # there was room when it was drawn; what came since counts as wrong
            self._observed.checked(hit.asking.call, right=False)
            self._counts.spot_checked(hit.asking.task, "queue full")
        self._employ()

    def withdrawn(self, hit: Hit) -> None:
        """A hit was found and not released: it was none."""
        self._observed.withdrawn(hit.asking.call)

    async def told_bad(self, call: str) -> None:
        """A client says that the answer to this call was wrong. Where that was a semantic hit, its entry goes, and it counts. Raises `StateError`."""
        row = await self._observed.told_wrong(call)
        if row is not None:
            await self._refute(row.entry)

    async def stop(self) -> None:
        """Ends what is under way, spot checks after a moment: one that is not made counts as a wrong hit, once its time has passed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.CACHE_CHECKS_STOP_S):
                await asyncio.gather(self._compares.join(), self._checks.join())
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._scores.close()
        await self._semantic.close()

    def _may_check(self, task: str) -> bool:
        paused_s = self._paused_s.get(task)
        return not self._checks.full() and (paused_s is None or time.monotonic() >= paused_s)

    def _employ(self) -> None:
        """One compares, some check."""
        if not self._workers:
            self._workers.append(asyncio.create_task(self._work(self._compares, self._compare)))
        if self._checks.qsize() and len(self._workers) <= limits.ASIDE_AT_ONCE:
            self._workers.append(asyncio.create_task(self._work(self._checks, self._check)))

    async def _work(self, queue: asyncio.Queue, do: Callable[..., Awaitable[None]]) -> None:
        while True:
            job = await queue.get()
            self._at_work += 1
            try:
                await do(job)
            except SmallfirstError as error:
                _log.warning("the cache could not learn from a call: %s", error)
                self._counts.left_out("failed")
            except Exception:  # a boundary: a fault of ours ends this, and no other
                _log.exception("the cache could not learn from a call")
                self._counts.left_out("fault")
            finally:
                self._at_work -= 1
                queue.task_done()

    # Misses.

    async def _compare(self, job: _Compare) -> None:
        miss, entry, policy = job.miss, job.entry, job.policy
        asking, judgement = miss.asking, miss.judgement
        if judgement is None:
            self._observed.missed(asking.policy, asking.call, _seen(miss, right=False), entry=0)
            return
        best = judgement.candidate
        others = [one for one in miss.candidates if one.answer != best.answer]
        wanted = [best, *_of_each_answer(others)][:_GROUPS]
        texts = await self._store.texts_of([one.entry for one in wanted])
        if best.entry not in texts:
            self._counts.left_out("its neighbour is gone")
            return
        index = self._semantic.partitions.peek(asking.partition)
        try:
            same = [
                one
                for one in wanted
                if one.entry in texts and await self._same(policy, texts[one.entry], entry.text)
            ]
        except Unscored as error:
            self._counts.left_out(error.why)
            return
        right = best in same
        known = index.answer_of(entry.text) if index is not None else None
        answer = same[0].answer if same else known
        if answer is not None and answer not in (entry.id, entry.group):
            self._store.regroup(entry.id, answer)
            if index is not None:
                index.regroup(entry.id, answer)
        if judgement.probability >= PROBABLE:  # that an improbable candidate was wrong says nothing of it
            self._mark(asking.partition, best.entry, right=right)
        self._observed.missed(asking.policy, asking.call, _seen(miss, right=right), entry=best.entry)

    async def _same(self, policy: Policy, text: str, fresh: str) -> bool:
        if text.strip() == fresh.strip():
            return True
        rule = policy.cache.semantic
        return rule is not None and await self._scores.against(policy, text, fresh) >= rule.same

    # Hits.

    async def _check(self, job: _Check) -> None:
        hit, asking = job.hit, job.hit.asking
        asked = msgspec.structs.replace(job.asked, incoming=whole(job.asked.incoming))
        call, said, why = await self._asked(msgspec.structs.replace(job, asked=asked))
        right = False
        if said is not None and said.text is not None and not said.unmet:
            try:
                right = await self._same(job.side.policy, hit.entry.text, said.text)
            except Unscored as error:
                why = error.why
        self._observed.checked(asking.call, right=right)
        self._counts.spot_checked(asking.task, why or ("right" if right else "wrong"))
        if why:  # nothing is known of the entry
            return
        if right:
            self._mark(asking.partition, hit.entry.id, right=True)
        else:
            await self._refute(hit.entry.id)
        if call is not None and said is not None and call.answer is not None:
            self._keep(job, call, said, right=right)

    async def _asked(self, job: _Check) -> tuple[AsideCall | None, Said | None, str]:
        """What the policy says to a hit's question; tried again for as long as there is patience. Else why nothing."""
        again_s = _FIRST_AGAIN_S
        while True:
            call = AsideCall(self._books, job.asked, job.side, purpose=SPOT_CHECK, chance=job.hit.check)
            try:
                said = await call.ask_policy()
                why = "" if said.text is not None else "upstream"
            except LeftOut as left_out:
                said, why = None, left_out.why
            self._pause(job.hit.asking.task, unpaid=why in _FINAL)
            if not why or why in _FINAL or time.monotonic() + again_s >= job.due_s:
                return call, said, why
            await asyncio.sleep(again_s)
            again_s *= 2

    def _pause(self, task: str, *, unpaid: bool) -> None:
        """No hits where there is no money to check one: for a minute, then for longer each time, up to a day."""
        self._unpaid[task] = self._unpaid[task] + 1 if unpaid else 0
        if unpaid:
            pause_s = min(_PAUSE_S * 4 ** (self._unpaid[task] - 1), _LONGEST_PAUSE_S)
            self._paused_s[task] = time.monotonic() + pause_s

    def _keep(self, job: _Check, call: AsideCall, said: Said, *, right: bool) -> None:
        """The fresh answer is an entry like a miss's; an alias, where the served one was right, or another says the same."""
        entry = fresh_entry(job.asked.running, job.hit, call, said)
        if entry is None:
            return
        index = self._semantic.partitions.peek(entry.partition)
        known = index.answer_of(entry.text) if index is not None else None
        answer = job.hit.judgement.candidate.answer if right else known
        entry = msgspec.structs.replace(entry, group=answer or 0)
        number = self._store.put(entry)
        if number:
            kept = msgspec.structs.replace(entry, id=number, group=entry.group or number)
            self._semantic.added(kept)

    def _mark(self, partition: bytes, entry: int, *, right: bool) -> None:
        self._store.mark(entry, confirmed=int(right), refuted=int(not right))
        index = self._semantic.partitions.peek(partition)
        if index is not None:
            index.mark(entry, confirmed=int(right), refuted=int(not right))

    async def _refute(self, number: int) -> None:
        """An entry whose answer was wrong for another text is not served again; those with the same answer bear the mark."""
        entry = await self._store.by_id(number, _now_ms())
        if entry is None:
            return
        self._semantic.partitions.removed(entry.partition, number)
        if entry.group and entry.group != number:
            self._mark(entry.partition, entry.group, right=False)
        try:
            await self._store.evict(Which(id=number))
        except StateError as error:
            _log.warning("a wrong answer could not be removed from the cache: %s", error)


def _seen(miss: Miss, *, right: bool) -> Observation:
    judgement = miss.judgement
    return Observation(
        probability=judgement.probability if judgement is not None else 0.0,
        threshold=miss.threshold,
        hit=False,
        check=1.0,
        right=right,
        features=judgement.features if judgement is not None else (),
        guard=miss.guard,
    )


def _of_each_answer(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The nearest of each answer, in the order of their nearness."""
    nearest: dict[int, Candidate] = {}
    for one in candidates:
        nearest.setdefault(one.answer, one)
    return list(nearest.values())


def _now_ms() -> int:
    return int(time.time() * 1000)
