"""Lengths of the calls that a ledger has recorded."""

from __future__ import annotations

from collections.abc import Iterator

from smallfirst.errors import StateError
from smallfirst.ledger import LedgerView
from smallfirst.ledger.queries import Filter
from smallfirst.ledger.records import ANSWERED
from smallfirst.planning.fleet.calibrate.lengths import Lengths, recorded_lengths

_PAGE, _MOST_CALLS = 500, 5000


def ledger_lengths(ledger: LedgerView, *, task: str | None = None, shared_share: float = 0.0) -> Lengths:
    """Tokens of the newest calls of clients, of one task or of all, as the model that answered counted them.

    Raises `StateError` where none was answered with known tokens.
    """
    pairs = list(_pairs(ledger, task))
    of = "all tasks" if task is None else f"the task {task!r}"
    if not pairs:
        raise StateError(
            f"the ledger knows no call of {of} with its tokens: give --input-tokens and --output-tokens"
        )
    return recorded_lengths(
        pairs, source=f"the ledger's newest {len(pairs):,} calls of {of}", shared_share=shared_share
    )


def _pairs(ledger: LedgerView, task: str | None) -> Iterator[tuple[int, int]]:
    wanted, before, seen = Filter(task=task, origin="client", status="ok"), None, 0
    while seen < _MOST_CALLS:
        page = ledger.queries.calls(wanted, limit=_PAGE, before=before)
        if not page:
            return
        attempts = ledger.queries.attempts_between(page[-1].n, page[0].n)
        for listed in page:
            for attempt in reversed(attempts.get(listed.n, [])):
                usage = attempt.usage
                if attempt.status in ANSWERED and usage.prompt_tokens and usage.completion_tokens:
                    yield usage.prompt_tokens, usage.completion_tokens
                    break
        before, seen = page[-1].n, seen + len(page)
