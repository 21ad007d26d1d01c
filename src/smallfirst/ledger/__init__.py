"""What happened, kept: calls, attempts, what they cost, and what was later learned of them."""

from smallfirst.ledger.erasure import Erased, Erasure, erase
from smallfirst.ledger.journal import Journal
from smallfirst.ledger.keys import StoredKey, hash_key, keys_changed, load_keys
from smallfirst.ledger.ledger import Ledger, LedgerView, open_keys
from smallfirst.ledger.notes import Notes
from smallfirst.ledger.queries import Filter, Queries
from smallfirst.ledger.reports import Reports, Span

__all__ = [
    "Erased",
    "Erasure",
    "Filter",
    "Journal",
    "Ledger",
    "LedgerView",
    "Notes",
    "Queries",
    "Reports",
    "Span",
    "StoredKey",
    "erase",
    "hash_key",
    "keys_changed",
    "load_keys",
    "open_keys",
]
