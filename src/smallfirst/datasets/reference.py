"""What a right answer is, by the task's contract: a label, a JSON value or texts, from whatever form it was given in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from smallfirst.answering.check import compile_check
from smallfirst.classify.prompt import OUT_OF_SCOPE
from smallfirst.contracts import Contract, JsonContract, LabelContract, read_labels

Kind = Literal["label", "json", "text"]
FIELD_BY_KIND: dict[Kind, str] = {"label": "label", "json": "fields", "text": "references"}


class NoReferenceError(ValueError):
    """A value that is no right answer to the task; the message says why."""


def kind_of(contract: Contract) -> Kind:
    """label, json or text."""
    return (
        "label"
        if isinstance(contract, LabelContract)
        else "json"
        if isinstance(contract, JsonContract)
        else "text"
    )


def reference_reader(contract: Contract) -> Callable[[Any], dict[str, Any]]:
    """A function from a value, or the text of an answer, to the fields of `Example` that hold it. It raises `NoReferenceError`.

    The label `oos`, a text that has none of the labels, is taken for contracts of one label: such examples are for training alone.
    """
    check = compile_check(contract)
    kind = kind_of(contract)

    def told(text: str) -> str:
        wrong = check(text)
        if wrong:
            raise NoReferenceError(f"{FIELD_BY_KIND[kind]}: {wrong}")
        return text

    def label(value: Any) -> dict[str, Any]:
        assert isinstance(contract, LabelContract)
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        if contract.pick in ("one", "ordinal"):
            return {"label": text.strip() if text.strip() == OUT_OF_SCOPE else told(text).strip()}
        return {"label": read_labels(told(text))}

    def fields(value: Any) -> dict[str, Any]:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        try:
            return {"fields": msgspec.json.decode(told(text))}
        except NoReferenceError:
            if not isinstance(value, str):
                raise
        return {"fields": msgspec.json.decode(told(msgspec.json.encode(value).decode()))}  # a JSON string

    def references(value: Any) -> dict[str, Any]:
        texts = value if isinstance(value, list) else [value]
        if not texts or not all(isinstance(text, str) for text in texts):
            raise NoReferenceError("references: expected a text, or a list of texts")
        return {"references": [told(text) for text in texts]}

    return {"label": label, "json": fields, "text": references}[kind]
