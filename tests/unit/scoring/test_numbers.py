"""Numbers as people write them."""

from decimal import Decimal

import pytest

from smallfirst.scoring.numbers import close, last_number, number_of


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", "7"),
        ("-4 degrees", "-4"),
        ("−4", "-4"),
        ("it's 3.50.", "3.50"),
        ("1,234", "1234"),
        ("1,234,567.8", "1234567.8"),
        ("1.234.567", "1234567"),
        ("1.234.567,8", "1234567.8"),
        ("1,5", "1.5"),
        ("1.234", "1.234"),
        ("12 345,67 €", "12345.67"),
        ("1'000'000 CHF", "1000000"),
        ("$1,200.50", "1200.50"),
        ("-$3", "-3"),
        ("20%", "20"),
        ("1e6", "1e6"),
        ("6.02E23 atoms", "6.02e23"),
        ("three, or 4 of 5 apples", "5"),
        ("x86 or v2", None),
        ("none", None),
        ("", None),
        ("10-20", "20"),
    ],
)
def test_the_last_number(text, number):
    assert last_number(text) == (None if number is None else Decimal(number))


def test_numbers_of_json():
    assert number_of(3) == 3
    assert number_of(0.1) == Decimal("0.1")
    assert number_of("5 kg") == 5
    assert [number_of(value) for value in (True, None, [], float("inf"))] == [None] * 4


def test_close_is_relative_to_the_truth():
    assert close(Decimal(99), Decimal(100), 0.01)
    assert not close(Decimal(98), Decimal(100), 0.01)
    assert close(Decimal(0), Decimal(0), 0.0)
    assert not close(Decimal("0.001"), Decimal(0), 0.5)
