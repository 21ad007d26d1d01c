"""The examples that a rung is shown with a call: the nearest of the same tenant's, looked up when the call is decided.

A rung that shows examples was proven with them. Where there are none for a call (the embedder is late or failed, none is the tenant's, none fits),
it is passed over; the last rung, which never is, answers without them, outside of the quality bound.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping

import msgspec
import numpy as np

from smallfirst import limits
from smallfirst.classify.encoding import vectors
from smallfirst.classify.example_index import Example, ExampleIndex
from smallfirst.classify.prompt import Prompt
from smallfirst.errors import CallError
from smallfirst.models import Catalogue
from smallfirst.models.model import Model
from smallfirst.releases.policy import Policy, RungPolicy
from smallfirst.releases.retrieval import RetrievePolicy
from smallfirst.routing.reading import read_prompt
from smallfirst.wire.incoming import Incoming

_log = logging.getLogger(__name__)
_BYTES_PER_CHAR = 4  # of UTF-8, at most
_BYTES_PER_TOKEN = 3  # as `decide` counts a context
_TURN_TOKENS = limits.RESERVED_TOKENS_PER_MESSAGE
_NOT_LOADED = "its examples are not loaded"
_NO_TURNS = "its examples are turns, and a call of this route has none"
_TOO_LATE = "its examples could not be looked up: no vector in time"


class Shots(msgspec.Struct, frozen=True):
    """Examples as they stand in the prompt, and the hash of the index that they are from."""

    index: str
    shown: tuple[Example, ...]

    @property
    def turns(self) -> tuple[tuple[str, str], ...]:
        """What users said and what was right."""
        return tuple((one.question, one.answer) for one in self.shown)

    @property
    def size_bytes(self) -> int:
        """Of all texts."""
        return sum(len(text.encode()) for turn in self.turns for text in turn)

    @property
    def tokens_at_most(self) -> int:
        """What they add to a prompt: a byte-level tokenizer never makes more tokens than bytes."""
        return self.size_bytes + 2 * _TURN_TOKENS * len(self.shown)

    def record(self) -> dict[str, object]:
        """As the ledger keeps it: who was shown and how near it is, no texts."""
        return {"index": self.index[:12], "shown": [[one.id, one.similarity] for one in self.shown]}


def tokens_at_most(wanted: RetrievePolicy) -> int:
    """What the examples of a rung add to a prompt, before they are known."""
    return wanted.max_chars * _BYTES_PER_CHAR + 2 * _TURN_TOKENS * wanted.k


class Looked(msgspec.Struct, frozen=True):
    """What was found for the rungs that show examples: `shots`, or why there are `none`, by rung."""

    shots: dict[int, Shots] = {}
    none: dict[int, str] = {}


NOTHING_LOOKED_UP = Looked()


class Finder:
    """Looks examples up for one call of a tenant. `leave_out`: the id of the example that the call itself is, in an evaluation."""

    def __init__(self, indexes: Mapping[str, ExampleIndex], tenant: str, *, leave_out: str = "") -> None:
        self._indexes = indexes
        self._tenant = tenant
        self._leave_out = leave_out

    async def look(
        self, policy: Policy, incoming: Incoming, catalogue: Catalogue, rungs: Iterable[int]
    ) -> Looked:
        """The examples of those of these rungs that show any."""
        found = Looked(shots={}, none={})
        for at in rungs:
            rung = policy.ladder[at]
            if rung.retrieve is None:
                continue
            shots = await self._shots(
                rung.retrieve, incoming, _room_bytes(rung, catalogue.get(rung.model), incoming)
            )
            if isinstance(shots, str):
                found.none[at] = shots
            else:
                found.shots[at] = shots
        return found

    async def _shots(self, wanted: RetrievePolicy, incoming: Incoming, room_bytes: int | None) -> Shots | str:
        """The examples, or why there are none."""
        index = self._indexes.get(wanted.sha256)
        if index is None:
            return _NOT_LOADED
        if incoming.route not in ("chat", "messages"):
            return _NO_TURNS
        try:
            vector = await _vector(index, incoming)
        except TimeoutError:
            return _TOO_LATE
        except Exception as fault:  # a boundary: whatever an embedder's library raises, another rung is asked
            known = isinstance(fault, CallError)
            _log.error("index %s: %s", index.sha256[:12], fault, exc_info=None if known else fault)
            return f"its examples could not be looked up ({type(fault).__name__})"
        if not vector.any():
            return "its examples could not be looked up: its embedder knows no word of the question"
        near = index.near(vector, tenant=self._tenant, count=wanted.k, leave_out=self._leave_out)
        if not near:
            return "none of its examples is this tenant's"
        shown = _fitting(near, wanted.max_chars, room_bytes)
        if not shown:
            return "none of its examples fits into the prompt"
        return Shots(index.sha256, tuple(reversed(shown) if wanted.order == "nearest-last" else shown))


NO_FINDER = Finder({}, "")
"""Of whoever has loaded no examples."""


def prompt_of(index: ExampleIndex, incoming: Incoming) -> Prompt:
    """The call as the index reads it."""
    header = index.header
    return read_prompt(incoming.conversation, after=header.question_after, before=header.question_before)


_waiting = 0  # for embedders off the event loop


async def _vector(index: ExampleIndex, incoming: Incoming) -> np.ndarray:
    """[dimensions]. Raises `TimeoutError`."""
    global _waiting
    prompt = prompt_of(index, incoming)
    if not index.embedder.slow:
        return vectors(index.embedder, [prompt])[0]
    if _waiting >= limits.SHOTS_WAITING:
        raise TimeoutError
    _waiting += 1
    work = asyncio.ensure_future(asyncio.to_thread(vectors, index.embedder, [prompt]))
    work.add_done_callback(_done)
    done, _ = await asyncio.wait([work], timeout=limits.SHOTS_TIMEOUT_S)
    if not done:
        raise TimeoutError
    return work.result()[0]


def _done(work: asyncio.Future[np.ndarray]) -> None:
    """Its place is taken until the thread is done, not until its caller leaves: that does not stop the thread."""
    global _waiting
    _waiting -= 1
    if not work.cancelled():
        work.exception()  # asked for, so that nobody is told of it twice


def _room_bytes(rung: RungPolicy, model: Model, incoming: Incoming) -> int | None:
    """What is left of the model's context for examples; None where it is not known how long that is."""
    if model.context_tokens is None:
        return None
    answer = incoming.body.max_output_tokens or rung.max_tokens or 0
    return (model.context_tokens - answer) * _BYTES_PER_TOKEN - len(incoming.data)


def _fitting(near: list[Example], max_chars: int, room_bytes: int | None) -> list[Example]:
    """Those that fit, nearest first. One that is too long makes room for those after it."""
    shown: list[Example] = []
    for one in near:
        chars = len(one.question) + len(one.answer)
        if chars > max_chars:
            continue
        size = len((one.question + one.answer).encode()) + 2 * _TURN_TOKENS * _BYTES_PER_TOKEN
        if room_bytes is not None:
            if size > room_bytes:
                continue
            room_bytes -= size
        max_chars -= chars
        shown.append(one)
    return shown
