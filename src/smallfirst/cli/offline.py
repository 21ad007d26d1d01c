"""What decides calls, without a gateway and without sending anything: models that count as ready, and a release's routers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smallfirst.classify.example_index import ExampleIndex
    from smallfirst.config import Config
    from smallfirst.models import Catalogue
    from smallfirst.releases import Policy
    from smallfirst.routing.judgement import Router


def ready_catalogue(config: Config) -> Catalogue:
    """The models as a gateway of this configuration would have them, all of them ready."""
    from smallfirst.models import Catalogue
    from smallfirst.models.adapters.served import AllServed
    from smallfirst.models.embedded_reach import EmbeddedReach
    from smallfirst.models.endpoints import Endpoint

    ready = {
        name: Endpoint("http://127.0.0.1", name="embedded")
        for name, model in config.models.items()
        if config.providers[model.provider].kind == "embedded"
    }
    reach = EmbeddedReach(endpoints=ready, served=AllServed())
    return Catalogue(config, _AnySecret(os.environ), embedded=reach)


def router_of(policy: Policy, weights: Path | None, config: Config) -> Router | None:
    """The policy's router, loaded from the folder of its release's weights; None where it has none."""
    from smallfirst.models.embeddings_http import embedder_of
    from smallfirst.releases import weights_path
    from smallfirst.routing.routers import open_router

    if policy.router is None or weights is None:
        return None
    path = weights_path(weights, policy.router.weights_sha256)
    return open_router(path, lambda name: embedder_of(name, config, os.environ))


def examples_of(policy: Policy, weights: Path | None, config: Config) -> dict[str, ExampleIndex]:
    """The examples that the policy's rungs show, by hash, loaded from the folder of its release's weights."""
    from smallfirst.answering.opened import open_examples
    from smallfirst.models.embeddings_http import embedder_of

    if weights is None:
        return {}
    return open_examples(policy, weights, lambda name: embedder_of(name, config, os.environ))


class _AnySecret(dict[str, str]):
    """Nothing is sent, so no secret is needed: every variable that is not set counts as set."""

    def __missing__(self, name: str) -> str:
        return "unset"

    def get(self, name: str, default: object = None) -> str:  # type: ignore[override]
        return self[name]
