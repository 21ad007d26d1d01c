"""Calls as they come: from the ledger, or from whatever wrote a log."""

from smallfirst.planning.assess.reading.columns import Columns
from smallfirst.planning.assess.reading.files import read_logs
from smallfirst.planning.assess.reading.ledger_calls import ledger_calls

__all__ = ["Columns", "ledger_calls", "read_logs"]
