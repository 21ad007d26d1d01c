"""A question in other words: embedded, its neighbours found and judged, and a stored answer served where that has been proven to be good enough.

    semantic.embedder_sha256(rule)                "" while it is not loaded: the call has no partition then, and only its exact key
    found = await semantic.look_up(asking, now_ms, allows=…)  → Hit: release `found.entry` | Miss: ask, then keep the answer with `found.kept`
    semantic.added(entry)                         after `store.put(entry)`, with the id that it returned: it is found by the next look-up

What follows a miss or a hit off the path (comparing, spot checks) is `gateway/cache/learning.py`'s:

    learning.answered(running, chosen, incoming, miss, entry)   a miss was answered, and its answer kept (`entry.id` is set)
    learning.released(running, chosen, incoming, hit, draft)    a hit was released to its client
    learning.withdrawn(hit)                                     a hit was found and not released
    await learning.told_bad(call)                               a client says that the answer to this call was wrong
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec
import numpy as np

from smallfirst import limits
from smallfirst.cache.entry import Entry
from smallfirst.cache.semantic.embedding import Embedding
from smallfirst.cache.semantic.partitions import Partitions
from smallfirst.cache.semantic.seen import Candidate, Judgement, Observation
from smallfirst.cache.semantic.standing import Standing, Standings
from smallfirst.cache.semantic.trust import trusted
from smallfirst.cache.stores.store import CacheStore
from smallfirst.config.schema import SemanticCache

_log = logging.getLogger(__name__)
_chance = random.SystemRandom()  # who could guess which hits are checked could be wrong in the others


class Guard(Protocol):
    """The decision "same answer?" (`guard.py`)."""

    sha256: str  # empty: what holds before anything is learned

    def judge(self, text: str, vector: np.ndarray, candidates: Sequence[Candidate]) -> Judgement | None: ...


class Evidence(Protocol):
    """Where hits are written down before they are served (`observed.py`)."""

    @property
    def well(self) -> bool:
        """Whether what is written down stays written."""
        ...

    async def hit(self, policy: str, call: str, seen: Observation, *, drawn: bool, entry: int) -> bool:
        """Whether it is written; else the hit is none."""
        ...

    def read(self, policy: str, call: str) -> None:
        """The keeper knows of all of a policy's hits up to this call's."""
        ...

    def unread(self, policy: str) -> int:
        """How many hits the keeper does not know of."""
        ...


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """A call that has no exact answer, as a semantic look-up sees it."""

    tenant: str
    task: str
    policy: str  # the policy's hash
    partition: bytes  # `cache/key.py`; empty: there is none, and nothing is looked up
    question: str
    rule: SemanticCache
    call: str  # its id
    key: bytes = b""  # its exact key, under which a spot check's answer is kept


class Miss(msgspec.Struct, frozen=True, kw_only=True):
    """No answer to give again. What is needed to learn from the answer that it gets instead."""

    asking: Asking
    vector: np.ndarray | None = (
        None  # float32, length 1; None: it could not be embedded, and nothing is learned of it
    )
    candidates: tuple[Candidate, ...] = ()
    judgement: Judgement | None = None  # None: nothing was near
    threshold: float | None = None  # that was in force; None: only exact answers were served
    guard: str = ""
    why: str = ""  # it was not looked up: this is no observation

    @property
    def kept(self) -> tuple[bytes, str, bytes]:
        """`partition`, `question` and `vector` (float16) of the entry that its answer is kept as; all empty where it is kept for the same call
        alone.
        """
        if self.vector is None or not self.asking.partition:
            return b"", "", b""
        return self.asking.partition, self.asking.question, self.vector.astype(np.float16).tobytes()


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that was given before to another question, and by all that is known is right for this one."""

    asking: Asking
    entry: Entry  # whole
    vector: np.ndarray
    candidates: tuple[Candidate, ...]
    judgement: Judgement
    threshold: float  # that its probability reached
    check: float  # the probability with which it is drawn for a spot check
    drawn: bool
    guard: str

    @property
    def told(self) -> dict[str, object]:
        """What a call's decision keeps of it."""
        told: dict[str, object] = {
            "probability": round(self.judgement.probability, 4),
            "threshold": round(self.threshold, 4),
            "guard": self.guard[:12],
            "entry": self.entry.id,
        }
        return told | ({"check": self.check} if self.drawn else {})


