"""The name of a scorer: its kind, the version of its code, and a hash of every option that can change a score."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec


def scorer_id(kind: str, version: int, options: Any) -> str:
    """For example `json@1:3fa2c01b77de`. Equal options have equal names, whatever their order."""
    data = msgspec.json.encode(msgspec.to_builtins(options), order="sorted")
    return f"{kind}@{version}:{hashlib.sha256(data).hexdigest()[:12]}"
