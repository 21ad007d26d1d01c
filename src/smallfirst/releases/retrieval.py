"""The examples that a rung is shown, as a policy pins them."""

from __future__ import annotations

from typing import Literal

import msgspec

from smallfirst.classify.examples import Header
from smallfirst.config.schema import Model, Retrieve
from smallfirst.errors import ReleaseError


class RetrievePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The index by hash, which the release carries, and what of it is shown."""

    sha256: str
    embedder: str
    embedder_sha256: str
    k: int
    order: Literal["nearest-last", "nearest-first"]
    max_chars: int


def retrieve_policy(
    path: str, wanted: Retrieve, model: Model, *, found: tuple[str, Header], contract_sha256: str
) -> RetrievePolicy:
    """What a rung's `retrieve`, whose place in the configuration is `path`, comes to with the index that was `found` for it.

    Raises `ReleaseError` where the index is of another contract or has fewer than `k` examples, and for a model that has an adapter.
    """
    sha256, header = found
    again = f"`smallfirst train {header.task} --method retrieval` makes another"
    if model.adapter is not None:
        raise ReleaseError(
            f"{path}: its model has an adapter, which was tuned without examples in the prompt; leave `retrieve` or `adapter` out"
        )
    if header.contract_sha256 != contract_sha256:
        raise ReleaseError(
            f"{path}.index: index {sha256[:12]} was made when the task had another contract; {again}"
        )
    if wanted.k > header.examples:
        raise ReleaseError(
            f"{path}.k: {wanted.k} is more than the {header.examples} examples of index {sha256[:12]}; set a smaller k, or {again} of more"
        )
    return RetrievePolicy(
        sha256=sha256,
        embedder=header.embedder,
        embedder_sha256=header.embedder_sha256,
        k=wanted.k,
        order=wanted.order,
        max_chars=wanted.max_chars,
    )
