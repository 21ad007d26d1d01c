"""Models and policies asked without a gateway: by commands that fit or measure. Nobody's budget pays; a purse counts."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import msgspec

from smallfirst import limits
from smallfirst.answering.account import Plan
from smallfirst.answering.climb import Answerer
from smallfirst.answering.opened import open_examples, open_policy
from smallfirst.classify.embedder import Embedder
from smallfirst.classify.example_index import ExampleIndex
from smallfirst.classify.label_head import load_head
from smallfirst.classify.store import Artifacts
from smallfirst.config.schema import Config
from smallfirst.errors import ConfigError, ReleaseError
from smallfirst.ledger.records import Attempt
from smallfirst.models import Catalogue
from smallfirst.models.embedded import EmbeddedModels
from smallfirst.models.embeddings_http import embedder_of
from smallfirst.models.heads import Heads
from smallfirst.models.label_head import HeadServer
from smallfirst.models.transport import AiohttpTransport
from smallfirst.pricing import PriceBook
from smallfirst.releases import Policy
from smallfirst.releases.policy import misfits, undeployed
from smallfirst.routing.judgement import Router


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


class Bench:
    """Models and policies to be asked without a gateway: an answerer, and the routers of the policies it was opened for."""

    def __init__(self, answerer: Answerer, routers: Mapping[str, Router]) -> None:
        self.answerer = answerer
        self._routers = routers

    @property
    def simulated(self) -> frozenset[str]:
        """The models that only pretend to be what they are called."""
        declared = self.answerer.catalogue.declared
        return frozenset(name for name, model in declared.items() if model.simulated)

    def router(self, policy: Policy) -> Router | None:
        """The policy's router; None where it has none."""
        return self._routers[policy.router.weights_sha256] if policy.router is not None else None


class Wanted(msgspec.Struct, frozen=True):
    """A policy that is to be asked, and the folder of the weights that it names; None: this state directory's artifacts."""

    policy: Policy
    weights: Path | None = None


@contextlib.asynccontextmanager
async def open_bench(
    config: Config,
    wanted: Sequence[Wanted],
    *,
    state: Path,
    base: Path,
    environ: Mapping[str, str],
    beside: Sequence[str] = (),
) -> AsyncIterator[Bench]:
    """What these policies need, loaded as the gateway loads it: their models, each embedded one's server started once and stopped at the
    end, their heads, their routers. `beside`: models that are asked besides, such as a judge. `base` is the configuration's folder.

    Raises `ConfigError` where a model cannot be asked, `ReleaseError` where weights are missing or altered, `StateError` where an
    embedded model's server does not start.
    """
    policies = [one.policy for one in wanted]
    wrong = [line for policy in policies for line in misfits(policy, config)]
    wrong += undeployed(policies, config, state)
    if wrong:
        raise ReleaseError(
            "what is to be asked does not fit the configuration:\n  " + "\n  ".join(dict.fromkeys(wrong))
        )
    names = dict.fromkeys([name for policy in policies for name in _models(policy)] + list(beside))
    heads = Heads(Artifacts(state), load_head)
    artifacts = state / "artifacts"
    routers: dict[str, Router] = {}
    indexes: dict[str, ExampleIndex] = {}

    def embedders(name: str) -> Embedder:
        return embedder_of(name, config, environ)

    for one in wanted:
        indexes |= open_examples(one.policy, one.weights or artifacts, embedders, known=indexes)
        router = open_policy(one.policy, one.weights or artifacts, heads, embedders)
        if router is not None and one.policy.router is not None:
            routers[one.policy.router.weights_sha256] = router
    async with _answering(config, list(names), heads, state=state, base=base, environ=environ) as answerer:
        answerer.indexes = indexes
        yield Bench(answerer, routers)


@contextlib.asynccontextmanager
async def offline_answerer(
    config: Config, name: str, *, state: Path, base: Path, environ: Mapping[str, str]
) -> AsyncIterator[Answerer]:
    """An answerer that knows the one language model; an embedded one's server runs as long. `base` is the configuration's folder.

    Raises `ConfigError` where the model cannot be asked, `StateError` where its server does not start.
    """
    if config.providers[config.models[name].provider].kind == "head":
        raise ConfigError(f"model {name!r} is a label head, and a language model is needed")
    async with _answering(config, [name], None, state=state, base=base, environ=environ) as answerer:
        yield answerer


@contextlib.asynccontextmanager
async def _answering(
    config: Config,
    names: Sequence[str],
    heads: Heads | None,
    *,
    state: Path,
    base: Path,
    environ: Mapping[str, str],
) -> AsyncIterator[Answerer]:
    # Only what these models need: no other provider's secret, no other embedded model's server.
    models = {name: config.models[name] for name in names}
    providers = {model.provider: config.providers[model.provider] for model in models.values()}
    few = msgspec.structs.replace(config, models=models, providers=providers, aliases={}, tasks={})
    embedded = EmbeddedModels(few, state, base=base)
    transport = AiohttpTransport()
    server = None if heads is None else HeadServer(heads.get)
    try:
        embedded.start()
        await embedded.started()
        for name, model in models.items():
            if providers[model.provider].kind == "embedded" and not embedded.starts(name):
                raise ConfigError(f"model {name!r} cannot be started: see the warning above")
        catalogue = Catalogue(few, environ, embedded=embedded.reach, heads=server)
        yield Answerer(catalogue=catalogue, transport=transport, prices=PriceBook(few))
    finally:
        await embedded.stop()
        await transport.close()
        if server is not None:
            await server.close()


def _models(policy: Policy) -> list[str]:
    asked = policy.router.asked if policy.router is not None else None
    return [rung.model for rung in policy.ladder] + ([asked.model] if asked is not None else [])
