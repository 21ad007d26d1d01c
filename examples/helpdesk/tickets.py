"""The helpdesk tickets: where they lie, what a row holds, and what in one does not keep to GUIDE.md.

Only the standard library, so that the data can be checked on a machine that has nothing but Python.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SPLITS = ("train", "calibration", "heldout")

CATEGORIES = (
    "billing",
    "plan-change",
    "cancellation",
    "login",
    "permissions",
    "integration",
    "api",
    "import-export",
    "bug",
    "outage",
    "shipping",
    "hardware",
    "how-to",
    "security",
    "feature-request",
    "other",
)
PRIORITIES = ("low", "normal", "high", "urgent")  # in order
CHANNELS = ("email", "form", "chat", "phone")
PRODUCTS = ("Core", "Scan", "Connect", "Insight", "API", "S2 Scanner", "L4 Printer", "Dock")
FIELDS = ("customer", "contact", "product", "order_id", "invoice_id", "error_code")
SUMMARY_WORDS_MAX = 18

_SHAPES = {"order_id": r"QS-\d{5}", "invoice_id": r"INV-\d{6}"}
_KEYS = {"id", "channel", "input", "category", "priority", "record", "summary"}

Row = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSONL file, in its order; `ValueError` where a line is not JSON."""
    with path.open(encoding="utf-8") as lines:  # not splitlines: it would also cut at U+2028 inside a ticket
        return [json.loads(line) for line in lines]


def read_splits(folder: Path = HERE) -> dict[str, list[Row]]:
    """Every ticket by split."""
    return {split: read_rows(folder / f"{split}.jsonl") for split in SPLITS}


def write_rows(path: Path, rows: list[Row]) -> None:
    """One compact JSON object a line, as UTF-8."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def ticket_id(text: str) -> str:
    """The id of the ticket with this text: the start of its SHA-256, so that an altered text shows."""
    return "hd-" + hashlib.sha256(text.encode()).hexdigest()[:10]


def problems(row: Row) -> Iterator[str]:
    """What in a row breaks the guide, as far as a machine can tell; nothing if it is valid."""
    if not _KEYS <= row.keys() <= _KEYS | {"ambiguous"}:
        yield f"fields are {sorted(row)}"
        return
    if not isinstance(row["input"], str) or not isinstance(row["summary"], str):
        yield "input and summary are strings"
        return
    if row["id"] != ticket_id(row["input"]):
        yield f"id is {row['id']!r}, and its text says {ticket_id(row['input'])!r}"
    if "ambiguous" in row and row["ambiguous"] is not True:
        yield "ambiguous is true or absent"
    for name, allowed in (("category", CATEGORIES), ("priority", PRIORITIES), ("channel", CHANNELS)):
        if row[name] not in allowed:
            yield f"{name} is {row[name]!r}"
    for name in ("input", "summary"):
        if not row[name] or row[name] != row[name].strip():
            yield f"{name} is empty or has blank space around it"
    if len(row["summary"].split()) > SUMMARY_WORDS_MAX or "\n" in row["summary"]:
        yield f"summary is longer than {SUMMARY_WORDS_MAX} words or one line"
    yield from record_problems(row["record"], row["input"])


def record_problems(record: Any, text: str) -> Iterator[str]:
    """What in an extraction record is wrong: its fields, its shapes, and what is not in its ticket."""
    if not isinstance(record, dict) or tuple(record) != FIELDS:
        yield f"record has other fields than {', '.join(FIELDS)}"
        return
    if record["product"] not in (*PRODUCTS, None):
        yield f"product is {record['product']!r}"
    for name in ("order_id", "invoice_id"):
        if record[name] is not None and not re.fullmatch(_SHAPES[name], record[name]):
            yield f"{name} is {record[name]!r}"
    for name in ("customer", "contact", "error_code"):
        value = record[name]
        if value is not None and (not value or value not in text):
            yield f"{name} {value!r} is not in the ticket"
