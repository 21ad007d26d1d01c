"""What a right answer to a task looks like, as data. The check that applies it is `answering/check.py`.

A contract never edits an answer: an answer that is not exactly a label, or not valid against the schema, is not released.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class LabelContract(msgspec.Struct, frozen=True, tag="label", tag_field="type", forbid_unknown_fields=True):
    """One label, several, all of them ranked, or one of an ordered scale.

    `one`: the answer is exactly a label. `several`: a JSON array of distinct labels, or labels separated by commas or new lines; may be
    empty only if `allow_empty`. `ranked`: like `several`, every label once, best first. `ordinal`: like `one`; `labels` are in order, so
    that a scorer can tell a near miss from a far one. Blank space around an answer is ignored; case is not.
    """

    labels: tuple[str, ...]
    pick: Literal["one", "several", "ranked", "ordinal"] = "one"
    allow_empty: bool = False


class JsonContract(msgspec.Struct, frozen=True, tag="json", tag_field="type", forbid_unknown_fields=True):
    """The answer is one JSON value, valid against `schema` (JSON Schema 2020-12; remote references are refused)."""

    schema: dict[str, Any]


class TextContract(msgspec.Struct, frozen=True, tag="text", tag_field="type", forbid_unknown_fields=True):
    """Free text: not empty, and at most `max_chars` long where that is given. Streams are relayed as they come, so they are not checked."""

    max_chars: int | None = None


Contract = LabelContract | JsonContract | TextContract


def read_labels(text: str) -> list[str]:
    """The labels of an answer that may hold several: a JSON array of strings, or separated by commas or new lines."""
    text = text.strip()
    if text.startswith("["):
        try:
            return msgspec.json.decode(text.encode(), type=list[str])
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeEncodeError):
            return [text]
    return [
        label for piece in text.splitlines() for label in (part.strip() for part in piece.split(",")) if label
    ]
