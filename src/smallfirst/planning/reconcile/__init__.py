"""A provider's own account against the ledger: do they say the same; if not, which calls."""

from smallfirst.planning.reconcile.reconcile import Asked, reconcile
from smallfirst.planning.reconcile.result import MEANINGS, Cause, Differing, Reconciliation

__all__ = ["MEANINGS", "Asked", "Cause", "Differing", "Reconciliation", "reconcile"]
