"""Runs that train an adapter over the tiny base, in a second or two: everything real but for the size."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from support.datasets import LABELS, make, row
from support.tickets import SAID, WHERE
from support.tiny_adapter import opened_tiny_base

from smallfirst.config.schema import Scorer as Spec
from smallfirst.datasets.manifest import Rule
from smallfirst.datasets.row import Row
from smallfirst.datasets.store import Dataset, Datasets
from smallfirst.models.adapters.adapter import AskedTold
from smallfirst.scoring import open_scorer
from smallfirst.training.lora.loop import Hooks
from smallfirst.training.lora.prepare import Order, prepare
from smallfirst.training.lora.settings import Wanted
from smallfirst.training.lora.tune import Tuned, tune

QUICK = Wanted(epochs=3, rate=0.01, rank=4, batch_examples=8, batch_tokens=512)


def ticket_rows() -> list[Row]:
    """63 tickets of three kinds."""
    return [
        row(f"{said} {where}", label)
        for label, some in SAID.items()
        for said, where in itertools.product(some, WHERE)
    ]


def dataset_of(state: Path, rows: list[Row] | None = None, **how: Any) -> Dataset:
    """A dataset of these rows, none taken for another's double; by default the tickets."""
    made = make(state, ticket_rows() if rows is None else rows, rule=Rule(near=1.0, same=1.0), **how)
    return Datasets(state).open(made.id)


def ordered(state: Path, wanted: Wanted = QUICK, **changed: Any) -> Order:
    """What is to be made of the tickets."""
    told: dict[str, Any] = {
        "state": state,
        "task": "triage",
        "contract": LABELS,
        "asked": AskedTold(default_instructions="Sort the ticket."),
        "base": opened_tiny_base(),
        "wanted": wanted,
        "scorer": open_scorer(Spec(), LABELS),
        "device": "cpu",
    }
    return Order(**(told | {"dataset": changed.pop("dataset", None) or dataset_of(state)} | changed))


def tuned(order: Order, hooks: Hooks | None = None) -> Tuned:
    """The adapter that becomes of it."""
    hooks = hooks or Hooks()
    return tune(prepare(order, hooks), hooks)
