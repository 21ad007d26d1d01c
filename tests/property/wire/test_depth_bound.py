"""The depth of JSON, told without decoding it, is its depth."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from smallfirst.wire.depth import deeper_than

TEXT = st.text(st.sampled_from('[]{}"\\\n\té a'), max_size=6)
NESTED = st.recursive(
    TEXT | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=30,
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(NESTED, st.booleans(), st.integers(0, 12))
def test_depth_is_told(value: Any, plain: bool, levels: int) -> None:
    data = json.dumps(value, ensure_ascii=plain).encode()
    assert deeper_than(data, levels) == (depth(value) > levels)
