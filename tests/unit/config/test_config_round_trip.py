"""What is written is what is read, and whatever is written is answered by a configuration or a sentence."""

from __future__ import annotations

import datetime
import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.config import Config, shape, toml_text
from smallfirst.config.load import parse

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,12}", fullmatch=True)
# Half of a surrogate pair is no text in UTF-8.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
sums = st.decimals(0, 10**6, places=9)
budgets = st.fixed_dictionaries({}, optional={"usd_per_day": sums | sums.map(str) | st.integers(0, 10**6)})
days = st.dates(datetime.date(2000, 1, 1)) | st.dates(datetime.date(2000, 1, 1)).map(str)
prices = st.fixed_dictionaries(
    {"since": days, "input": sums, "output": sums}, optional={"cache_read": sums, "note": texts}
)
rungs = names | st.fixed_dictionaries(
    {"model": names},
    optional={
        "instructions": texts,
        "sample": st.floats(0, 1),
        "temperature": st.floats(0, 2),
        "max_tokens": st.integers(1, 9999),
    },
)
json_values = st.recursive(
    texts | st.integers(-(2**53), 2**53) | st.booleans() | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
contracts = (
    st.fixed_dictionaries(
        {"type": st.just("label"), "labels": st.lists(texts, max_size=3)},
        optional={"allow_empty": st.booleans()},
    )
    | st.fixed_dictionaries(
        {"type": st.just("json"), "schema": st.dictionaries(texts, json_values, max_size=3)}
    )
    | st.fixed_dictionaries({"type": st.just("text")}, optional={"max_chars": st.integers(1, 999)})
)
files = st.fixed_dictionaries(
    {},
    optional={
        "server": st.fixed_dictionaries(
            {}, optional={"host": texts, "port": st.integers(0, 65535), "drain_s": st.floats(0.1, 99)}
        ),
        "providers": st.dictionaries(
            names,
            st.fixed_dictionaries(
                {},
                optional={
                    "kind": st.sampled_from(["openai", "anthropic", "azure", "embedded", "head"]),
                    "api_key": st.from_regex(r"env:[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True),
                    "headers": st.dictionaries(texts, texts, max_size=2),
                    "accepts": st.lists(texts, max_size=3),
                },
            ),
            max_size=2,
        ),
        "models": st.dictionaries(
            names,
            st.fixed_dictionaries(
                {"provider": names}, optional={"prices": st.lists(prices, max_size=2), "hourly_usd": sums}
            ),
            max_size=2,
        ),
        "aliases": st.dictionaries(names, texts, max_size=2),
        "tenants": st.dictionaries(
            names, st.fixed_dictionaries({}, optional={"budget": budgets}), max_size=2
        ),
        "tasks": st.dictionaries(
            names,
            st.fixed_dictionaries(
                {"ladder": st.lists(rungs, max_size=3)},
                optional={"contract": contracts, "margin": st.floats(0, 1)},
            ),
            max_size=2,
        ),
        "routing": st.fixed_dictionaries(
            {}, optional={"auto": st.lists(texts, max_size=2), "unclassified": names, "intents": texts}
        ),
        "relay": st.lists(st.fixed_dictionaries({"prefix": texts, "provider": names}), max_size=2),
        "frontier": names,
    },
)


@given(files)
def test_a_file_means_what_was_written(data: dict[str, Any]) -> None:
    """TOML text of a configuration is read as what msgspec makes of the configuration itself."""
    expected = msgspec.convert(_as_msgspec_has_it(data), Config)
    assert parse(toml_text.write(data)) == expected


def _as_msgspec_has_it(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_msgspec_has_it(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_msgspec_has_it(item) for item in value]
    return value.isoformat() if isinstance(value, datetime.date) else value


anything = st.recursive(
    st.none()
    | texts
    | st.integers(-5, 99999)
    | st.booleans()
    | st.decimals(-9, 9, places=2)
    | names
    | st.just("env:A"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
    max_leaves=4,
).filter(lambda value: value is not None)


@given(files, st.data())
def test_what_passes_the_shape_is_accepted_by_msgspec(data: dict[str, Any], choices: st.DataObject) -> None:
    """Anything put anywhere: either a sentence about it, or a configuration.

    Never an exception of another kind.
    """
    damaged = json.loads(msgspec.json.encode(data))
    table = damaged
    while isinstance(table, dict) and table:
        key = choices.draw(st.sampled_from(sorted(table)))
        if not isinstance(table[key], dict) or choices.draw(st.booleans()):
            table[key] = choices.draw(anything.filter(lambda value: "None" not in repr(value)))
            break
        table = table[key]
    cleaned, problems = shape.read(damaged)
    if not problems:
        assert isinstance(msgspec.convert(cleaned, Config), Config)
    else:
        assert all(problem.path and problem.message for problem in problems)


@given(
    st.sampled_from([field for field in Config.__struct_fields__ if field not in ("relay", "frontier")]),
    st.data(),
)
def test_a_slip_of_the_keyboard_is_answered_with_the_name_that_was_meant(
    field: str, choices: st.DataObject
) -> None:
    at = choices.draw(st.integers(0, len(field) - 1))
    slip = field[:at] + field[at + 1 :]
    _, problems = shape.read({slip: {}})
    assert [str(problem) for problem in problems] == [f'{slip}: unknown field; did you mean "{field}"?']
