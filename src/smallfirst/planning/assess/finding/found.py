"""What was found in a stream of calls."""

from __future__ import annotations

import msgspec

from smallfirst.planning.assess.feature import Feature


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The features, the one with the most calls first, and what is left: calls of features too rare to be told apart. `calls` counts all of them."""

    features: tuple[Feature, ...]
    unsorted: Feature | None = None
    calls: int = 0
    skipped: dict[str, int] = {}  # what could not be read, and why
    notes: dict[str, int] = {}  # what was read, but for something in it

    @property
    def unsorted_share(self) -> float:
        """Of all calls."""
        return self.unsorted.calls / self.calls if self.unsorted and self.calls else 0.0
