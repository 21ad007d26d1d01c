"""What the ledger remembers: calls, their attempts, outcomes and events. Frozen, narrow and without bodies.

The journal carries these as MessagePack (`ledger/journal.py`); the store keeps them as rows (`ledger/store.py`).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from smallfirst.chat import Origin, Usage

CallStatus = Literal["ok", "refused", "error", "cancelled", "cut", "lost"]
"""`refused`: by us, before any attempt. `cut`: the stream broke after its first byte. `lost`: the process died; settled by recovery."""

ASIDE: tuple[Origin, ...] = ("explore", "shadow", "spot-check")
"""Origins of calls that are answered again, off a client's path."""

OWN_PURSE: tuple[Origin, ...] = ("eval", "replay", *ASIDE)
"""Origins that no budget of a key, tenant or task pays for."""

AttemptKind = Literal["first", "retry", "climb", "relay", "route"]
"""`route`: a router's question to a small model, how hard the call is. It answers nobody and has no rung (−1)."""

AttemptStatus = Literal[
    "ok", "unmet", "doubted", "refused", "error", "timeout", "unreachable", "broken", "cancelled", "lost"
]
"""`unmet`: answered, but not as the contract says. `doubted`: as the contract says, but not surely right. `refused`: the upstream's error status."""

ANSWERED: tuple[AttemptStatus, ...] = ("ok", "unmet", "doubted")
"""The states of attempts that were answered, whether the answer did or not."""

CacheResult = Literal["", "miss", "exact", "semantic", "flight"]
"""What the cache had for a call; empty: it was not asked. `flight`: the answer to another call that asked the same at the same time."""

HITS: tuple[CacheResult, ...] = ("exact", "semantic", "flight")

UsageSource = Literal["reported", "estimated", "none"]
"""`none`: nothing was generated, so nothing is owed."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request to one model on behalf of a call. Times in milliseconds; `started_ms` counts from the call's arrival."""

    seq: int
    kind: AttemptKind
    rung: int
    model: str
    provider: str
    status: AttemptStatus
    started_ms: float
    latency_ms: float
    endpoint: str = ""
    upstream_model: str = ""
    upstream_id: str = ""
    system_fingerprint: str = ""  # as the provider says it
    http_status: int = 0
    ttft_ms: float | None = None
    stop: str = ""
    reason: str = ""  # why it did not do: the failed check, the error
    usage: Usage = Usage()
    usage_source: UsageSource = "none"
    price_version: str = ""
    cost_nusd: int | None = 0  # None: the price is unknown
    # what the prompt had cost without the provider's prompt cache, less what it cost; below 0 where writing cost more
    prompt_cache_saved_nusd: int = 0
    simulated: bool = False
    frontier: bool = False  # asked of the ladder's last model, or of a model named directly


class Call(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request from a client, settled. `at_ms` is Unix time; `cost_nusd` the sum of its attempts', None if one of them is unknown."""

    id: str
    at_ms: int
    tenant: str
    key: str
    status: CallStatus
    http_status: int
    dialect: str
    route: str
    attempts: tuple[Attempt, ...] = ()
    task: str = ""
    origin: Origin = "client"
    asked_model: str = ""
    model: str = ""  # what answered
    rung: int = -1
    stream: bool = False
    release: str = ""
    policy: str = ""
    latency_ms: float = 0.0
    ttft_ms: float | None = None
    overhead_ms: float = 0.0  # the call's time less the time spent waiting for upstreams
    cost_nusd: int | None = 0
    prompt_bytes: int = 0  # size of the request body
    answer_chars: int = 0
    error: str = ""
    client_key: str = ""  # x-smallfirst-key: the client's own name for the call
    conversation: str = ""
    decision: dict[str, Any] = {}
    unproven: bool = False
    outside_bound: bool = False
    trainable: bool = True  # False: its client sent `x-smallfirst-train: 0`
    cache: CacheResult = ""
    saved_nusd: int | None = (
        0  # of an answer from the cache: what the call had cost that it was given to first
    )
    # of it, what the frontier model had cost that gave the answer; None: another model gave it, or it is unknown
    saved_frontier_nusd: int | None = None

    @property
    def from_cache(self) -> bool:
        """Whether the answer was there already: no model was asked."""
        return self.cache in HITS


class Intent(msgspec.Struct, frozen=True, kw_only=True, tag="intent", omit_defaults=True):
    """Written before an attempt is sent: what it may cost at most. An intent that never settles is settled at `reserved_nusd`, as estimated."""

    call: str
    seq: int
    at_ms: int
    tenant: str
    key: str
    task: str
    model: str
    provider: str
    rung: int
    reserved_nusd: int | None
    route: str = ""
    dialect: str = ""
    asked_model: str = ""
    kind: AttemptKind = "first"
    release: str = ""
    policy: str = ""
    origin: Origin = "client"
    reserved_usage: Usage = Usage()
    price_version: str = ""
    simulated: bool = False
    frontier: bool = False
    prompt_bytes: int = 0  # size of the request body


class Settlement(msgspec.Struct, frozen=True, kw_only=True, tag="settlement"):
    """Written before the last byte goes out: the call as it ended."""

    call: Call


REDACTED = b"[redacted]"
"""What stands in a kept body in place of what its task redacts."""


class Bodies(msgspec.Struct, frozen=True, kw_only=True, tag="bodies"):
    """What was asked and answered, for tasks that keep it, redacted. First to be left out when the disk is full."""

    call: str
    at_ms: int
    tenant: str
    task: str
    request: bytes
    answer: bytes
    keep_days: int


class Event(msgspec.Struct, frozen=True, kw_only=True, tag="event"):
    """Something an operator did or must know: a release served unproven, a reload, a recovery."""

    at_ms: int
    kind: str
    detail: dict[str, Any]


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, tag="heartbeat"):
    """For `seconds` up to `at_ms` these own models were kept running: name to nano-dollars an hour."""

    at_ms: int
    seconds: float
    hourly_nusd: dict[str, int]


OutcomeKind = Literal["score", "label", "thumbs", "judge", "bad-hit"]
"""`score`: in [0, 1], by a scorer or a person. `label`: what would have been right. `judge`: a language model's word.
`bad-hit`: an answer from the cache that did not fit."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True, tag="outcome"):
    """What was later learned of a call's answer. Appended, never overwritten; of one kind and source (and of
    one model, release and policy, where the value names them) the latest by `at_ms` counts.
    """

    at_ms: int
    call: str
    kind: OutcomeKind
    value: Any
    source: str = ""


Record = Intent | Settlement | Bodies | Event | Heartbeat | Outcome
