"""The state of one simulator process: what it knows, sells, remembers and charges."""

from __future__ import annotations

from pathlib import Path

from .activity import Activity
from .answers import AnswerBook, read_answers
from .composer import Composer
from .connection import Connection
from .faults import FaultRules
from .invoice import Invoice
from .prices import load_prices
from .prompt_cache import PromptCache
from .settings import Settings


class Simulator:
    """Everything that requests share. ``InputError`` or ``OSError`` if a file is wrong."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.prices = load_prices(Path(settings.prices) if settings.prices else None)
        rows = read_answers(Path(settings.answers)) if settings.answers else ()
        self.composer = Composer(AnswerBook(rows, settings.tasks, settings.seed), settings)
        self.faults = FaultRules()
        self.cache = PromptCache(settings.cache_ttl_s)
        self.activity = Activity()
        invoice_path = Path(settings.invoice) if settings.invoice else None
        self.invoice = Invoice(self.prices, settings.invoice_lines_max, invoice_path)
        self.exchanges: set[Connection] = set()

    def reset(self) -> None:
        """Forget faults, caches, finished requests and charges; requests in flight go on the new invoice."""
        self.faults.clear()
        self.cache.clear()
        self.activity.clear()
        self.invoice.clear()

    def stop(self) -> None:
        """Drop every client that is still being answered."""
        for connection in list(self.exchanges):
            connection.abort()

    def close(self) -> None:
        """Close files."""
        self.invoice.close()
