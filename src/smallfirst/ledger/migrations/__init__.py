"""The schema's history, oldest first. A migration that was released is never edited: a change is a new
file.
"""

from smallfirst.ledger.migrations import (
    m001_initial,
    m002_learning,
    m003_answered_as,
    m004_cache,
    m005_money,
    m006_days,
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    m001_initial.STATEMENTS,
    m002_learning.STATEMENTS,
    m003_answered_as.STATEMENTS,
    m004_cache.STATEMENTS,
    m005_money.STATEMENTS,
    m006_days.STATEMENTS,
)

__all__ = ["MIGRATIONS"]
