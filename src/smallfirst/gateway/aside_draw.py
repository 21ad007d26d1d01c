"""Which calls are answered again, off their client's path: drawn as they arrive, before a cache, a budget or a router has looked at them, so that
nothing about a call makes it more likely to be looked at.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Literal

import msgspec

from smallfirst import limits
from smallfirst.config.schema import Rollout
from smallfirst.gateway.channel import ShadowServing
from smallfirst.gateway.chosen import Chosen
from smallfirst.wire.incoming import Incoming

Purpose = Literal["explore", "shadow", "spot-check"]
"""Why a call is answered again; the origin of the calls that do it."""

EXPLORE: Purpose = "explore"
SHADOW: Purpose = "shadow"
SPOT_CHECK: Purpose = "spot-check"
_chance = random.Random()  # noqa: S311 (seeded from the system; who could guess it would gain a second answer that they never see)


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """For what a call was drawn: purposes, and the probability with which each was. At least one."""

    chances: dict[Purpose, float]
    shadow: ShadowServing | None = None

    def record(self, chosen: Chosen) -> dict[str, object]:
        """What the call's decision keeps of it, by purpose."""
        told = {"policy": chosen.policy_hash[:12], "channel": chosen.channel or "live"}
        return {purpose: {"p": chance} | told for purpose, chance in self.chances.items()}


def draw(
    chosen: Chosen,
    incoming: Incoming,
    rollout: Rollout,
    *,
    shadow: ShadowServing | None = None,
    chance: Callable[[], float] = _chance.random,
) -> Drawn | None:
    """Draws for one call of a task; None where it is for nothing.

    Left out are calls that offer tools, want several choices or are too long to be held for a while, and those of a policy of one rung, which has
    nobody to compare.
    """
    policy = chosen.policy
    if incoming.route not in ("chat", "messages") or len(incoming.data) > limits.ASIDE_BODY_BYTES:
        return None
    if incoming.body.tools_count or incoming.body.choices > 1:
        return None
    chances: dict[Purpose, float] = {}
    several = len(policy.ladder) > 1
    if several and chance() < rollout.explore:
        chances[EXPLORE] = rollout.explore
    if several and chosen.channel == "canary" and EXPLORE not in chances and chance() < rollout.pairs:
        chances[SPOT_CHECK] = rollout.pairs
    shadows = _other_policy(shadow, chosen)
    if shadows is not None and chance() < shadows.share:
        chances[SHADOW] = shadows.share
    return Drawn(chances=chances, shadow=shadows if SHADOW in chances else None) if chances else None


def _other_policy(shadow: ShadowServing | None, chosen: Chosen) -> ShadowServing | None:
    """The shadow, where it has a policy for the task and that is another one."""
    if shadow is None:
        return None
    found = shadow.hashes.get(chosen.policy.task)
    return None if found is None or found == chosen.policy_hash else shadow
