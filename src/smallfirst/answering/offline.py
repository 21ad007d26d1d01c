"""Models asked without a gateway: by commands that fit or measure. Nobody's budget pays, and nothing is written to the ledger; a purse counts."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec

from smallfirst import limits
from smallfirst.answering.account import Plan
from smallfirst.answering.climb import Answerer
from smallfirst.config.schema import Config
from smallfirst.errors import ConfigError
from smallfirst.ledger.records import Attempt
from smallfirst.models import Catalogue
from smallfirst.models.embedded import EmbeddedModels
from smallfirst.models.transport import AiohttpTransport
from smallfirst.pricing import PriceBook


class Purse:
    """Implements `answering.Account`: keeps the attempts that it paid for."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self._numbers = itertools.count()

    def number(self) -> int:
        return next(self._numbers)

    def reserve(self, plan: Plan) -> None:
        """Everything can be paid for."""

    def settle(self, plan: Plan, attempt: Attempt) -> None:
        self.attempts.append(attempt)

    def output_tokens(self, task: str, model: str) -> int:
        return limits.DEFAULT_RESERVED_OUTPUT_TOKENS


@contextlib.asynccontextmanager
async def offline_answerer(
    config: Config, name: str, *, state: Path, base: Path, environ: Mapping[str, str]
) -> AsyncIterator[Answerer]:
    """An answerer that knows the one model; an embedded one's server runs as long. `base` is the configuration's folder.

    Raises `ConfigError` where the model cannot be asked, `StateError` where its server does not start.
    """
    model = config.models[name]
    provider = config.providers[model.provider]
    if provider.kind == "head":
        raise ConfigError(f"model {name!r} is a label head, and a language model is needed")
    # Only what this model needs: no other provider's secret, no other embedded model's server.
    alone = msgspec.structs.replace(
        config, models={name: model}, providers={model.provider: provider}, aliases={}, tasks={}
    )
    embedded = EmbeddedModels(alone, state, base=base)
    if provider.kind == "embedded" and name not in embedded.keys:
        raise ConfigError(f"model {name!r} cannot be started: see the warning above")
    transport = AiohttpTransport()
    try:
        embedded.start()
        await embedded.started()
        catalogue = Catalogue(alone, environ, embedded=embedded.endpoints, embedded_keys=embedded.keys)
        yield Answerer(catalogue=catalogue, transport=transport, prices=PriceBook(alone))
    finally:
        await embedded.stop()
        await transport.close()
