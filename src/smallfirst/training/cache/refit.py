"""When the cache's guard is fitted again: as the observations grow, for the controller and for replayed streams alike."""

from __future__ import annotations

FIRST_AT = 60  # observations of which it is known whether they are right
_GROWS_BY = 1.18


def is_due(known: int, fitted: int) -> bool:
    """Whether there is enough to learn from. `fitted`: how many were known the last time; 0 where there was none."""
    return known >= max(FIRST_AT, _GROWS_BY * fitted)
