"""In what two adapters differ: base, data, settings and scores, each under its name."""

from __future__ import annotations

from typing import Any

import msgspec

from smallfirst.models.adapters.adapter import Manifest

_NOT_COMPARED = ("files", "probes_sha256", "format")  # follow from the rest


class Change(msgspec.Struct, frozen=True):
    """One thing that differs; None where the one or the other has nothing of the name."""

    what: str
    one: Any
    other: Any


def differences(one: Manifest, other: Manifest) -> list[Change]:
    """What differs, in the manifest's order; `settings.rank`, `scores.label` and so on by their own names."""
    left, right = _flat(one), _flat(other)
    return [
        Change(name, left.get(name), right.get(name))
        for name in dict.fromkeys((*left, *right))
        if left.get(name) != right.get(name)
    ]


def _flat(manifest: Manifest) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in msgspec.to_builtins(manifest).items():
        if name in _NOT_COMPARED:
            continue
        if isinstance(value, dict):
            found |= {f"{name}.{inner}": told for inner, told in sorted(value.items())}
        else:
            found[name] = value
    return found
