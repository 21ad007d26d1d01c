"""Framing: what is an event, what is not, and what a broken stream leaves behind. Splits are in tests/property."""

import pytest

from smallfirst import limits
from smallfirst.errors import UpstreamBroken
from smallfirst.wire.sse import SseDecoder, SseEvent, encode


def events(*chunks: bytes) -> list[tuple[bytes, str]]:
    decoder = SseDecoder()
    told = [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.end()
    return [(event.data, event.event) for event in told]


def test_an_event_is_told_at_its_blank_line_and_not_before() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b'data: {"a":1}\n') == []
    assert decoder.feed(b"\n") == [SseEvent(b'{"a":1}', "", b'data: {"a":1}\n\n')]


def test_several_events_in_one_chunk() -> None:
    assert events(b"data: 1\n\ndata: 2\n\nevent: x\ndata: 3\n\n") == [(b"1", ""), (b"2", ""), (b"3", "x")]


@pytest.mark.parametrize(
    ("stream", "data"),
    [
        (b"data:x\n\n", b"x"),
        (b"data:  x\n\n", b" x"),
        (b"data: x\ndata: y\n\n", b"x\ny"),
        (b"data\n\n", b""),
        (b"data: x\nid: 1\nretry: 5\nother: 3\n\n", b"x"),
        (b": comment\ndata: x\n\n", b"x"),
        (b"\xef\xbb\xbfdata: x\n\n", b"x"),
        (b"\n\n\ndata: x\n\n", b"x"),
        (b"data: x\r\n\r\n", b"x"),
        (b"data: x\r\r", b"x"),
        (b"data: x\n\r\n", b"x"),
        (b"data: a: b\n\n", b"a: b"),
    ],
)
def test_the_rules_of_the_standard(stream: bytes, data: bytes) -> None:
    assert events(stream) == [(data, "")]


@pytest.mark.parametrize(
    "stream", [b"", b": ping\n\n", b"event: lost\n\n", b"\n\n", b"\xef\xbb", b"id: 1\n\n"]
)
def test_what_has_no_data_is_no_event(stream: bytes) -> None:
    assert events(stream) == []


def test_utf8_that_is_split_stays_whole() -> None:
    data = "data: größer 🦜\n\n".encode()
    assert events(*[data[i : i + 1] for i in range(len(data))]) == [("größer 🦜".encode(), "")]


@pytest.mark.parametrize(
    ("rest", "torn"),
    [
        (b"", False),
        (b"\n", False),
        (b": ping", False),
        (b": ping\n", False),
        (b"data: half", True),
        (b"data: a line, but no blank one\n", True),
        (b"event: x\n", True),
        (b"data: x\r", True),
    ],
)
def test_an_unfinished_event_is_reported_and_not_told(rest: bytes, torn: bool) -> None:
    decoder = SseDecoder()
    assert len(decoder.feed(b"data: whole\n\n" + rest)) == 1
    assert decoder.end() == []
    assert decoder.torn is torn


def test_an_event_that_ends_with_a_lone_cr_at_the_end_of_its_stream() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: x\r\r") == []  # an LF could still follow
    assert decoder.end() == [SseEvent(b"x", "", b"data: x\r\r")]
    assert not decoder.torn


def test_a_lone_cr_waits_only_for_the_next_byte() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: x\r\r") == []
    assert decoder.feed(b"") == []
    assert decoder.feed(b"d") == [SseEvent(b"x", "", b"data: x\r\r")]


def test_an_event_beyond_the_bound_is_refused_however_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_SSE_EVENT_BYTES", 100)
    small = b"data: " + b"x" * 50 + b"\n\n"
    assert len(SseDecoder().feed(small * 10)) == 10  # a large chunk of small events is none
    with pytest.raises(UpstreamBroken, match="100 bytes"):
        SseDecoder().feed(b"data: " + b"x" * 100 + b"\n\n")
    with pytest.raises(UpstreamBroken):
        SseDecoder().feed(b"data: " + b"x" * 100)
    decoder = SseDecoder()
    for _ in range(100):
        assert decoder.feed(b"x") == []
    with pytest.raises(UpstreamBroken):
        decoder.feed(b"x")


def test_encoding() -> None:
    assert encode(b"{}") == b"data: {}\n\n"
    assert encode(b"{}", "ping") == b"event: ping\ndata: {}\n\n"
    assert encode(b"a\nb") == b"data: a\ndata: b\n\n"
