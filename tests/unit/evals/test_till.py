"""What a run may spend: set aside before, spent after, never more than the cap."""

from __future__ import annotations

import asyncio
import random

import pytest
from support.ledger import attempt

from smallfirst.chat import Usage
from smallfirst.evals.till import Till


@pytest.mark.parametrize("seed", range(5))
async def test_however_many_ask_at_once_the_cap_holds(seed: int) -> None:
    chance, till = random.Random(seed), Till(10_000)
    admitted = refused = 0

    async def one() -> None:
        nonlocal admitted, refused
        most = chance.randint(1, 2000)
        if not await till.admit(most):
            refused += 1
            return
        admitted += 1
        await asyncio.sleep(0)
        till.spend(attempt(cost_nusd=chance.randint(0, most)))
        assert till.spent_nusd <= 10_000
        await till.close(most)

    await asyncio.gather(*(one() for _ in range(100)))
    assert admitted
    assert refused
    assert till.spent_nusd <= 10_000


async def test_who_waits_is_let_in_when_another_cost_less_than_feared() -> None:
    till = Till(100)
    assert await till.admit(80)
    waiting = asyncio.create_task(till.admit(50))
    await asyncio.sleep(0)
    assert not waiting.done()
    till.spend(attempt(cost_nusd=10))
    await till.close(80)
    assert await waiting
    assert not await asyncio.wait_for(asyncio.create_task(_late(till)), 1)


async def _late(till: Till) -> bool:
    """Asks for more than is left, once nobody is under way."""
    await till.close(50)
    return await till.admit(95)


async def test_without_a_cap_it_only_counts() -> None:
    till = Till()
    assert await till.admit(10**15)
    till.spend(attempt(cost_nusd=None))
    till.spend(attempt(cost_nusd=7, usage=Usage(output_tokens=5000)))
    assert (till.spent_nusd, till.unknown) == (7, 1)
    assert till.output_tokens("frontier") == 10_000
