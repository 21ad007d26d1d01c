"""A file that is hashed while it is written."""

from __future__ import annotations

import hashlib
from typing import BinaryIO


class HashedFile:
    """Writes, and hashes what it writes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    @property
    def sha256(self) -> str:
        """Of what was written until now, in hex."""
        return self._hash.hexdigest()
