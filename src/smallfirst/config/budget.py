"""What may be spent, when somebody is told, and what happens to calls at the limit."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

from smallfirst import limits
from smallfirst.config.strict import SecretRef, Strict

ALARMS_AT = (0.5, 0.8, 1.0)


class Alarms(Strict, frozen=True):
    """At which shares of a budget somebody is told, and how. What is absent is as in the gateway's own `[budget]`."""

    # shares of the limit, rising; 1 also when a call is refused. Default: 0.5, 0.8 and 1
    at: (
        Annotated[
            tuple[Annotated[float, Meta(ge=0.01, le=1)], ...], Meta(max_length=limits.MAX_ALARMS_OF_BUDGET)
        ]
        | None
    ) = None
    webhook: SecretRef | None = None  # `env:NAME` of an address to which each alarm is sent, as JSON
    secret: SecretRef | None = None  # what is sent is signed with it

    def under(self, gateway: Alarms) -> Alarms:
        """These alarms, with what they leave open as the whole gateway has it."""
        at = self.at if self.at is not None else gateway.at
        return Alarms(
            at=ALARMS_AT if at is None else at,
            webhook=self.webhook or gateway.webhook,
            secret=self.secret or gateway.secret,
        )


class Budget(Strict, frozen=True):
    """US dollars at most. Days and months are UTC's; a call belongs to the one in which it arrived."""

    usd_per_day: Decimal | None = None
    usd_per_month: Decimal | None = None
    usd_total: Decimal | None = None  # ever
    # of it, what may be spent with the models that stand last on their ladders, or are named directly
    frontier_usd_per_day: Decimal | None = None
    frontier_usd_per_month: Decimal | None = None
    # "small": a call that does not fit is answered by the small rungs of its ladder alone, outside the quality bound
    at_limit: Literal["refuse", "small"] = "refuse"
    alarms: Alarms = Alarms()
