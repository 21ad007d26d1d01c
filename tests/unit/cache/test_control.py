"""What a client's `Cache-Control` allows: RFC 9111, and what is malformed in its strictest reading."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.cache.control import NOTHING_SAID, Control, control_of, read_control


@pytest.mark.parametrize(
    ("said", "control"),
    [
        ("", NOTHING_SAID),
        ("no-store", Control(no_store=True)),
        ("No-Store", Control(no_store=True)),
        ("no-cache", Control(no_cache=True)),
        ('no-cache="set-cookie"', Control(no_cache=True)),
        ("max-age=60", Control(max_age_s=60)),
        ('max-age="60"', Control(max_age_s=60)),
        ("max-age = 60", Control(max_age_s=60)),
        ("max-age=60, max-age=5", Control(max_age_s=5)),
        ("max-age=99999999999999999999999999", Control(max_age_s=2**31)),
        ("max-age=" + "9" * 4000, Control(max_age_s=2**31)),
        ("min-fresh=7, only-if-cached", Control(min_fresh_s=7, only_if_cached=True)),
        (" ,, no-store ,\tno-cache,", Control(no_store=True, no_cache=True)),
        ('ext="no-store, no-cache", max-age=1', Control(max_age_s=1)),
        ('ext="a\\"no-store", no-cache', Control(no_cache=True)),
        ("max-stale=100, no-transform, public", NOTHING_SAID),
        # malformed
        ("max-age", Control(max_age_s=0)),
        ("max-age=", Control(max_age_s=0)),
        ("max-age=abc", Control(max_age_s=0)),
        ("max-age=-1", Control(max_age_s=0)),
        ("max-age=1.5", Control(max_age_s=0)),
        ("max-age=²", Control(max_age_s=0)),
        ("min-fresh=soon", Control(min_fresh_s=2**31)),
        ('ext="no end, no-store', Control(no_store=True)),
        ("foo bar, no-store", Control(no_store=True)),
        ("=, no-cache", Control(no_cache=True)),
        ('"no-store"', Control(no_store=True)),
        ("no-store;max-age=1", NOTHING_SAID),
        ("x" * 5000, Control(no_store=True)),
    ],
)
def test_what_is_read(said: str, control: Control) -> None:
    assert read_control(said) == control


def test_lines_are_joined_and_pragma_counts_only_alone() -> None:
    lines = [(b"cache-control", b"max-age=9"), (b"x", b"no-cache"), (b"cache-control", b"no-store")]
    assert control_of(lines) == Control(max_age_s=9, no_store=True)
    assert control_of([(b"pragma", b"No-Cache")]) == Control(no_cache=True)
    assert control_of([(b"pragma", b"no-cache"), (b"cache-control", b"max-age=9")]) == Control(max_age_s=9)
    assert control_of([(b"pragma", b"other"), (b"accept", b"*/*")]) is NOTHING_SAID


def test_what_may_answer() -> None:
    assert NOTHING_SAID.allows(age_s=10**9, left_s=0)
    old = Control(max_age_s=10)
    assert old.allows(age_s=10, left_s=1)
    assert not old.allows(age_s=10.1, left_s=1)
    assert not Control(min_fresh_s=5).allows(age_s=0, left_s=4.9)
    for control in (Control(no_store=True), Control(no_cache=True), Control(max_age_s=0)):
        assert not control.looks_up
        assert not control.allows(age_s=0, left_s=10**9)


@given(st.text(st.characters(max_codepoint=255), max_size=60), st.sampled_from(["no-store", "no-cache"]))
def test_whatever_stands_before_it_a_plain_directive_is_obeyed(before: str, directive: str) -> None:
    if before.count('"') % 2 == 0 and "\\" not in before:  # else it may stand in a quoted text
        assert not read_control(f"{before},{directive}").looks_up
