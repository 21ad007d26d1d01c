"""What earlier answers were like, so that a call which names no limit reserves what such calls use, not a fortune.

Reserved is the 99th percentile of the output tokens of this task's (or, without a task, this model's) answers, refreshed from the ledger once
a minute off the event loop; `DEFAULT_RESERVED_OUTPUT_TOKENS` until there are answers. What a call uses beyond it is spent all the same and
recorded: with an explicit `max_tokens` a budget is never overshot, without one it may be by the tail of the history.
"""

from __future__ import annotations

from collections.abc import Callable

from smallfirst import limits

_QUANTILE = 0.99


class History:
    """Output tokens by task and model. `read` asks the ledger: (task, model, quantile) to tokens, None without answers."""

    def __init__(self, read: Callable[[str, str, float], int | None]) -> None:
        self._read = read
        self._known: dict[tuple[str, str], int] = {}

    def output_tokens(self, task: str, model: str) -> int:
        """What to reserve for an answer. Never reads the ledger itself: an unknown pair is read at the next refresh."""
        known = self._known.get((task, model))
        if known is not None:
            return known
        if len(self._known) < limits.MAX_HISTORIES:
            self._known[(task, model)] = limits.DEFAULT_RESERVED_OUTPUT_TOKENS
        return limits.DEFAULT_RESERVED_OUTPUT_TOKENS

    def refresh(self) -> None:
        """Reads every pair that was asked for; called from a thread."""
        for task, model in list(self._known):
            tokens = self._read(task, model, _QUANTILE)
            self._known[(task, model)] = (
                limits.DEFAULT_RESERVED_OUTPUT_TOKENS if tokens is None else max(1, tokens)
            )
