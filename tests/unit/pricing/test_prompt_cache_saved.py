"""What a provider's prompt cache saved of one attempt: against sums done by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.chat import Usage
from smallfirst.money import fusd_per_token
from smallfirst.pricing.price import LengthTier, Price


def price(**dollars: str) -> Price:
    return Price(version="t", **{name: fusd_per_token(Decimal(usd)) for name, usd in dollars.items()})


SONNET = price(input="3", output="15", cache_read="0.30", cache_write="3.75", cache_write_1h="6")


@pytest.mark.parametrize(
    ("usage", "saved_nusd"),
    [
        (Usage(input_tokens=800, output_tokens=200), 0),
        (Usage(cache_read_tokens=1000), 2_700_000),  # 1,000 · ($3 − $0.30) a million
        (Usage(cache_write_tokens=1000), -750_000),
        (Usage(cache_write_1h_tokens=1000), -3_000_000),
        (Usage(100, 1000, 1000, 1000, 0, 50), 2_700_000 - 750_000 - 3_000_000),
    ],
)
def test_it_is_the_plain_input_price_less_what_the_cached_tokens_cost(usage, saved_nusd):
    assert SONNET.prompt_cache_saved_nusd(usage) == saved_nusd


def test_where_a_cached_token_costs_as_any_other_nothing_is_saved():
    assert price(input="3", output="15").prompt_cache_saved_nusd(Usage(cache_read_tokens=999)) == 0


def test_audio_stays_audio():
    spoken = price(input="3", output="15", cache_read="0.30", input_audio="40")
    assert spoken.prompt_cache_saved_nusd(Usage(cache_read_tokens=10, input_audio_tokens=10)) == 27_000


def test_a_long_prompt_is_compared_at_its_own_tier():
    long = LengthTier(
        above_tokens=1000,
        input=fusd_per_token(Decimal(6)),
        output=fusd_per_token(Decimal(20)),
        cache_read=fusd_per_token(Decimal("0.6")),
    )
    tiered = Price(version="t", input=3 * 10**9, output=15 * 10**9, cache_read=3 * 10**8, tiers=(long,))
    assert tiered.prompt_cache_saved_nusd(Usage(input_tokens=1, cache_read_tokens=1000)) == 1000 * 5400


_tokens = st.integers(0, 10**6)


@given(
    st.builds(Usage, *[_tokens] * 8), st.integers(0, 10**10), st.integers(0, 10**10), st.integers(0, 10**10)
)
def test_paid_and_saved_are_the_full_price_to_the_nano_dollar(usage, plain, read, write):
    """Both are rounded once: their sum is the rounded cost of the same tokens, none of them cached."""
    charged = Price(version="t", input=plain, output=7, cache_read=read, cache_write=write, input_audio=11)
    cached = usage.cache_read_tokens + usage.cache_write_tokens + usage.cache_write_1h_tokens
    full = Usage(
        usage.input_tokens + cached, 0, 0, 0, *(getattr(usage, n) for n in Usage.__struct_fields__[4:])
    )
    assert charged.cost_nusd(usage) + charged.prompt_cache_saved_nusd(usage) == charged.cost_nusd(full)
