"""Who is in which part: the ids of all examples, and hashes of what they must not be parted from. No texts: held-out rows stay sealed.

A line: id, part, the ledger's calls (with commas between them), then the hashes, set apart by tabs. A later version reads it to leave everybody
where they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from smallfirst.datasets.example import SPLITS, Split
from smallfirst.errors import DatasetError

FILE = "members.tsv"
_HASH_BYTES = 12


class Member(NamedTuple):
    id: str
    part: Split
    calls: tuple[str, ...]  # the ledger's ids; none for examples from files
    keys: tuple[str, ...]


def key_of(text: str) -> str:
    """The hash that stands for a key: a group, a conversation, a text."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES).hexdigest()


def member_line(member: Member) -> bytes:
    return "\t".join((member.id, member.part, ",".join(member.calls), *member.keys)).encode() + b"\n"


def read_members(path: Path) -> Iterator[Member]:
    """Raises `DatasetError` where the file cannot be read."""
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for line in file:
                name, told, calls, *keys = line.rstrip("\n").split("\t")
                part: Split = next(split for split in SPLITS if split == told)
                yield Member(name, part, tuple(calls.split(",")) if calls else (), tuple(keys))
    except (OSError, ValueError, StopIteration) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error


def safe_id(name: str) -> str:
    """An id as it may stand in a line: what would break it is replaced by a hash."""
    return name if name.isprintable() and len(name) <= 200 else key_of(name)


def texts_of(members: Iterable[Member], *parts: Split) -> set[str]:
    """The hashes of what was asked in these parts."""
    return {member.keys[0] for member in members if member.part in parts and member.keys}
