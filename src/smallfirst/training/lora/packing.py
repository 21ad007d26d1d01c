"""Which examples are computed together, and in which order.

Rows are padded to the longest of their batch, so examples of about one length stand together; or several examples are packed into a row,
none of which sees another (`batches.py`). Packed, the beginning that all prompts share (the system prompt, a task's instructions) is computed
once a row, and every example continues from it: the same loss, for a fraction of the work where instructions are long and texts short.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec

from smallfirst.training.lora.rendering import Rendered

_SORTED_BATCHES = (
    32  # so many batches' examples are sorted by length together: more would make every epoch's batches alike
)
ROW_TOKENS = 512  # attention is computed over a whole row, what does not see each other included: long rows cost more than padding
_LEAST_SHARED = 4


class BatchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One batch: rows of indices into the examples; of one index each where nothing is packed."""

    rows: tuple[tuple[int, ...], ...]

    @property
    def examples(self) -> int:
        return sum(len(row) for row in self.rows)


class Packing(msgspec.Struct, frozen=True, kw_only=True):
    """How examples are laid out. A batch computes at most `batch_tokens`, padding included, and `batch_examples`; a longer example stands alone.

    `row_tokens`: packed rows are at most so long; 0: one example a row. `shared_tokens`: how much of the beginning of every prompt is computed
    once a row.
    """

    batch_tokens: int
    batch_examples: int
    row_tokens: int = 0
    shared_tokens: int = 0


def shared_tokens(rows: Sequence[Rendered]) -> int:
    """How many ids all prompts begin with. At least one token of each prompt stays its own, since the answer's first is read off it."""
    first = min(rows, key=lambda row: row.prompt)
    last = max(rows, key=lambda row: row.prompt)
    most = min(row.supervised_from for row in rows) - 1
    same = next(
        (at for at, (one, other) in enumerate(zip(first.ids, last.ids, strict=False)) if one != other), most
    )
    shared = min(same, most)
    return shared if shared >= _LEAST_SHARED else 0


def plan_epoch(rows: Sequence[Rendered], packing: Packing, *, seed: int, epoch: int) -> list[BatchPlan]:
    """Every example exactly once, in an order that seed and epoch determine."""
    order = list(range(len(rows)))
    shuffled = random.Random(f"{seed} {epoch}")  # noqa: S311 (an order, no secret)
    shuffled.shuffle(order)
    plans = _packed(order, rows, packing) if packing.row_tokens else _padded(order, rows, packing)
    shuffled.shuffle(plans)
    return plans


def _padded(order: list[int], rows: Sequence[Rendered], packing: Packing) -> list[BatchPlan]:
    plans: list[BatchPlan] = []
    together = max(1, _SORTED_BATCHES * packing.batch_examples)
    for at in range(0, len(order), together):
        batch: list[int] = []
        for index in sorted(order[at : at + together], key=lambda index: -len(rows[index].ids)):
            # The first of a batch is its longest.
            longest = len(rows[batch[0]].ids) if batch else 0
            if batch and (
                len(batch) == packing.batch_examples or longest * (len(batch) + 1) > packing.batch_tokens
            ):
                plans.append(BatchPlan(rows=tuple((one,) for one in batch)))
                batch = []
            batch.append(index)
        plans.append(BatchPlan(rows=tuple((one,) for one in batch)))
    return plans


def _packed(order: list[int], rows: Sequence[Rendered], packing: Packing) -> list[BatchPlan]:
    """Examples in their order, each into the first row of its batch that has room for it."""
    plans: list[BatchPlan] = []
    batch = _Packed(packing)
    for index in order:
        if not batch.takes(index, len(rows[index].ids)):
            plans.append(batch.plan())
            batch = _Packed(packing)
            batch.takes(index, len(rows[index].ids))
    return [*plans, batch.plan()]


class _Packed:
    """A batch that is being filled."""

    def __init__(self, packing: Packing) -> None:
        self._packing = packing
        self._rows: list[list[int]] = []
        self._lengths: list[int] = []

    def takes(self, index: int, length: int) -> bool:
        """Whether there was room. The first example of a batch always has."""
        packing = self._packing
        if sum(map(len, self._rows)) >= packing.batch_examples:
            return False
        own = length - packing.shared_tokens
        for at, filled in enumerate(self._lengths):
            if filled + own <= packing.row_tokens and self._fits(max([*self._lengths, filled + own]), rows=0):
                self._rows[at].append(index)
                self._lengths[at] += own
                return True
        if self._rows and not self._fits(max([*self._lengths, length]), rows=1):
            return False
        self._rows.append([index])
        self._lengths.append(length)
        return True

    def _fits(self, longest: int, *, rows: int) -> bool:
        return longest * (len(self._rows) + rows) <= self._packing.batch_tokens

    def plan(self) -> BatchPlan:
        return BatchPlan(rows=tuple(map(tuple, self._rows)))
