"""What a policy needs to be answered by, loaded from the folder of its weights: its heads and its router."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from smallfirst.classify.embedder import Embedder
from smallfirst.classify.label_head import load_head
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
    return open_router(weights_path(folder, policy.router.weights_sha256), embedders)
