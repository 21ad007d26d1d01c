"""What is written as TOML reads back as the same."""

from __future__ import annotations

import datetime
import tomllib
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.config import toml_text

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    texts | st.integers() | st.booleans() | st.dates() | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(texts, values, max_size=4))
def test_reads_back_as_it_was(data: dict[str, Any]) -> None:
    assert tomllib.loads(toml_text.write(data), parse_float=Decimal) == data


@given(st.floats(allow_nan=False))
def test_floats_read_back_as_they_were(number: float) -> None:
    assert tomllib.loads(toml_text.write({"x": number})) == {"x": number}


def test_is_laid_out_for_people() -> None:
    data = {
        "frontier": "m",
        "models": {
            "openai/m": {
                "provider": "p",
                "prices": [{"since": datetime.date(2026, 7, 1), "input": Decimal("2.50")}],
            }
        },
        "tenants": {"t": {}},
    }
    assert toml_text.write(data) == (
        'frontier = "m"\n\n[models."openai/m"]\nprovider = "p"\n\n'
        '[[models."openai/m".prices]]\nsince = 2026-07-01\ninput = 2.50\n\n[tenants.t]\n'
    )


def test_what_toml_does_not_have_is_refused() -> None:
    with pytest.raises(TypeError, match="TOML has no NoneType"):
        toml_text.write({"x": None})
