"""Datasets made in a few lines, for tests that need one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from smallfirst.contracts import Contract, LabelContract
from smallfirst.datasets.build import Order, Result, build
from smallfirst.datasets.manifest import Rule
from smallfirst.datasets.redaction import Redactor
from smallfirst.datasets.row import Row, Tally
from smallfirst.datasets.store import Dataset, Datasets

LABELS = LabelContract(("billing", "bug", "how-to"))
ALL_KINDS = ("email", "phone", "iban", "credit-card", "ip", "ssn")
AT_MS = 1_780_000_000_000


def row(text: str, reference: Any = "bug", **fields: Any) -> Row:
    """A plain row."""
    defaults: dict[str, Any] = {"where": "a test", "source": "test.jsonl"}
    return Row(messages=[{"role": "user", "content": text}], reference=reference, **(defaults | fields))


def make(
    state: Path,
    rows: Iterable[Row],
    *,
    contract: Contract = LABELS,
    rule: Rule = Rule(),
    kinds: tuple[str, ...] = ALL_KINDS,
    parent: Dataset | None = None,
    forbidden: frozenset[str] = frozenset(),
    tally: Tally | None = None,
    task: str = "triage",
) -> Result:
    return build(
        rows,
        Order(task=task, contract=contract, rule=rule, forbidden=forbidden),
        Datasets(state),
        redactor=Redactor(kinds),
        tally=tally or Tally(),
        parent=parent,
    )


def part_by_text(dataset: Dataset) -> dict[str, str]:
    """Hashes of texts to the part in which they stand."""
    return {member.keys[0]: member.part for member in dataset.members()}
