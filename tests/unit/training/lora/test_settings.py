"""What is set where nothing is said, and what is refused."""

from __future__ import annotations

import pytest

from smallfirst.errors import ConfigError
from smallfirst.training.lora.settings import Wanted, settings_for

SMALL, LARGE = 135_000_000, 8_000_000_000


def test_a_larger_base_is_tuned_at_a_lower_rate() -> None:
    rates = [
        settings_for(Wanted(), parameters=size, examples=2000, device="cpu").rate
        for size in (SMALL, 1_000_000_000, 3_000_000_000, LARGE, 70_000_000_000)
    ]
    assert rates == sorted(rates, reverse=True)
    assert len(set(rates)) == len(rates)


def test_few_examples_are_seen_more_often() -> None:
    epochs = [
        settings_for(Wanted(), parameters=SMALL, examples=examples, device="cpu").epochs
        for examples in (50, 400, 2000, 10_000, 100_000)
    ]
    assert epochs == sorted(epochs, reverse=True)
    assert (epochs[0], epochs[-1]) == (4, 2)


def test_few_examples_make_smaller_steps() -> None:
    assert settings_for(Wanted(), parameters=SMALL, examples=50, device="cpu").batch_examples < 16
    assert settings_for(Wanted(), parameters=SMALL, examples=2000, device="cpu").batch_examples == 16


def test_what_was_said_holds() -> None:
    wanted = Wanted(
        epochs=7, rate=0.5, rank=3, alpha=5, batch_examples=2, batch_tokens=99, seed=4, skip_long=True
    )
    settings = settings_for(wanted, parameters=LARGE, examples=10, device="cuda")
    for name in Wanted.__struct_fields__:
        assert getattr(settings, name) == getattr(wanted, name)


@pytest.mark.parametrize(
    ("wanted", "option"),
    [
        (Wanted(epochs=0), "--epochs"),
        (Wanted(rate=0.0), "--rate"),
        (Wanted(rate=float("nan")), "--rate"),
        (Wanted(rate=2.0), "--rate"),
        (Wanted(rank=0), "--rank"),
        (Wanted(alpha=-1), "--alpha"),
        (Wanted(batch_tokens=1), "--batch-tokens"),
        (Wanted(batch_examples=0), "--batch"),
        (Wanted(seed=-1), "--seed"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_name(wanted: Wanted, option: str) -> None:
    with pytest.raises(ConfigError, match=f"^{option}: expected"):
        settings_for(wanted, parameters=SMALL, examples=100, device="cpu")
