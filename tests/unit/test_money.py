"""Nano-dollars: exact per token, rounded once, half to even."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.money import format_usd, fusd_per_token, nusd_from_fusd, nusd_from_usd, usd_from_nusd


@pytest.mark.parametrize(
    ("usd_per_million", "fusd"),
    [("3", 3_000_000_000), ("0.0375", 37_500_000), ("0.000000001", 1), ("0", 0)],
)
def test_a_quotation_is_held_exactly(usd_per_million: str, fusd: int) -> None:
    assert fusd_per_token(Decimal(usd_per_million)) == fusd


@pytest.mark.parametrize("wrong", ["-1", "NaN", "Infinity", "0.0000000001"])
def test_a_quotation_that_cannot_be_held_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="price"):
        fusd_per_token(Decimal(wrong))


@pytest.mark.parametrize(
    ("fusd", "nusd"),
    [
        (37_500_000, 38),
        (112_500_000, 112),
        (500_000, 0),
        (1_500_000, 2),
        (500_001, 1),
        (499_999, 0),
        (2_500_000, 2),
    ],
)
def test_rounding_is_half_to_even(fusd: int, nusd: int) -> None:
    assert nusd_from_fusd(fusd) == nusd


@given(st.integers(min_value=0, max_value=10**30))
def test_rounding_agrees_with_decimal(fusd: int) -> None:
    assert nusd_from_fusd(fusd) == int(Decimal(fusd).scaleb(-6).to_integral_value(rounding="ROUND_HALF_EVEN"))


def test_dollars_and_back() -> None:
    assert nusd_from_usd(Decimal("1.000000001")) == 1_000_000_001
    assert usd_from_nusd(1_000_000_001) == Decimal("1.000000001")
    with pytest.raises(ValueError, match="nano"):
        nusd_from_usd(Decimal("0.0000000001"))


@pytest.mark.parametrize(
    ("nusd", "text"),
    [
        (None, "unknown"),
        (0, "$0"),
        (1, "$0.000000001"),
        (5_400_000, "$0.005400"),
        (1_234_567_890_123, "$1,234.57"),
        (-2_000_000_000, "-$2.00"),
    ],
)
def test_people_see(nusd: int | None, text: str) -> None:
    assert format_usd(nusd) == text
