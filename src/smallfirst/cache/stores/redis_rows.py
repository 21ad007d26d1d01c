"""An entry in Redis: a hash that ends with it, and what leads to it.

    smallfirst:1:entry:KEY       hash: m (all but the answer), t, a, and what changes: g group, c confirmed, r refuted, h hits; i its id
    smallfirst:1:id:ID           → KEY
    smallfirst:1:call:CALL       → KEY
    smallfirst:1:partition:P     sorted set of ID:KEY, by ID
    smallfirst:1:changes         stream of what became of entries with a partition
    smallfirst:1:purges          sorted set of what was purged, by time

Everything but the last two ends by itself. KEY and P are digests in hexadecimal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from smallfirst.cache.entry import Entry
from smallfirst.cache.stores.rows import packed, unpacked

PREFIX = "smallfirst:1:"
CHANGES = f"{PREFIX}changes"
PURGES = f"{PREFIX}purges"
ENTRIES = f"{PREFIX}entry:"
COMMON = ("m", "g", "c", "r", "h")
WHOLE = (*COMMON, "t", "a")

# Adds to an entry's numbers, or gives it another group, if it is still there; those with a partition are told of.
# KEYS: its id's, the stream. ARGV: id, group or "", confirmed, refuted, hits, how entries' names begin, changes kept.
CHANGE = """
local key = redis.call('GET', KEYS[1])
if not key then return 0 end
local entry = ARGV[6] .. key
if redis.call('HGET', entry, 'i') ~= ARGV[1] then return 0 end
if ARGV[2] ~= '' then redis.call('HSET', entry, 'g', ARGV[2]) end
if ARGV[3] ~= '0' then redis.call('HINCRBY', entry, 'c', ARGV[3]) end
if ARGV[4] ~= '0' then redis.call('HINCRBY', entry, 'r', ARGV[4]) end
if ARGV[5] ~= '0' then redis.call('HINCRBY', entry, 'h', ARGV[5]) end
local partition = redis.call('HGET', entry, 'p')
if partition ~= '' and (ARGV[2] ~= '' or ARGV[3] ~= '0' or ARGV[4] ~= '0') then
  local now = redis.call('HMGET', entry, 'g', 'c', 'r')
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[7], '*', 'p', partition, 'e', ARGV[1], 'g', now[1], 'c', now[2], 'r', now[3])
end
return 1
"""

# Removes an entry, if it still is the one of this id, also where there is no room to tell of it.
# KEYS: the entry, its id's key, its call's, its partition's set, the stream. ARGV: id, KEY, partition, changes kept.
REMOVE = """
if redis.call('HGET', KEYS[1], 'i') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
if redis.call('GET', KEYS[3]) == ARGV[2] then redis.call('DEL', KEYS[3]) end
if ARGV[3] ~= '' then
  redis.call('ZREM', KEYS[4], ARGV[1] .. ':' .. ARGV[2])
  redis.pcall('XADD', KEYS[5], 'MAXLEN', '~', ARGV[4], '*', 'p', ARGV[3], 'e', ARGV[1], 'g', '0', 'c', '0', 'r', '0')
end
return 1
"""

_BARE = {"answer": b"", "text": ""}


def entry_key(key: bytes) -> str:
    return f"{ENTRIES}{key.hex()}"


def id_key(number: int) -> str:
    return f"{PREFIX}id:{number}"


def call_key(call: str) -> str:
    return f"{PREFIX}call:{call}"


def partition_key(partition: bytes) -> str:
    return f"{PREFIX}partition:{partition.hex()}"


def fields_of(entry: Entry) -> dict[str, bytes | str | int]:
    """Of its hash."""
    return {
        "m": msgspec.msgpack.encode(msgspec.structs.replace(entry, **_BARE)),
        "t": entry.text,
        "a": packed(entry.answer),
        "i": entry.id,
        "p": entry.partition.hex(),
        "g": entry.group,
        "c": entry.confirmed,
        "r": entry.refuted,
        "h": entry.hits,
    }


def entry_of(values: Sequence[Any]) -> Entry | None:
    """From the values of `WHOLE`, or of `COMMON`; None where there is none, or it is not to be read: another version's."""
    if any(value is None for value in values):
        return None
    text, answer = values[5:] if len(values) == len(WHOLE) else (b"", b"")
    try:
        entry = msgspec.msgpack.decode(values[0], type=Entry)
        return msgspec.structs.replace(
            entry,
            text=text.decode(),
            answer=unpacked(answer),
            group=int(values[1]),
            confirmed=int(values[2]),
            refuted=int(values[3]),
            hits=int(values[4]),
        )
    except (msgspec.DecodeError, ValueError):
        return None
