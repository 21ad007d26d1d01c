"""How records lie in a journal segment: length, CRC-32 and MessagePack, one after the other; zeros after the
last.

    segment  := "sfjourn1" frame* zero*
    frame    := length (u32, little-endian) crc32(payload) (u32, little-endian) payload

A frame that is cut or altered fails its checksum and ends the segment: nothing behind it was ever
acknowledged, because a process that died never writes to its segments again.
"""

from __future__ import annotations

import struct
import zlib

import msgspec

from smallfirst.ledger.records import Record

MAGIC = b"sfjourn1"
_PREFIX = struct.Struct("<II")
PREFIX_BYTES = _PREFIX.size
_crc32 = zlib.crc32
_pack = _PREFIX.pack
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode


class Scan(msgspec.Struct, frozen=True):
    """What a stretch of a segment holds. `end` is the offset behind the last whole frame; `damaged` tells
    that what follows is not zeros.
    """

    payloads: list[bytes]
    end: int
    damaged: bool = False


def frame(record: Record) -> bytes:
    """The record as it lies in a segment."""
    payload = _encode(record)
    return _pack(len(payload), _crc32(payload)) + payload


def record(payload: bytes) -> Record:
    """The record of a frame's payload. Raises `msgspec.DecodeError` where another version wrote it."""
    return _decode(payload)


def scan(data: bytes, *, most: int) -> Scan:
    """The whole frames at the beginning of `data`, at most `most` of them."""
    payloads: list[bytes] = []
    at, size = 0, len(data)
    while at + PREFIX_BYTES <= size and len(payloads) < most:
        length, crc = _PREFIX.unpack_from(data, at)
        end = at + PREFIX_BYTES + length
        if length == 0 or end > size:
            break
        payload = data[at + PREFIX_BYTES : end]
        if _crc32(payload) != crc:
            break
        payloads.append(payload)
        at = end
    return Scan(payloads, at, damaged=len(payloads) < most and any(data[at : at + PREFIX_BYTES]))
