"""What a policy needs to be answered by, loaded from the folder of its weights: its heads, its router and the examples that its rungs show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from smallfirst.classify.embedder import Embedder
from smallfirst.classify.example_index import ExampleIndex, open_index
from smallfirst.classify.label_head import load_head
from smallfirst.classify.once import once
from smallfirst.models.heads import Heads
from smallfirst.releases import Policy, weights_path
from smallfirst.routing.judgement import Router
from smallfirst.routing.routers import open_router


def open_policy(
    policy: Policy,
    folder: Path,
    heads: Heads,
    embedders: Callable[[str], Embedder],
    *,
    known: Router | None = None,
) -> Router | None:
    """The policy's router, `known` where that is the one; None where it has none. Its heads are added to `heads`.

    Raises `ReleaseError` where weights are missing or altered, `ConfigError` where an embedder is missing.
    """
    for rung in policy.ladder:
        if rung.head and (sha256 := rung.weights_sha256):
            # Added although it may be loaded: a configured model may ask for another one after the next reload.
            heads.add(heads.get(sha256) or load_head(weights_path(folder, sha256)))
    if policy.router is None:
        return None
    if known is not None and known.sha256 == policy.router.weights_sha256:
        return known
    return open_router(weights_path(folder, policy.router.weights_sha256), lambda name: once(embedders(name)))


def open_examples(
    policy: Policy,
    folder: Path,
    embedders: Callable[[str], Embedder],
    *,
    known: Mapping[str, ExampleIndex] = {},
) -> dict[str, ExampleIndex]:
    """The indexes that the policy's rungs show examples of, by hash; those that are `known` are not loaded again.

    Raises `ReleaseError` where one is missing or altered, `ConfigError` where its embedder is missing.
    """
    wanted = {rung.retrieve.sha256 for rung in policy.ladder if rung.retrieve is not None}
    return {
        sha256: known.get(sha256)
        or open_index(weights_path(folder, sha256), lambda name: once(embedders(name)))
        for sha256 in wanted
    }
