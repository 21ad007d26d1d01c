"""The lawful moves between channels: from what `channels.json` says to what it says next. Pure."""

from __future__ import annotations

import msgspec

from smallfirst import limits
from smallfirst.releases.bundle import BASELINE
from smallfirst.releases.channels import Canary, Channels, Live, Shadow


def live_at_once(channels: Channels, live: Live) -> Channels:
    """The release answers all calls. What was live is what a rollback returns to; a canary or shadow of something else ends."""
    previous = channels.live if channels.live.release != live.release else channels.previous
    return msgspec.structs.replace(channels, live=live, previous=previous, canary=None, shadow=None)


def with_canary(channels: Channels, candidate: Live, stages: tuple[float, ...], *, now_ms: int) -> Channels:
    """The release begins to answer the first share, for one lease: its controller must renew it. A shadow ends."""
    canary = Canary(
        release=candidate.release,
        verdict=candidate.verdict,
        unproven=candidate.unproven,
        by=candidate.by,
        stages=stages,
        began_ms=now_ms,
        stage_began_ms=now_ms,
        lease_until_ms=now_ms + lease_ms(),
    )
    return msgspec.structs.replace(channels, canary=canary, shadow=None)


def with_shadow(channels: Channels, release: str, share: float, *, by: str, now_ms: int) -> Channels:
    """The release answers a share of the calls for nobody to see."""
    return msgspec.structs.replace(
        channels, shadow=Shadow(release=release, share=share, began_ms=now_ms, by=by)
    )


def without_shadow(channels: Channels, began_ms: int) -> Channels:
    """That shadow ends; another is left alone."""
    shadow = channels.shadow
    if shadow is None or shadow.began_ms != began_ms:
        return channels
    return msgspec.structs.replace(channels, shadow=None)


def renewed(channels: Channels, began_ms: int, *, now_ms: int) -> Channels:
    """That canary has another lease; another canary, or none, is left alone."""
    canary = channels.canary
    if canary is None or canary.began_ms != began_ms:
        return channels
    canary = msgspec.structs.replace(canary, lease_until_ms=now_ms + lease_ms())
    return msgspec.structs.replace(channels, canary=canary)


def advanced(channels: Channels, began_ms: int, *, now_ms: int) -> Channels:
    """That canary is at its next stage, with another lease; after the last stage it is live."""
    canary = channels.canary
    if canary is None or canary.began_ms != began_ms:
        return channels
    if canary.stage + 1 == len(canary.stages):
        return live_at_once(channels, msgspec.structs.replace(canary.as_live, since_ms=now_ms))
    canary = msgspec.structs.replace(
        canary, stage=canary.stage + 1, stage_began_ms=now_ms, lease_until_ms=now_ms + lease_ms()
    )
    return msgspec.structs.replace(channels, canary=canary)


def without_canary(channels: Channels, began_ms: int, *, now_ms: int) -> Channels:
    """That canary ends; another is left alone."""
    canary = channels.canary
    if canary is None or canary.began_ms != began_ms:
        return channels
    return msgspec.structs.replace(channels, canary=None, rolled_back_ms=now_ms)


def rolled_back(channels: Channels, *, now_ms: int) -> Channels:
    """A canary ends, if there is one; else what is live gives way to what was before it, or to baseline. A shadow ends with it.

    Nothing in here asks for proof: it is what was live, and the gateway goes to baseline where that cannot be served any more.
    """
    live = channels.live
    if channels.canary is None:
        live = channels.previous or Live(release=BASELINE)
    return Channels(
        live=live,
        previous=channels.previous if channels.canary is not None else None,
        rolled_back_ms=now_ms,
    )


def lease_ms() -> int:
    return int(limits.CANARY_LEASE_S * 1000)
