"""One call that answers another again: paid from the task's purse for such calls, announced, settled and recorded like any other, under an origin
of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import msgspec

from smallfirst.answering.asker import Asker
from smallfirst.answering.attempt import Clock
from smallfirst.answering.climb import Answer, Answerer
from smallfirst.answering.decide import Decision, Step, decide, why_not
from smallfirst.errors import BudgetExceeded, CallError, LedgerUnavailable, NotAllowed, Stopped
from smallfirst.gateway.account import CallAccount
from smallfirst.gateway.aside_draw import Purpose
from smallfirst.gateway.bodies import bodies_of
from smallfirst.gateway.budget import Budgets, Limit, PurseName
from smallfirst.gateway.chosen import Chosen
from smallfirst.gateway.draft import Draft
from smallfirst.gateway.evidence import Evidence
from smallfirst.gateway.metrics import Metrics
from smallfirst.gateway.running import Running
from smallfirst.gateway.stops import hits
from smallfirst.ledger import Ledger
from smallfirst.ledger.records import CallStatus, Settlement
from smallfirst.models.reply import WholeReply
from smallfirst.money import NUSD_PER_USD, nusd_from_usd
from smallfirst.releases import Policy
from smallfirst.routing.judgement import Router
from smallfirst.stops import Stop
from smallfirst.wire.incoming import Changes, Incoming

PURSE = "task (aside)"
_WHY: dict[type[CallError], str] = {
    BudgetExceeded: "budget",
    NotAllowed: "no_price",  # what cannot be counted is not spent
    LedgerUnavailable: "ledger",
    Stopped: "stopped",
}


class LeftOut(Exception):
    """An answer that was not asked for: no money, no room, or a model that cannot be asked now. `why` is one of a few words."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """By what a call is answered: a policy of a release, through a channel."""

    policy: Policy
    policy_hash: str
    release: str
    channel: str
    router: Router | None = None


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What one model answered, and by which call. `text` None: it failed. `reason`: how, or what was found wrong with its answer."""

    side: Side
    rung: int
    model: str
    text: str | None
    call: str
    latency_ms: float
    cost_nusd: int | None
    frontier_nusd: int | None = None  # of it, the frontier's, where that answered
    answered: bool = False  # the client got it
    reason: str = ""
    unmet: bool = False  # it does not keep its contract

    @property
    def cost_usd(self) -> float | None:
        return None if self.cost_nusd is None else self.cost_nusd / NUSD_PER_USD


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The client's call, as it is to be answered again: never as a stream."""

    running: Running
    incoming: Incoming
    call: str
    tenant: str
    key: str
    conversation: str
    trainable: bool


def side_of(chosen: Chosen) -> Side:
    """By what the client's call was answered."""
    return Side(
        policy=chosen.policy,
        policy_hash=chosen.policy_hash,
        release=chosen.release,
        channel=chosen.channel or "live",
        router=chosen.router,
    )


def asked_of(running: Running, draft: Draft, incoming: Incoming) -> Asked:
    """The client's call, to be asked again."""
    return Asked(
        running=running,
        incoming=incoming,
        call=draft.id,
        tenant=draft.tenant,
        key=draft.key,
        conversation=draft.conversation,
        trainable=draft.trainable,
    )


class Books:
    """Where such calls are written down, what they have cost today, by task, and those under way."""

    def __init__(self, ledger: Ledger, metrics: Metrics, evidence: Evidence) -> None:
        self.ledger = ledger
        self.metrics = metrics
        self.evidence = evidence
        self.budgets = Budgets(lambda purse, day: ledger.queries.spent_aside_nusd(day, purse.name))
        self.under_way: set[AsideCall] = set()

    def cut(self, stop: Stop) -> int:
        """Ends those under way that a stop hits, and returns how many they were."""
        return sum([call.cut(stop) for call in self.under_way])


