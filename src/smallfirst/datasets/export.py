"""Train and calibration examples in the forms that other tools read. The held-out part has none: what has been seen proves nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, get_args

import msgspec

from smallfirst.datasets.example import Example
from smallfirst.errors import DatasetError

Form = Literal["plain", "openai", "trl"]
FORMS: tuple[Form, ...] = get_args(Form)


def exported(examples: Iterable[Example], form: str, *, instructions: str = "") -> Iterator[bytes]:
    """A JSON object a line. `plain`: as `smallfirst dataset import` reads it; `openai`: fine-tuning by OpenAI; `trl`: prompt and completion
    for TRL's SFTTrainer. `instructions` stand before conversations that have no system prompt, as the gateway does it. Raises `DatasetError`.
    """
    if form not in FORMS:
        raise DatasetError(f"--format: {form!r} is not known (known: {', '.join(FORMS)})")
    for example in examples:
        yield msgspec.json.encode(_row(example, form, instructions)) + b"\n"


def answer_of(example: Example) -> str:
    """The reference as a model would write it: a label, a list of labels or JSON, the first of several texts."""
    reference = example.reference
    if example.references is not None:
        return example.references[0]
    return reference if isinstance(reference, str) else msgspec.json.encode(reference).decode()


def _row(example: Example, form: str, instructions: str) -> dict[str, Any]:
    if form == "plain":
        return _plain(example)
    messages = example.messages
    if instructions and not any(message.get("role") in ("system", "developer") for message in messages):
        messages = [{"role": "system", "content": instructions}, *messages]
    answer = {"role": "assistant", "content": answer_of(example)}
    tools = {"tools": example.tools} if example.tools else {}
    if form == "openai":
        return {"messages": [*messages, answer]} | tools
    return {"prompt": messages, "completion": [answer]} | tools


def _plain(example: Example) -> dict[str, Any]:
    row: dict[str, Any] = {"id": example.id, "messages": example.messages}
    for name in ("label", "references"):
        if getattr(example, name) is not None:
            row[name] = getattr(example, name)
    if "label" not in row and "references" not in row:
        row["fields"] = example.fields
    for name in ("tools", "group", "tenant", "at_ms", "slices"):
        if getattr(example, name):
            row[name] = getattr(example, name)
    return (
        row
        | ({"synthetic": True} if example.synthetic else {})
        | ({} if example.trainable else {"trainable": False})
    )
