"""The schema's history, oldest first. A migration that was released is never edited: a change is a new
file.
"""

from smallfirst.ledger.migrations import m001_initial

MIGRATIONS: tuple[tuple[str, ...], ...] = (m001_initial.STATEMENTS,)

__all__ = ["MIGRATIONS"]
