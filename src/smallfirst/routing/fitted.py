"""What a fitted router says of itself: the header of its artifact."""

from __future__ import annotations

import msgspec

from smallfirst.classify.artifact import Artifact
from smallfirst.errors import ReleaseError
from smallfirst.routing.guards import Seen
from smallfirst.routing.thresholds import Thresholds

FORMAT = 1
LEARNED = "learned"


class Bound(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was shown when the thresholds were chosen: on `examples` held-out examples the loss was `loss`, and with `confidence` it is at most
    `loss_bound`. `kept` is false where the thresholds were chosen by a share or a budget, so that the margin is not promised.
    """

    kept: bool
    margin: float
    confidence: float
    examples: int
    loss: float
    loss_bound: float
    small_share: float


NO_BOUND = Bound(
    kept=True, margin=0.0, confidence=0.95, examples=0, loss=0.0, loss_bound=0.0, small_share=0.0
)
"""Of a router that sends everything to the frontier."""


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The model that a router asks: what it is, not only what the configuration calls it, and the question, `{text}` standing for the call's."""

    model: str
    provider: str
    upstream_id: str
    weights_sha256: str | None = None
    question: str = ""


class Fitted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A router's identity and terms. `heads` are the label heads' hashes by rung, empty for other models; so is the embedder of one that asks."""

    task: str
    ladder: tuple[str, ...]
    heads: tuple[str, ...]
    asked_as: tuple[
        str, ...
    ] = ()  # what each rung's model was: its provider and upstream id; empty where no configuration told
    embedder: str
    embedder_sha256: str
    thresholds: Thresholds
    bound: Bound
    seen: Seen
    by: str = LEARNED  # or the model that is asked to judge
    asked: Asked | None = None  # that model; None where it is learned
    verify: bool = False
    question_after: str = ""
    question_before: str = ""
    intents: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()  # the ids of those whose vectors are kept
    unknown_below: float = -1.0  # cosine to the nearest kept example
    format: int = FORMAT
    sha256: str = ""  # filled in when it is read: a file cannot hold its own hash


def read_fitted(found: Artifact) -> Fitted:
    """The header of a router's artifact. Raises `ReleaseError` where it is another thing."""
    if found.kind != "router":
        raise ReleaseError(f"{found.sha256[:12]} is a {found.kind}, not a router")
    try:
        fitted = msgspec.convert(found.header, Fitted)
    except msgspec.ValidationError as error:
        raise ReleaseError(
            f"router {found.sha256[:12]} was fitted by another version of smallfirst: {error}"
        ) from error
    return msgspec.structs.replace(fitted, sha256=found.sha256)
