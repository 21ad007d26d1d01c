"""The reference of an example as a model is to write it under its contract: what it is trained to say, and what decoding allows it to say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from smallfirst.contracts import Contract, JsonContract, LabelContract, read_labels
from smallfirst.datasets.example import Example
from smallfirst.datasets.export import answer_of


def answer_text(example: Example, contract: Contract) -> str:
    """One label; labels joined by ", " (a JSON array where there is none, or one holds a comma); compact JSON; the first of several texts.

    JSON in the schema's order, since decoding under a JSON Schema writes the fields as the schema lists them.
    """
    if isinstance(contract, LabelContract) and isinstance(example.label, list):
        listed = ", ".join(example.label)
        return listed if example.label and read_labels(listed) == example.label else answer_of(example)
    if isinstance(contract, JsonContract) and example.references is None:
        return msgspec.json.encode(_ordered(example.reference, contract.schema, contract.schema)).decode()
    return answer_of(example)


def _ordered(value: Any, schema: Any, root: Mapping[str, Any]) -> Any:
    """The value with the fields that the schema names first, in its order."""
    schema = _followed(schema, root)
    if isinstance(value, list):
        return [_ordered(item, schema.get("items"), root) for item in value]
    if not isinstance(value, dict):
        return value
    named = schema.get("properties")
    named = named if isinstance(named, dict) else {}
    order = [name for name in named if name in value] + [name for name in value if name not in named]
    return {name: _ordered(value[name], named.get(name), root) for name in order}


def _followed(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema, its local reference followed once; nothing where it says nothing of fields."""
    if not isinstance(schema, dict):
        return {}
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#"):
        return schema
    found: Any = root
    for step in reference[1:].split("/")[1:]:
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
