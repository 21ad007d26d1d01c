"""The gateway's cache, put together: the store, look-ups in other words, and what is learned from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from smallfirst.cache.semantic.embedding import Embedding, Open
from smallfirst.cache.semantic.guard import PRIOR, load_guard
from smallfirst.cache.semantic.look_up import Guard, Semantic
from smallfirst.cache.semantic.observed import Observed
from smallfirst.cache.semantic.standing import Standings
from smallfirst.cache.stores.opening import open_store
from smallfirst.config.schema import Config
from smallfirst.gateway.aside_call import Books
from smallfirst.gateway.cache.counts import CacheCounts
from smallfirst.gateway.cache.learning import CacheLearning
from smallfirst.gateway.cache.parts import Parts
from smallfirst.gateway.cache.standings import StandingsFollower


def open_parts(
    config: Config,
    state: Path,
    environ: Mapping[str, str],
    *,
    embedders: Open,
    books: Books,
    counts: CacheCounts,
) -> Parts:
    """`embedders` opens one by its name, in a thread; `books` pay for spot checks. Raises as `open_store` does."""
    store = open_store(config, state, environ)
    observed = Observed(store.database)
    semantic = Semantic(store, observed, Embedding(embedders), prior=PRIOR)

    def take(proven: Standings, guards: Mapping[str, Guard]) -> None:
        counts.standings = proven
        semantic.stand(proven, guards)

    standings = StandingsFollower(state, take, load_guard)

    async def follow() -> None:
        await standings.follow()
        await semantic.partitions.follow()

    learning = CacheLearning(store, semantic, observed=observed, books=books, counts=counts)
    return Parts(store=store, semantic=semantic, learning=learning, follow=follow)
