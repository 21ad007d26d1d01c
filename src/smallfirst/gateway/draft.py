"""A call while it is under way: what will be its row in the ledger."""

from __future__ import annotations

from typing import Any

from smallfirst.answering.account import Plan
from smallfirst.answering.attempt import Clock
from smallfirst.chat import Origin
from smallfirst.ledger.call_id import new_call_id
from smallfirst.ledger.frontier import frontier_cost_nusd
from smallfirst.ledger.records import Attempt, CacheResult, Call, CallStatus, Intent


class Draft:
    """Filled in as the call goes on; `intent` and `call` are what it looks like to the ledger."""

    def __init__(self, *, route: str, dialect: str, clock: Clock) -> None:
        self.id = new_call_id(clock.at_ms)
        self.at_ms = clock.at_ms
        self.route = route
        self.dialect = dialect
        self.tenant = ""
        self.key = ""
        self.task = ""
        self.origin: Origin = "client"
        self.trainable = True
        self.asked_model = ""
        self.stream = False
        self.release = ""
        self.policy = ""
        self.unproven = False
        self.outside_bound = False
        self.prompt_bytes = 0
        self.client_key = ""
        self.conversation = ""
        self.decision: dict[str, Any] = {}
        self.attempts: list[Attempt] = []
        self.asking = ""  # the model that is being asked now
        self.model = ""
        self.rung = -1
        self.ttft_ms: float | None = None
        self.overhead_ms = 0.0
        self.answer_chars = 0
        self.cache: CacheResult = ""
        self.age_s = 0  # of an answer from the cache
        self.saved_nusd: int | None = 0
        self.saved_frontier_nusd: int | None = None
        self.followed_ms = 0.0  # spent waiting for another call's answer to the same

    @property
    def cost_nusd(self) -> int | None:
        """What the attempts cost together; None as soon as one of them is unknown."""
        total = 0
        for attempt in self.attempts:
            if attempt.cost_nusd is None:
                return None
            total += attempt.cost_nusd
        return total

    @property
    def frontier_nusd(self) -> int | None:
        """Of it, what the frontier model cost that answered; None where another did, or a price is unknown."""
        return frontier_cost_nusd(self.attempts)

    @property
    def used_tokens(self) -> tuple[int, int]:
        """Tokens that all attempts have read, and written."""
        read = sum(attempt.usage.prompt_tokens for attempt in self.attempts)
        return read, sum(attempt.usage.completion_tokens for attempt in self.attempts)

    @property
    def last_asked(self) -> str:
        """The model that was last asked to answer; empty where none was. A router's question is no such request."""
        return next((one.model for one in reversed(self.attempts) if one.kind != "route"), "")

    def waited_ms(self) -> float:
        """The time spent waiting for upstreams until now, of attempts that have ended; those of a call that it followed count too."""
        return self.followed_ms + sum(attempt.latency_ms for attempt in self.attempts)

    def intent(self, plan: Plan) -> Intent:
        """What is written before an attempt is sent."""
        return Intent(
            call=self.id,
            seq=plan.seq,
            at_ms=self.at_ms,
            tenant=self.tenant,
            key=self.key,
            task=self.task,
            model=plan.model,
            provider=plan.provider,
            rung=plan.rung,
            reserved_nusd=plan.reserved_nusd,
            route=self.route,
            dialect=self.dialect,
            asked_model=self.asked_model,
            kind=plan.kind,
            release=self.release,
            policy=self.policy,
            origin=self.origin,
            reserved_usage=plan.reserved_usage,
            price_version=plan.price_version,
            simulated=plan.simulated,
            frontier=plan.frontier,
            prompt_bytes=self.prompt_bytes,
        )

    def call(self, status: CallStatus, *, http_status: int, latency_ms: float, error: str = "") -> Call:
        """The call as it ended."""
        return Call(
            id=self.id,
            at_ms=self.at_ms,
            tenant=self.tenant,
            key=self.key,
            status=status,
            http_status=http_status,
            dialect=self.dialect,
            route=self.route,
            attempts=tuple(self.attempts),
            task=self.task,
            origin=self.origin,
            asked_model=self.asked_model,
            model=self.model,
            rung=self.rung,
            stream=self.stream,
            release=self.release,
            policy=self.policy,
            latency_ms=round(latency_ms, 3),
            ttft_ms=None if self.ttft_ms is None else round(self.ttft_ms, 3),
            overhead_ms=round(self.overhead_ms, 3),
            cost_nusd=self.cost_nusd,
            prompt_bytes=self.prompt_bytes,
            answer_chars=self.answer_chars,
            error=error,
            client_key=self.client_key,
            conversation=self.conversation,
            decision=self.decision,
            unproven=self.unproven,
            outside_bound=self.outside_bound,
            trainable=self.trainable,
            cache=self.cache,
            saved_nusd=self.saved_nusd,
            saved_frontier_nusd=self.saved_frontier_nusd,
        )
