"""However a stream's bytes are split, and whatever ends its lines, the same events come out of it."""

from hypothesis import given
from hypothesis import strategies as st

from smallfirst.wire.sse import SseDecoder, SseEvent, encode

ENDING = st.sampled_from([b"\n", b"\r\n", b"\r"])
LINE = st.binary(max_size=12).filter(lambda line: b"\n" not in line and b"\r" not in line)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=8)
EVENT = st.tuples(st.lists(LINE | TEXT.map(str.encode), min_size=1, max_size=3), TEXT)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[tuple[bytes, str]]]:
    """A stream's bytes, and what it tells: (data, event) of each event."""
    stream = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    told = []
    for lines, name in draw(st.lists(EVENT, max_size=5)):
        ending = draw(ENDING)
        rows = [
            b"data:" + draw(st.sampled_from([b"", b" "]) if line[:1] != b" " else st.just(b" ")) + line
            for line in lines
        ]
        if name:
            space = b" "
            rows.insert(draw(st.integers(0, len(rows))), b"event:" + space + name.encode())
        for other in draw(
            st.lists(st.sampled_from([b": a comment", b"id: 7", b"retry: 10", b"unknown", b":"]), max_size=2)
        ):
            rows.insert(draw(st.integers(0, len(rows))), other)
        stream += ending.join(rows) + ending + ending
        told.append((b"\n".join(lines), name))
        if draw(
            st.booleans()
        ):  # comments and empty events between, as servers send to keep a connection alive
            stream += draw(st.sampled_from([b": ping", b"event: lost", b""])) + ending + ending
    return stream, told


def decoded(stream: bytes, cuts: list[int]) -> tuple[list[SseEvent], bool]:
    decoder = SseDecoder()
    events = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        events += decoder.feed(stream[begin:end])
    events += decoder.end()
    return events, decoder.torn


@given(streams(), st.data())
def test_any_split_tells_the_same(stream: tuple[bytes, list[tuple[bytes, str]]], data: st.DataObject) -> None:
    whole, told = stream
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    events, torn = decoded(whole, cuts)
    assert [(event.data, event.event) for event in events] == told
    assert not torn


@given(streams())
def test_a_byte_at_a_time_tells_the_same_with_the_same_bytes(
    stream: tuple[bytes, list[tuple[bytes, str]]],
) -> None:
    whole, told = stream
    events, _ = decoded(whole, list(range(1, len(whole))) if whole else [])
    assert [(event.data, event.event) for event in events] == told
    at_once, _ = decoded(whole, [])
    assert [event.raw for event in events] == [event.raw for event in at_once]


@given(streams())
def test_the_raw_bytes_of_an_event_are_the_streams_own_and_tell_it_again(
    stream: tuple[bytes, list[tuple[bytes, str]]],
) -> None:
    whole, _ = stream
    events, _ = decoded(whole, [])
    position = 0
    for event in events:
        position = whole.index(event.raw, position) + len(event.raw)
        again, torn = decoded(event.raw, [])
        assert [(one.data, one.event) for one in again] == [(event.data, event.event)]
        assert not torn


@given(st.lists(st.tuples(st.binary(max_size=40).filter(lambda data: b"\r" not in data), TEXT)))
def test_what_is_encoded_is_decoded(events: list[tuple[bytes, str]]) -> None:
    stream = b"".join([encode(data, name or None) for data, name in events])
    assert [(event.data, event.event) for event in decoded(stream, [])[0]] == events


@given(streams(), st.data())
def test_a_cut_stream_tells_a_beginning_and_that_it_was_torn(
    stream: tuple[bytes, list[tuple[bytes, str]]], data: st.DataObject
) -> None:
    whole, told = stream
    events, _ = decoded(whole[: data.draw(st.integers(0, len(whole)))], [])
    assert [(event.data, event.event) for event in events] == told[: len(events)]
