"""No two calls have one key: `python -m benchmarks.cache_keys` in small (100,000 mutants and a million look-ups there)."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from benchmarks import cache_keys
from smallfirst.cache.key import Keyed, NoKey, key_of
from smallfirst.wire.incoming import Incoming

VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('ab \\"/é', max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
HEAD = '"model":"m","messages":[{"role":"user","content":"hi"}]'


def found(data: bytes) -> Keyed | NoKey:
    return key_of(Incoming("chat", data), tenant="t", task="k", policy="p", model="m", ignore=frozenset())


def exact(value: str) -> bytes:
    keyed = found(f'{{{HEAD},"x":{value}}}'.encode())
    assert isinstance(keyed, Keyed)
    return keyed.exact


def test_mutated_calls_never_have_the_key_of_the_call() -> None:
    counted = cache_keys.mutants(25_000)
    assert (counted.drawn, counted.crossings, counted.missed) == (25_000, 0, 0)
    assert counted.drawn / 2 < counted.calls < counted.drawn


def test_adversarial_look_ups_never_cross() -> None:
    counted = cache_keys.lookups(30_000)
    assert (counted.crossings, counted.missed) == (0, 0)
    assert counted.calls < counted.drawn


@given(VALUE, VALUE)
def test_two_values_have_one_key_only_if_they_are_one_text(one: Any, other: Any) -> None:
    texts = [json.dumps(value, sort_keys=True) for value in (one, other)]
    assert (exact(texts[0]) == exact(texts[1])) is (texts[0] == texts[1])


@given(VALUE, st.booleans(), st.sampled_from([None, 1, "\t"]), st.booleans())
def test_the_writing_is_never_in_the_key(value: Any, ascii_only: bool, indent: Any, turned: bool) -> None:
    def turn(one: Any) -> Any:
        if isinstance(one, list):
            return [turn(item) for item in one]
        return {name: turn(one[name]) for name in reversed(one)} if isinstance(one, dict) else one

    other = json.dumps(turn(value) if turned else value, ensure_ascii=ascii_only, indent=indent)
    assert exact(other) == exact(json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def _twice(value: Any, text: str, name: str) -> str:
    """The value as JSON, with a name given twice in its innermost first object, or around it."""
    return f'{{{json.dumps(name)}:{text},"y":{json.dumps(value)},{json.dumps(name)}:{json.dumps(value)}}}'


@given(VALUE, VALUE, st.text('ab \\"/é', max_size=3).filter(lambda name: name != "y"), st.integers(0, 3))
def test_a_name_given_twice_is_found_at_any_depth(value: Any, other: Any, name: str, depth: int) -> None:
    text = _twice(value, json.dumps(other), name)
    for _ in range(depth):
        text = f'[{{"z":{text}}}]'
    assert isinstance(found(f'{{{HEAD},"x":{text}}}'.encode()), NoKey)
