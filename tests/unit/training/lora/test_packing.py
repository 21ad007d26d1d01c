"""Which examples are computed together."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.training.lora.packing import BatchPlan, Packing, plan_epoch, shared_tokens
from smallfirst.training.lora.rendering import Rendered


def row(ids: list[int], supervised: int = 1) -> Rendered:
    return Rendered(id="", ids=ids, supervised_from=len(ids) - supervised, prompt_sha256="")


def rows_of(lengths: list[int], shared: int = 0) -> list[Rendered]:
    return [row(list(range(shared)) + [100 + at] * (length - shared)) for at, length in enumerate(lengths)]


def width(plan: BatchPlan, rows: list[Rendered], packing: Packing) -> int:
    shared = packing.shared_tokens if packing.row_tokens else 0
    return max(shared + sum(len(rows[at].ids) - shared for at in one) for one in plan.rows)


packings = st.builds(
    Packing,
    batch_tokens=st.integers(1, 300),
    batch_examples=st.integers(1, 9),
    row_tokens=st.sampled_from([0, 40, 200]),
    shared_tokens=st.integers(0, 6),
)


@given(st.lists(st.integers(8, 60), min_size=1, max_size=80), packings, st.integers(0, 5), st.integers(0, 5))
def test_every_example_is_computed_once_an_epoch_and_no_bound_is_passed(
    lengths: list[int], packing: Packing, seed: int, epoch: int
) -> None:
    rows = rows_of(lengths, packing.shared_tokens)
    plans = plan_epoch(rows, packing, seed=seed, epoch=epoch)
    found = sorted(itertools.chain.from_iterable(one for plan in plans for one in plan.rows))
    assert found == list(range(len(rows)))
    for plan in plans:
        assert plan.examples <= packing.batch_examples
        wide = width(plan, rows, packing)
        assert plan.examples == 1 or wide * len(plan.rows) <= packing.batch_tokens
        if packing.row_tokens:
            assert all(len(one) == 1 for one in plan.rows) or wide <= max(packing.row_tokens, *lengths)
        else:
            assert all(len(one) == 1 for one in plan.rows)


@pytest.mark.parametrize("row_tokens", [0, 64])
def test_an_epochs_order_is_of_seed_and_epoch_alone(row_tokens: int) -> None:
    rows = rows_of([random.Random(at).randint(8, 30) for at in range(60)])
    packing = Packing(batch_tokens=128, batch_examples=4, row_tokens=row_tokens)
    first = plan_epoch(rows, packing, seed=1, epoch=0)
    assert plan_epoch(rows, packing, seed=1, epoch=0) == first
    assert plan_epoch(rows, packing, seed=1, epoch=1) != first
    assert plan_epoch(rows, packing, seed=2, epoch=0) != first


def test_rows_of_about_one_length_stand_together() -> None:
    shuffled = random.Random(1)
    rows = rows_of([shuffled.randint(8, 200) for _ in range(512)])
    packing = Packing(batch_tokens=10_000, batch_examples=8)
    plans = plan_epoch(rows, packing, seed=1, epoch=0)
    computed = sum(width(plan, rows, packing) * plan.examples for plan in plans)
    assert computed < 1.1 * sum(len(one.ids) for one in rows)


def test_what_prompts_share_never_takes_the_token_off_which_the_answer_is_read() -> None:
    assert shared_tokens([row([1, 2, 3, 4, 5, 6, 9]), row([1, 2, 3, 4, 5, 7, 9])]) == 5
    assert shared_tokens([row([1, 2, 3, 4, 5, 6, 9]), row([1, 2, 3, 4, 5, 6, 8])]) == 5
    assert shared_tokens([row([1, 2, 3, 4, 5, 9], 1), row([1, 2, 3, 4, 5, 6, 7, 9], 3)]) == 4
    assert shared_tokens([row([1, 2, 3, 9]), row([1, 2, 3, 9])]) == 0  # so few are not worth it
