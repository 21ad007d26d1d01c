"""Forgetting what is asked to be erased in what teachers were asked and have answered."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from smallfirst.datasets.erased import is_forgotten
from smallfirst.datasets.example import Example
from smallfirst.evals.store import RunStore, examples_hash
from smallfirst.ledger.erasure import Erasure
from smallfirst.teaching.asking import Askings


def forget_askings(state: Path, erasure: Erasure, tombstones: frozenset[bytes]) -> int:
    """Erases the questions that come from erased calls or were made of such, or of an erased tenant's, and their answers; the others stay, and are
    not paid for again. Returns how many there were. Raises `EvalError` where a run cannot be read, or is being worked on.
    """

    def meant(example: Example) -> bool:
        calls = example.lineage.calls
        if erasure.call in calls or is_forgotten(calls, tombstones):
            return True
        named = bool(calls) or (erasure.tenant is not None and erasure.call is None)
        return named and erasure.fits(call=example.lineage.call, tenant=example.tenant, at_ms=example.at_ms)

    askings, count = Askings(state), 0
    for store in askings.list():
        examples = store.examples()
        left = [example for example in examples if not meant(example)]
        if len(left) < len(examples):
            _replace(askings, store, left)
            count += len(examples) - len(left)
    for store in askings.half_gone():  # an erasure was killed
        shutil.rmtree(store.folder)
    return count


def _replace(askings: Askings, store: RunStore, examples: list[Example]) -> None:
    """A run of these examples alone stands in the run's place, with the answers that it has to them."""
    with store.appending():  # nobody else works on it
        if examples:
            told = store.manifest()
            other = askings.new(told.task)
            with other.appending() as file:
                names = {example.id for example in examples}
                for answer in store.read().values():
                    if answer.example in names:
                        file.add(answer)
            told = msgspec.structs.replace(told, examples=examples_hash(examples), count=len(examples))
            other.begin(told, examples)
        store.forget()
