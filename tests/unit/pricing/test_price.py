"""One model's price: what a usage costs, of which parts, and at most."""

import datetime
import itertools
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.chat import Usage
from smallfirst.money import fusd_per_token, nusd_from_fusd
from smallfirst.pricing import LengthTier, Price, Rates, staleness

FIELDS = msgspec.structs.fields(Usage)
TOKENS = st.integers(0, 10**7)
RATE = st.integers(0, 10**12)
USAGES = st.builds(Usage, **{field.name: TOKENS for field in FIELDS})
RATES = dict.fromkeys(
    (
        "input",
        "output",
        "cache_read",
        "cache_write",
        "cache_write_1h",
        "input_audio",
        "reasoning",
        "output_audio",
    ),
    RATE,
)


@st.composite
def prices(draw: st.DrawFn) -> Price:
    lengths = sorted(draw(st.sets(st.integers(1, 2 * 10**7), max_size=3)))
    tiers = tuple(draw(st.builds(LengthTier, above_tokens=st.just(length), **RATES)) for length in lengths)
    return draw(st.builds(Price, version=st.just("test"), per_call_fusd=RATE, tiers=st.just(tiers), **RATES))


def _growing(price: Price) -> bool:
    steps: tuple[Rates, ...] = (price, *price.tiers)
    return all(
        getattr(short, name) <= getattr(long, name)
        for short, long in itertools.pairwise(steps)
        for name in RATES
    )


@given(prices(), USAGES)
def test_the_parts_add_up_to_the_total(price: Price, usage: Usage) -> None:
    parts = price.parts_fusd(usage)
    assert nusd_from_fusd(sum(parts.values())) == price.cost_nusd(usage)
    assert len(parts) == len(FIELDS) + 1


@given(prices().filter(_growing), USAGES, st.sampled_from([field.name for field in FIELDS]), TOKENS)
def test_more_tokens_of_any_class_never_cost_less(price: Price, usage: Usage, field: str, more: int) -> None:
    grown = msgspec.structs.replace(usage, **{field: getattr(usage, field) + more})
    assert price.cost_nusd(grown) >= price.cost_nusd(usage)


@given(prices(), USAGES, TOKENS, TOKENS)
def test_no_split_costs_more_than_the_worst_case(price: Price, usage: Usage, read: int, written: int) -> None:
    at_most = price.worst_case_nusd(usage.prompt_tokens + read, usage.completion_tokens + written)
    assert at_most >= price.cost_nusd(usage)


@given(RATE, RATE, st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_worst_case_is_reached_where_all_classes_cost_the_same(
    read: int, written: int, prompt: int, answer: int
) -> None:
    price = Price(input=read, output=written, version="test")
    assert price.worst_case_nusd(prompt, answer) == price.cost_nusd(
        Usage(input_tokens=prompt, output_tokens=answer)
    )


@pytest.mark.parametrize(("tokens", "nusd"), [(1, 38), (2, 75), (3, 112), (4, 150), (5, 188)])
def test_a_half_nano_dollar_is_rounded_to_even_once(tokens: int, nusd: int) -> None:
    price = Price(input=fusd_per_token(Decimal("0.0375")), output=0, version="test")
    assert price.cost_nusd(Usage(input_tokens=tokens)) == nusd


def test_an_attempt_is_rounded_once_and_not_class_by_class() -> None:
    price = Price(input=500_000, output=500_000, version="test")
    assert price.cost_nusd(Usage(input_tokens=3, output_tokens=3)) == 3  # by class: 2 + 2


def test_a_class_without_a_price_costs_as_its_parent() -> None:
    price = Price(input=10, output=70, version="test")
    assert (price.cache_read, price.cache_write, price.cache_write_1h, price.input_audio) == (10, 10, 10, 10)
    assert (price.reasoning, price.output_audio) == (70, 70)
    assert Price(input=10, output=70, cache_write=12, version="test").cache_write_1h == 12
    assert Price(input=10, output=70, cache_read=0, version="test").cache_read == 0


def test_a_length_tier_applies_to_all_tokens_and_counts_cached_ones() -> None:
    price = Price(
        input=1_000_000,
        output=5_000_000,
        tiers=(LengthTier(input=2_000_000, output=7_000_000, above_tokens=100),),
        version="test",
    )
    assert price.cost_nusd(Usage(input_tokens=90, cache_read_tokens=10, output_tokens=1)) == 105
    assert price.cost_nusd(Usage(input_tokens=90, cache_read_tokens=11, output_tokens=1)) == 209
    assert (
        price.cost_nusd(Usage(input_tokens=1, output_tokens=1000)) == 5001
    )  # an answer makes no prompt longer


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": -1},
        {"cache_read": -2},
        {"per_call_fusd": -1},
        {
            "tiers": (
                LengthTier(input=1, output=1, above_tokens=5),
                LengthTier(input=1, output=1, above_tokens=5),
            )
        },
    ],
)
def test_what_cannot_be_a_price_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"negative|in order"):
        Price(**({"input": 1, "output": 1, "version": "test"} | wrong))  # pyright: ignore[reportArgumentType]


def test_a_price_is_stale_ninety_days_after_its_table() -> None:
    day = datetime.date(2026, 1, 1)
    price = Price(input=1, output=1, version="table-1/x", checked=day)
    assert staleness(price, day + datetime.timedelta(days=90)) is None
    warning = staleness(price, day + datetime.timedelta(days=91))
    assert warning is not None
    assert "table-1/x" in warning
    assert "2026-01-01, 91 days ago" in warning


def test_the_users_own_price_is_never_stale() -> None:
    price = Price(input=1, output=1, version="config/x@2020-01-01", effective=datetime.date(2020, 1, 1))
    assert staleness(price, datetime.date(2026, 1, 1)) is None
