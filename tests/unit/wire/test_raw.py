"""Values stay as they were written."""

import msgspec
import pytest

from smallfirst.wire.raw import read_fields, rename, write_fields

WRITTEN = (
    b'{"z":1.50,"a":1e400,"model":"m","s":"\\u00e9\\/","o":{"b": 1,"a":[ ]},"big":123456789012345678901}'
)


def test_values_and_their_order_survive() -> None:
    assert write_fields(read_fields(WRITTEN)) == WRITTEN
    assert write_fields(read_fields(b' {\n "a" : [1, 2] } ')) == b'{"a":[1, 2]}'


def test_of_a_field_given_twice_the_last_counts() -> None:
    assert (
        write_fields(read_fields(b'{"model":"cheap","model":"dear","\\u006dodel":"dearest"}'))
        == b'{"model":"dearest"}'
    )


def test_only_the_model_is_renamed() -> None:
    assert rename(WRITTEN, "né") == WRITTEN.replace(b'"m"', '"né"'.encode())


def test_what_says_the_model_already_is_not_touched() -> None:
    assert rename(WRITTEN, "m") is WRITTEN
    without = b'{"choices":[]}'
    assert rename(without, "m") is without


@pytest.mark.parametrize("data", [b"[]", b'"x"', b"", b'{"a"'])
def test_only_objects_have_fields(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_fields(data)