class Semantic:
    """Look-ups by neighbours. All methods are called on the gateway's event loop."""

    def __init__(
        self,
        store: CacheStore,
        evidence: Evidence,
        embedding: Embedding,
        *,
        prior: Guard,
        chance: Callable[[], float] = _chance.random,
    ) -> None:
        """`prior` judges until something is learned."""
        self._store = store
        self._evidence = evidence
        self._embedding = embedding
        self._prior = prior
        self._chance = chance
        self._standings: Mapping[str, Standing] = {}
        self._guards: Mapping[str, Guard] = {}
        self.partitions = Partitions(store)
        self.may_check: Callable[[str], bool] = lambda _: (
            True
        )  # whether a hit of this task could be spot-checked now

    def stand(self, standings: Standings, guards: Mapping[str, Guard]) -> None:
        """From now on this is what has been proven, judged by these guards, by hash."""
        self._standings, self._guards = standings.policies, guards
        for policy, standing in self._standings.items():
            self._evidence.read(policy, standing.read)

    def embedder_sha256(self, rule: SemanticCache) -> str:
        """The embedder's weights, which are part of a partition; empty while it is not loaded."""
        found = self._embedding.get(rule.embedder)
        return found.sha256 if found is not None else ""

    async def look_up(
        self, asking: Asking, now_ms: int, *, allows: Callable[[Entry], bool] = lambda _: True
    ) -> Hit | Miss:
        """Decides for one call; what cannot be looked up is a miss that says why.

        A hit is written down before it is returned: `allows` says beforehand whether the client takes an answer of that age, and
        `learning.withdrawn` takes one back that was not released after all.
        """
        if not asking.partition:
            return Miss(asking=asking, why="no partition")
        vector = await self._embedding.of(asking.rule.embedder, asking.question)
        if vector is None:
            return Miss(asking=asking, why="not embedded")
        index = self.partitions.get(asking.partition, len(vector))
        if index is None:
            return Miss(asking=asking, vector=vector, why="not in memory yet")
        candidates = index.nearest(vector, limits.CACHE_CANDIDATES, now_ms)
        standing = self._in_force(asking, now_ms)
        guard = self._guard(asking.policy)
        judgement = trusted(guard.judge(asking.question, vector, candidates), candidates)
        threshold = None if standing is None else standing.threshold
        miss = Miss(
            asking=asking,
            vector=vector,
            candidates=tuple(candidates),
            judgement=judgement,
            threshold=threshold,
            guard=guard.sha256,
        )
        if standing is None or threshold is None or judgement is None or judgement.refused:
            return miss
        if not judgement.probability >= threshold:  # what is no number reaches no threshold
            return miss
        return await self._served(miss, judgement, standing, now_ms, allows)

    def added(self, entry: Entry) -> None:
        """An entry was kept, under this id."""
        if entry.partition and entry.id:
            self.partitions.added(entry)

    async def close(self) -> None:
        """Ends what is being read or embedded."""
        await self.partitions.close()
        self._embedding.close()

    async def _served(
        self,
        miss: Miss,
        judgement: Judgement,
        standing: Standing,
        now_ms: int,
        allows: Callable[[Entry], bool],
    ) -> Hit | Miss:
        asking = miss.asking
        entry = await self._store.by_id(judgement.candidate.entry, now_ms)
        if entry is None or not entry.answer:
            self.partitions.removed(asking.partition, judgement.candidate.entry)
            return msgspec.structs.replace(miss, why="the answer is gone")
        if not _is_of(entry, asking):  # the digest has all of it: this cannot be, and must not be
            _log.error("entry %d lies in a partition that is not its own, and was not served", entry.id)
            self.partitions.removed(asking.partition, entry.id)
            return msgspec.structs.replace(miss, why="the answer is somebody else's")
        if len(entry.text) > limits.ASIDE_SCORED_CHARS:  # every check of it would count as wrong
            return msgspec.structs.replace(miss, why="the answer is too long to be compared")
        if not allows(entry):
            return msgspec.structs.replace(miss, why="its client does not take an answer of that age")
        now = self._in_force(asking, now_ms)  # it may have changed while the store was asked
        if now is None or (now.threshold, now.guard) != (standing.threshold, standing.guard):
            return msgspec.structs.replace(miss, threshold=None)
        return await self._written(miss, judgement, entry, now)

    async def _written(
        self, miss: Miss, judgement: Judgement, entry: Entry, standing: Standing
    ) -> Hit | Miss:
        """Draws, and writes the hit down. Whether it is drawn is known to nothing that decides whether it is one."""
        asking = miss.asking
        assert miss.threshold is not None
        assert miss.vector is not None
        check = min(1.0, max(standing.check, asking.rule.min_checks))
        drawn = self._chance() < check
        seen = Observation(
            probability=judgement.probability,
            threshold=miss.threshold,
            hit=True,
            check=check,
            right=None,
            features=judgement.features,
            guard=miss.guard,
        )
        if not await self._evidence.hit(asking.policy, asking.call, seen, drawn=drawn, entry=entry.id):
            return msgspec.structs.replace(miss, threshold=None)
        return Hit(
            asking=asking,
            entry=entry,
            vector=miss.vector,
            candidates=miss.candidates,
            judgement=judgement,
            threshold=miss.threshold,
            check=check,
            drawn=drawn,
            guard=miss.guard,
        )

    def _in_force(self, asking: Asking, now_ms: int) -> Standing | None:
        """What was proven, where it counts now, and one more hit is within δ whatever those are that it does not know of: they may all be wrong.

        Asked before anything is known of the call's own hit.
        """
        standing = self._standings.get(asking.policy)
        if standing is None or not standing.holds(now_ms):
            return None
        if self._evidence.unread(asking.policy) >= standing.room:
            return None
        return standing if self._evidence.well and self.may_check(asking.task) else None

    def _guard(self, policy: str) -> Guard:
        standing = self._standings.get(policy)
        return self._guards.get(standing.guard, self._prior) if standing is not None else self._prior


def _is_of(entry: Entry, asking: Asking) -> bool:
    return (entry.tenant, entry.task, entry.policy, entry.partition) == (
        asking.tenant,
        asking.task,
        asking.policy,
        asking.partition,
    )
