"""A router of either kind, from its artifact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from smallfirst.classify import artifact
from smallfirst.classify.embedder import Embedder
from smallfirst.routing import asking, learned_router
from smallfirst.routing.fitted import LEARNED, read_fitted
from smallfirst.routing.judgement import Router


def open_router(path: Path, embedders: Callable[[str], Embedder]) -> Router:
    """The router of this file; `embedders` finds an embedder by name, where the router has one.

    Raises `ReleaseError` where it is another thing, or was fitted with other weights of its embedder.
    """
    found = artifact.read(path)
    fitted = read_fitted(found)
    if fitted.by == LEARNED:
        return learned_router.router_from(found, embedders(fitted.embedder))
    return asking.router_from(found)
