"""The policy that was chosen for a call."""

from __future__ import annotations

import msgspec

from smallfirst.answering.decide import Decision
from smallfirst.releases import Policy
from smallfirst.routing.judgement import Router


class Chosen(msgspec.Struct, frozen=True):
    """The policy that answers a call, how its task was found, and the release it is from (empty for a model named directly).

    `fixed` is the decision where there is only one to make. `intent` says what the call was taken for, where that had to be found. `channel` is
    "live" or "canary"; `lapsed` why the task goes to its frontier although the release would send it elsewhere.
    """

    policy: Policy
    by: str
    release: str = ""
    policy_hash: str = ""
    unproven: bool = False
    fixed: Decision | None = None
    router: Router | None = None
    intent: dict[str, object] | None = None
    channel: str = ""
    lapsed: str = ""

    @property
    def sticky(self) -> bool:
        """Whether conversations keep their model outside tool loops too."""
        return self.policy.router is None or self.policy.router.sticky

    @property
    def record(self) -> dict[str, object]:
        """What the ledger keeps of the choice."""
        told: dict[str, object] = {"by": self.by}
        if self.intent:
            told["intent"] = self.intent
        if self.channel:
            told["channel"] = self.channel
        if self.lapsed:
            told["lapsed"] = self.lapsed
        return told
