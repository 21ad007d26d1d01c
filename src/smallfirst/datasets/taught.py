"""What larger models have taught a dataset: its next versions take it over, for the sources that they are made from do not have it.

It stays in train, bound to what it was bound to. What was erased, or may no longer be trained on, does not come along.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from smallfirst.datasets.erased import is_forgotten
from smallfirst.datasets.example import BY_PEOPLE, Example
from smallfirst.datasets.held import Shelf
from smallfirst.datasets.redaction import Redactor
from smallfirst.datasets.reference import NoReferenceError
from smallfirst.datasets.row import Row, Tally
from smallfirst.datasets.store import Dataset
from smallfirst.errors import BadRequest

FORGOTTEN = "taught examples of calls that were erased"
FORBIDDEN = "taught examples of a provider that learning.never_train_on names now"
UNMET = "taught examples that are not as the contract says now"


def take_over(
    shelf: Shelf,
    parent: Dataset,
    *,
    forbidden: frozenset[str],
    forgotten: frozenset[bytes],
    redactor: Redactor,
    tally: Tally,
) -> Counter[str]:
    """Puts the parent's taught examples on the shelf, and counts them by source. `forgotten`: tombstones of erased calls."""
    keys = {member.id: member.keys for member in parent.members()}
    sources: Counter[str] = Counter()
    for example in _taught(parent):
        lineage = example.lineage
        if is_forgotten(lineage.calls, forgotten):
            tally.skip(FORGOTTEN)
        elif is_forbidden(example, forbidden):
            tally.skip(FORBIDDEN)
        else:
            try:
                shelf.put(redactor.redact(_row(example)))
            except (NoReferenceError, BadRequest):
                tally.skip(UNMET)
                continue
            one = shelf.held[-1]
            one.keys = tuple(dict.fromkeys((*one.keys, *keys[example.id][1:])))
            sources[lineage.source] += 1
    return sources


def is_forbidden(example: Example, forbidden: frozenset[str]) -> bool:
    """Whether nothing may be trained on the example, for a provider's output is what it teaches."""
    lineage = example.lineage
    return lineage.provider in forbidden and not (lineage.reference_by in BY_PEOPLE and not lineage.provider)


def _taught(parent: Dataset) -> Iterator[Example]:
    return (example for example in parent.examples("train") if example.lineage.taught)


def _row(example: Example) -> Row:
    lineage = example.lineage
    return Row(
        messages=example.messages,
        tools=example.tools,
        where=f"example {example.id}",
        source=lineage.source,
        reference=example.reference,
        id=example.id,
        line=lineage.line,
        tenant=example.tenant,
        at_ms=example.at_ms,
        slices=example.slices,
        synthetic=example.synthetic,
        split="train",
        call=lineage.call,
        after=lineage.after,
        reference_by=lineage.reference_by,
        provider=lineage.provider,
        simulated=lineage.simulated,
        taught=True,
    )
