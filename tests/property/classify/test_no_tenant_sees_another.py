"""Whatever tenants are called and however examples are mixed: a tenant finds the nearest of its own and of nobody's in particular, and no other."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import Letters, row, write_index

from smallfirst.classify.example_index import ExampleIndex
from smallfirst.classify.examples import erase_rows

LETTERS = Letters()
ADVERSARIAL = [
    "",
    "a",
    "A",
    "a ",
    " a",
    "a\x00",
    "a\x00b",
    "á",
    "a\u0301",
    "ab",
    "acme",
    "acme/..",
    "acme\n",
    "*",
    "None",
    "null",
    "0",
    "ａ",
]
TENANTS = st.sampled_from(ADVERSARIAL) | st.text(max_size=3)
TEXTS = st.text("abcd", min_size=1, max_size=6)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(TENANTS, TEXTS), min_size=1, max_size=25),
    asker=TENANTS,
    question=TEXTS,
    count=st.integers(1, 30),
    erased=st.sets(st.integers(0, 24), max_size=6),
)
def test_no_tenant_sees_anothers_example(
    rows: list[tuple[str, str]], asker: str, question: str, count: int, erased: set[int]
) -> None:
    made = [row(f"e-{at:02}", text, LETTERS, tenant=tenant) for at, (tenant, text) in enumerate(rows)]
    with tempfile.TemporaryDirectory() as folder:
        path = write_index(Path(folder), made, LETTERS)
        erase_rows(path, lambda one: int(one.id[2:]) in erased)
        index = ExampleIndex(path, LETTERS)
        vector = LETTERS.embed([question])[0]
        found = index.near(vector, tenant=asker, count=count)
    allowed = {
        one.id: float(np.frombuffer(one.vector, np.float16).astype(np.float32) @ vector)
        for at, one in enumerate(made)
        if at not in erased and one.tenant in (asker, "")
    }
    assert {one.id for one in found} <= set(allowed)
    assert len(found) == min(count, len(allowed))
    best = sorted(allowed.values(), reverse=True)[:count]
    np.testing.assert_allclose([one.similarity for one in found], best, atol=2e-4)