class AsideCall:
    """One such call, to be asked once."""

    def __init__(self, books: Books, asked: Asked, side: Side, *, purpose: Purpose, chance: float) -> None:
        self._books = books
        self._asked = asked
        self._side = side
        self._clock = Clock()
        self._task: asyncio.Task[object] | None = None  # while it is asked
        self._cut = False
        self.answer: Answer | None = None  # once it was asked
        self._draft = _draft(asked, side, self._clock, purpose, chance)
        running = asked.running
        self._account = CallAccount(
            self._draft,
            limits=(_limit(running, side.policy.task),),
            budgets=books.budgets,
            journal=books.ledger.journal,
            history=running.history,
            stops=running.stops,
        )
        # Its own retry budget: what nobody waits for takes none of what clients' calls may spend on trying again.
        self._answerer = Answerer(
            catalogue=running.answerer.catalogue,
            transport=running.answerer.transport,
            prices=running.prices,
            indexes=running.answerer.indexes,
        )
        self._finder = self._answerer.finder(asked.tenant)

    @property
    def outside_bound(self) -> bool:
        """Whether its answer was decided outside of the quality bound."""
        return self._draft.outside_bound

    def cut(self, stop: Stop) -> bool:
        """Ends it, if the stop hits it."""
        if self._task is None or self._cut or not hits(stop, self._draft):
            return False
        self._cut = self._task.cancel()
        return self._cut

    async def ask_rung(self, rung: int) -> Said:
        """One rung alone, checked by the contract. Raises `LeftOut`."""
        ladder = self._side.policy.ladder
        catalogue, incoming = self._answerer.catalogue, self._asked.incoming
        if why_not(ladder[rung], catalogue.get(ladder[rung].model), incoming, begun=True):
            raise LeftOut("not_ready")
        looked = await self._finder.look(self._side.policy, incoming, catalogue, [rung])
        if looked.none:
            raise LeftOut("not_ready")
        steps = tuple(
            Step(index, each.model, "" if index == rung else "one is asked alone")
            for index, each in enumerate(ladder)
        )
        decision = Decision(task=self._side.policy.task, steps=steps, shots=looked.shots)
        if decision.shows:
            self._draft.decision |= {"shots": decision.record()["shots"]}
        return await self._settled(self._answer(decision), rung)

    async def ask_policy(self) -> Said:
        """The whole policy: decided, climbed and checked as it would answer a client, but that it has no conversation to keep to.

        Raises `LeftOut`.
        """
        return await self._settled(self._decide_and_answer(), len(self._side.policy.ladder) - 1)

    async def _decide_and_answer(self) -> Answer:
        side, policy = self._side, self._side.policy
        ask = None
        if side.router is not None and policy.router is not None and side.router.asks:
            ask = Asker(
                self._answerer,
                task=policy.task,
                account=self._account,
                clock=self._clock,
                timeout_s=policy.router.timeout_s,
            )
        decision = await decide(
            policy,
            self._asked.incoming,
            self._answerer.catalogue,
            router=side.router,
            ask=ask,
            finder=self._finder,
        )
        self._draft.decision |= decision.record()
        self._draft.outside_bound = decision.outside_bound
        return await self._answer(decision)

    async def _answer(self, decision: Decision) -> Answer:
        return await self._answerer.answer(
            self._asked.incoming, self._side.policy, decision, account=self._account, clock=self._clock
        )

    async def _settled(self, work: Awaitable[Answer], last: int) -> Said:
        """Asks, and settles however it ends. `last`: the rung that failed where none was asked."""
        self._task = asyncio.current_task()
        self._books.under_way.add(self)
        try:
            answer = await work
        except (BudgetExceeded, NotAllowed, LedgerUnavailable, Stopped) as error:
            self._settle("error", error.status, error.code)
            raise LeftOut(_WHY[type(error)]) from error
        except CallError as error:
            self._settle("error", error.status, error.code)
            attempts = self._draft.attempts
            return self._said(attempts[-1].rung if attempts else last, None, str(error))
        except asyncio.CancelledError:
            if self._cut and self._task is not None and not self._task.uncancel():
                self._settle("cut", Stopped.status, Stopped.code)
                raise LeftOut(_WHY[Stopped]) from None
            self._settle("cut", 503, "shutdown")
            raise
        except BaseException:
            self._settle("error", 500, "internal_error")
            raise
        finally:
            self._books.under_way.discard(self)
        return self._kept(answer)

    def _kept(self, answer: Answer) -> Said:
        self.answer = answer
        draft, reply = self._draft, answer.reply
        assert isinstance(reply, WholeReply)  # none is asked for as a stream
        draft.model, draft.rung = answer.model.name, answer.attempting.plan.rung
        draft.answer_chars = len(reply.text)
        draft.ttft_ms = self._clock.ms()
        bodies = bodies_of(self._asked.running.config, draft, self._asked.incoming.data, reply.data)
        if bodies is not None:
            self._books.ledger.journal.append(bodies)
        self._settle("ok", 200)
        return self._said(draft.rung, reply.text, answer.unmet)

    def _said(self, rung: int, text: str | None, reason: str) -> Said:
        return Said(
            side=self._side,
            rung=rung,
            model=self._side.policy.ladder[rung].model,
            text=text,
            reason=reason,
            unmet=text is not None and bool(reason),
            call=self._draft.id,
            latency_ms=round(self._clock.ms(), 3),
            cost_nusd=self._draft.cost_nusd,
            frontier_nusd=self._draft.frontier_nusd,
        )

    def _settle(self, status: CallStatus, http_status: int, error: str = "") -> None:
        """Writes the settlement; where nobody was asked there is no call."""
        if not self._draft.attempts:
            return
        call = self._draft.call(status, http_status=http_status, latency_ms=self._clock.ms(), error=error)
        self._books.ledger.journal.append_settlement(Settlement(call=call))
        self._books.metrics.settled_aside(call)
        self._books.evidence.look(self._asked.running, call)


def whole(incoming: Incoming) -> Incoming:
    """The same request, to be answered as a whole."""
    if not incoming.stream:
        return incoming
    data = incoming.data_for(incoming.dialect, Changes(model=incoming.model, stream=False))
    return Incoming(incoming.route, data)


def _limit(running: Running, task: str) -> Limit:
    """What such calls of a task may cost a day."""
    known = running.config.tasks.get(task)
    return Limit(PurseName(PURSE, task), nusd_from_usd(known.rollout.explore_usd_per_day) if known else 0)


def _draft(asked: Asked, side: Side, clock: Clock, purpose: Purpose, chance: float) -> Draft:
    incoming = asked.incoming
    draft = Draft(route=incoming.route, dialect=incoming.dialect, clock=clock)
    draft.origin = purpose
    draft.tenant, draft.key, draft.task = asked.tenant, asked.key, side.policy.task
    draft.asked_model = incoming.model[:256]
    draft.release, draft.policy = side.release, side.policy_hash
    draft.conversation, draft.trainable = asked.conversation, asked.trainable
    draft.prompt_bytes = len(incoming.data)
    draft.decision = {"by": purpose, "of": asked.call, "p": chance, "channel": side.channel}
    return draft
