"""A judge's questions while a run's answers are scored: asked through `answering/`, paid from the run's till, counted for the answer
that is being judged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import msgspec

from smallfirst.answering.attempt import Clock
from smallfirst.answering.climb import Answerer
from smallfirst.answering.decide import Decision, Step
from smallfirst.config.schema import Config
from smallfirst.contracts import Contract, TextContract
from smallfirst.errors import BudgetExceeded, CallError, EvalError, ScorerError
from smallfirst.evals.till import Till, TillPurse
from smallfirst.ledger.records import Attempt
from smallfirst.models.reply import WholeReply
from smallfirst.releases import Policy, RungPolicy
from smallfirst.wire.incoming import Incoming

_FREE = TextContract()
ANSWER_TOKENS = 1024  # of a verdict and its reasons


class Judged:
    """What one answer's judging took. `broke`: there was no money for it."""

    def __init__(self, till: Till) -> None:
        self.till = till
        self.attempts: list[Attempt] = []
        self.broke = False

    def add(self, attempts: Sequence[Attempt]) -> None:
        """Takes the attempts of another question: each question counts from 0, and together they are those of one call."""
        first = len(self.attempts)
        self.attempts += [
            msgspec.structs.replace(attempt, seq=first + at) for at, attempt in enumerate(attempts)
        ]

    @property
    def cost_nusd(self) -> int | None:
        costs = [attempt.cost_nusd for attempt in self.attempts]
        return None if None in costs else sum(cost for cost in costs if cost is not None)


_judging: ContextVar[Judged | None] = ContextVar("judging", default=None)


@contextlib.contextmanager
def judging(till: Till) -> Iterator[Judged]:
    """While an answer is scored: what a judge is asked meanwhile is paid from this till and counted here."""
    judged = Judged(till)
    token = _judging.set(judged)
    try:
        yield judged
    finally:
        _judging.reset(token)


class JudgeAsk:
    """Asks the judging model. Implements `scoring`'s `Ask`; made before the models are open, and bound to them once they are."""

    def __init__(self, model: str, config: Config, contract: Contract = _FREE) -> None:
        """`contract`: of the judge's answers; an engine of one's own is held to it. Raises `EvalError` where the model is not configured."""
        if model not in config.models:
            raise EvalError(f"scorer.model: the judge {model!r} is not in [models]")
        told = config.models[model]
        self.model = model
        rung = RungPolicy(
            model=model,
            provider=told.provider,
            upstream_id=told.id or model,
            weights_sha256=told.weights_sha256,
            max_tokens=ANSWER_TOKENS,
            temperature=0.0,
        )
        self._policy = Policy(task="", contract=contract, ladder=(rung,))
        self._answerer: Answerer | None = None

    def bind(self, answerer: Answerer) -> None:
        """From now on it asks through this answerer."""
        self._answerer = answerer

    async def __call__(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """What the judge says. Raises `ScorerError` where it does not answer, `BudgetExceeded` where the run's cap does not allow it."""
        assert self._answerer is not None, "bound before anything is scored"
        judged = _judging.get()
        till = judged.till if judged is not None else Till()
        incoming = Incoming("chat", msgspec.json.encode({"model": self.model, "messages": list(messages)}))
        aside = self._at_most_nusd(incoming, till)
        if not await till.admit(aside):
            if judged is not None:
                judged.broke = True
            raise BudgetExceeded(f"what is left does not pay for the judge {self.model}")
        purse = TillPurse(till, aside)
        decision = Decision(task="", steps=(Step(0, self.model),))
        try:
            answer = await self._answerer.answer(
                incoming, self._policy, decision, account=purse, clock=Clock()
            )
        except CallError as error:
            raise ScorerError(f"the judge {self.model} does not answer: {error.message}") from error
        finally:
            if judged is not None:
                judged.add(purse.attempts)
            await till.close(aside)
        assert isinstance(answer.reply, WholeReply)
        return answer.reply.text

    def _at_most_nusd(self, incoming: Incoming, till: Till) -> int:
        assert self._answerer is not None
        model = self._answerer.catalogue.get(self.model)
        price = model.price(self._answerer.prices, Clock().today)
        if price is None:
            if till.cap_nusd is not None:
                raise EvalError(f"what the judge {self.model} costs is unknown, so a cap cannot be kept")
            return 0
        return price.worst_case_nusd(incoming.prompt_tokens_at_most, ANSWER_TOKENS)
