"""What a source says of one example, before anything was redacted, read by a contract, or stored."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from msgspec import UNSET

from smallfirst.datasets.example import Split
from smallfirst.errors import DatasetError

_SHOWN_REASONS = 3


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """`reference` is what a person or a file gave; where that is UNSET, `answer` is the text of the model whose word is the reference.

    `keys` name what it belongs to (a conversation, a user): rows that share one never straddle splits. `where` is for messages.
    """

    messages: list[dict[str, Any]]
    where: str
    source: str
    reference: Any = UNSET
    answer: str = ""
    id: str = ""
    line: int = 0
    tools: list[dict[str, Any]] | None = None
    keys: tuple[str, ...] = ()
    tenant: str = ""
    at_ms: int = 0
    slices: dict[str, str] = {}
    synthetic: bool = False
    trainable: bool = True
    split: Split | None = None
    call: str = ""
    after: tuple[str, ...] = ()  # calls that a model was shown when it wrote this
    said: str = ""  # the ledger's call whose answer `answer` is, where that is not `call`
    reference_by: str = "gold"
    provider: str = ""
    simulated: bool = False  # that provider only pretended, whatever the configuration says of it now
    taught: bool = False


class Tally:
    """What could not be used, and why. `skip_bad`: rows that are wrong are counted too, instead of ending the work."""

    def __init__(self, *, skip_bad: bool = False) -> None:
        self.skipped: Counter[str] = Counter()
        self.noted: Counter[str] = Counter()
        self.read = 0
        self._skip_bad = skip_bad

    def skip(self, why: str) -> None:
        """Counts a row that is in order but of no use here."""
        self.skipped[why] += 1

    def note(self, what: str) -> None:
        """Counts a row that is used, but for something in it that could not be."""
        self.noted[what] += 1

    def bad(self, where: str, what: str) -> None:
        """A row that is wrong. Raises `DatasetError` with its place, unless such rows are to be skipped."""
        if not self._skip_bad:
            raise DatasetError(f"{where}: {what}; --skip-bad leaves such rows out and counts them")
        self.skipped[f"malformed: {what[:120]}"] += 1

    def reasons(self) -> str:
        """The commonest reasons, in one line."""
        common = self.skipped.most_common(_SHOWN_REASONS)
        rest = sum(self.skipped.values()) - sum(count for _, count in common)
        told = [f"{count:,} {why}" for why, count in common] + ([f"{rest:,} others"] if rest else [])
        return "; ".join(told)
