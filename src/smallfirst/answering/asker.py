"""A router's question as an attempt of the call that it is about: reserved, announced, sent, billed and recorded like any other."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from smallfirst.answering.account import Account
from smallfirst.answering.attempt import Clock, Planner, settling
from smallfirst.answering.climb import Answerer
from smallfirst.answering.constrain import constraint
from smallfirst.contracts import LabelContract
from smallfirst.errors import UpstreamTimeout, UpstreamUnavailable
from smallfirst.models.model import Model
from smallfirst.models.reply import ask_whole
from smallfirst.releases.policy import RungPolicy
from smallfirst.routing.judgement import Question, Said
from smallfirst.wire.incoming import Changes, Incoming
from smallfirst.wire.openai_logprobs import first_token

NO_RUNG = -1
_CONSTRAINED_TOKENS = 1  # the choices are digits
_FREE_TOKENS = 2  # some models begin with a line break
_ALTERNATIVES = 20  # the most that OpenAI and vLLM tell; where they are those before decoding is constrained (llama.cpp), digits may be far down


class Asker:
    """Implements `routing.judgement.Ask` for one call. Nothing is tried twice: the frontier is the answer to a failure."""

    def __init__(
        self, answerer: Answerer, *, task: str, account: Account, clock: Clock, timeout_s: float
    ) -> None:
        self._answerer = answerer
        self._task = task
        self._account = account
        self._clock = clock
        self._timeout_s = timeout_s

    async def __call__(self, question: Question) -> Said:
        """Raises `UpstreamError`, `BudgetExceeded`, `NotAllowed`, `UnknownModel`, `LedgerUnavailable`."""
        answerer = self._answerer
        model = answerer.catalogue.get(question.model)
        if model.full:
            raise UpstreamUnavailable(f"{model.in_flight} calls in flight, as many as it takes")
        endpoint = model.endpoints.choose()
        incoming = Incoming("chat", _body(question, model))
        planner = Planner(
            incoming, task=self._task, account=self._account, prices=answerer.prices, clock=self._clock
        )
        asked = RungPolicy(model=model.name, provider=model.provider, upstream_id=model.upstream_id)
        attempting = planner.begin("route", NO_RUNG, asked, model=model, endpoint=endpoint, frontier=False)
        with settling(attempting):
            outgoing = model.outgoing(incoming, endpoint, _changes(question, model))
            try:
                async with asyncio.timeout(self._timeout_s):
                    whole = await ask_whole(
                        model.transport or answerer.transport,
                        outgoing,
                        timeouts=model.timeouts,
                        dialect=model.dialect,
                        route="chat",
                    )
            except TimeoutError as error:
                raise UpstreamTimeout(f"no answer within the router's {self._timeout_s:g} s") from error
            attempting.first_byte()
            peek = whole.peek
            attempting.answered(
                "ok",
                usage=peek.usage,
                answer_chars=len(whole.text),
                stop=peek.stop or "",
                upstream_id=whole.upstream_id,
                upstream_model=peek.model,
            )
        return Said(text=whole.text, first=first_token(whole.data) if model.gives_logprobs else ())


def _body(question: Question, model: Model) -> bytes:
    return msgspec.json.encode(
        {
            "model": model.upstream_id,
            "messages": [{"role": "user", "content": question.text}],
            "max_tokens": _CONSTRAINED_TOKENS if model.owned else _FREE_TOKENS,
            "temperature": 0,
        }
    )


def _changes(question: Question, model: Model) -> Changes:
    fields: dict[str, Any] = {}
    if model.owned:
        fields = constraint(LabelContract(labels=question.choices), model.engine)
    if model.gives_logprobs:
        fields |= {"logprobs": True, "top_logprobs": _ALTERNATIVES}
    return Changes(model=model.upstream_id, fields=fields, owned_engine=model.owned)
