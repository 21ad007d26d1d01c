"""The provider's own account of what it did and what that costs."""

from __future__ import annotations

import csv
import io
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from .prices import Price, Usage, usd_text


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """One request as it is charged. The token classes do not overlap."""

    request_id: str
    client_request_id: str | None
    endpoint: str
    dialect: str
    model: str
    at: str
    stream: bool
    outcome: str  # ok | error | cut | cancelled
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int
    output_tokens: int
    reasoning_tokens: int
    usage_reported: bool
    cost_nusd: int


class Invoice:
    """All charges since the start or the last reset; the total is exact however many lines are kept."""

    def __init__(self, prices: Mapping[str, Price], lines_max: int, path: Path | None = None) -> None:
        self._prices = prices
        self._lines: deque[InvoiceLine] = deque(maxlen=lines_max)
        self._file = path.open("a", encoding="utf-8") if path else None
        self._count = 0
        self._total_nusd = 0

    def charge(self, usage: Usage, **facts: Any) -> InvoiceLine:
        """Add one request: its cost is computed here, from its model's price."""
        price = self._prices.get(facts["model"])
        cost_nusd = price.cost_nusd(usage) if price else 0
        line = InvoiceLine(**facts, **asdict(usage), cost_nusd=cost_nusd)
        self._lines.append(line)
        self._count += 1
        self._total_nusd += cost_nusd
        if self._file:
            self._file.write(json.dumps(asdict(line)) + "\n")
            self._file.flush()
        return line

    def clear(self) -> None:
        """Start a new invoice; the file keeps what it has."""
        self._lines.clear()
        self._count = self._total_nusd = 0

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file:
            self._file.close()

    def document(self) -> dict[str, Any]:
        """The invoice as JSON: kept lines, how many older ones were dropped, and the exact total."""
        return {
            "simulated": True,
            "lines": [asdict(line) for line in self._lines],
            "lines_dropped": self._count - len(self._lines),
            "total_nusd": self._total_nusd,
            "total_usd": usd_text(self._total_nusd),
        }

    def csv(self) -> str:
        """The kept lines as CSV with a heading."""
        text = io.StringIO()
        writer = csv.DictWriter(text, [field.name for field in fields(InvoiceLine)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(line) for line in self._lines)
        return text.getvalue()
