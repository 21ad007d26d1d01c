"""What the cache keeps: an answer that was released once, complete and checked, and of whom, for what and until when it may be given again."""

from __future__ import annotations

import msgspec

from smallfirst.chat import Dialect


class Entry(msgspec.Struct, frozen=True):
    """One answer. It is made by the names of its fields, but where rows are read (`cache/stores/rows.py`), by their order: that is a look-up's time.

    `key` and `partition` are digests (`cache/key.py`); times are milliseconds of Unix time.

    `id` is the store's number for it, 0 until it has one: it grows with time, is never given twice, and is below 2^53. `group` is the id of the
    first entry with the same answer, its own where there is none: entries whose answers were found equal are *aliases* of each other.
    """

    key: bytes
    tenant: str
    task: str
    policy: str  # the policy's hash
    release: str
    call: str  # the call that was answered so
    model: str  # what answered it, on this rung
    rung: int
    dialect: Dialect  # of `answer`
    answer: bytes  # the whole reply's JSON, in its provider's dialect
    text: str  # the answer's text, as a scorer reads it
    cost_nusd: int | None  # what the call cost; None: unknown
    at_ms: int
    expires_ms: int
    simulated: bool = False
    partition: bytes = b""  # empty: for the same call alone
    question: str = ""  # the text that may differ
    vector: bytes = b""  # float16, length 1, of `question`
    id: int = 0
    group: int = 0
    confirmed: int = 0  # how often its answer was found right for another text
    refuted: int = 0  # how often wrong
    hits: int = 0  # how often it was given again
    # of `cost_nusd`, what the frontier model cost that gave the answer; None: another model gave it, or it is unknown
    frontier_nusd: int | None = None

    @property
    def size(self) -> int:
        """About what it takes in the store, in bytes."""
        return len(self.answer) + len(self.text) + len(self.question) + len(self.vector) + 512
