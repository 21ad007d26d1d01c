"""How records lie in a segment, and how one that was never finished is told from those that were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ledger import calls, settlement

from smallfirst.ledger import frames


@given(st.lists(calls(), max_size=4))
def test_records_survive_the_way_into_a_segment_and_back(made):
    records = [settlement(call) for call in made]
    data = b"".join(frames.frame(record) for record in records) + bytes(64)
    found = frames.scan(data, most=100)
    assert [frames.record(payload) for payload in found.payloads] == records
    assert (found.end, found.damaged) == (len(data) - 64, False)


@pytest.mark.parametrize("rest", [bytes(2000), b"", b"\xff" * 2000], ids=["zeros", "nothing", "garbage"])
def test_a_record_cut_at_any_byte_is_left_out_and_those_before_it_are_not(rest):
    first, last = frames.frame(settlement()), frames.frame(settlement())
    for cut in range(len(last)):
        data = first + last[:cut] + rest
        found = frames.scan(data[: len(first) + 2000], most=100)
        if cut == len(last) - 1 and last[-1:] == rest[:1]:
            continue  # what was not written is what is there
        assert len(found.payloads) == 1, cut
        assert found.end == len(first)


def test_a_record_with_one_altered_byte_is_never_taken():
    whole = frames.frame(settlement())
    for at in range(len(whole)):
        altered = bytearray(whole)
        altered[at] ^= 0x40
        assert frames.scan(bytes(altered), most=100).payloads == []


def test_no_more_is_read_than_was_asked_for():
    one = frames.frame(settlement())
    found = frames.scan(one * 5, most=2)
    assert (len(found.payloads), found.end, found.damaged) == (2, 2 * len(one), False)
