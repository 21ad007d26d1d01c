"""What a call asks of its rate limits.

In one process they are `local.LocalRates`; what replicas share will be another that keeps this promise (it may wait for the network: hence `await`).
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from smallfirst.config.rates import RateLimits

Scope = tuple[str, str]
"""A kind ("key", "tenant", "task" or "gateway") and a name."""

Counted = Literal["requests", "tokens", "input_tokens", "output_tokens"]
"""What a limit a minute counts."""


class ScopeLimits(msgspec.Struct, frozen=True):
    """How fast one scope may call."""

    scope: Scope
    limits: RateLimits


class Standing(msgspec.Struct, frozen=True):
    """Where the tightest limit of one kind stands: `left` of `per_minute`, all of it again in `full_in_ns`."""

    counted: Counted
    per_minute: int
    left: int
    full_in_ns: int


class Admission(Protocol):
    """One call before its limits: let in once, its tokens set aside once and replaced by what it used, and gone at its end.

    What is refused is refused by `RateLimited`, which names the scope whose wait is the longest; nothing of it is counted in any scope.
    """

    @property
    def counts_tokens(self) -> bool: ...

    async def check(self) -> None:
        """Raises as `enter` would now, and takes nothing."""
        ...

    async def enter(self) -> None:
        """Counts one request, and one call under way, in every scope or in none."""
        ...

    async def take_tokens(self, read: int, written: int) -> None:
        """Sets tokens aside in every scope, or in none, and then the request no longer counts either."""
        ...

    def settle(self, read: int, written: int) -> None:
        """Replaces what was set aside by what all attempts used together, once. More than was set aside is owed: later calls wait for it."""
        ...

    def leave(self) -> None:
        """The call is over: it is under way no more. Changes nothing the second time."""
        ...

    def standings(self) -> list[Standing]:
        """The tightest limit of each kind."""
        ...


class Rates(Protocol):
    """All limits of a gateway, as they stand. Survives reloads."""

    def admission(self, limits: tuple[ScopeLimits, ...]) -> Admission:
        """One call's, before it is let in."""
        ...

    def keep(self, limits: tuple[ScopeLimits, ...]) -> None:
        """Forgets the scopes that are not among these: they are gone from the configuration."""
        ...
