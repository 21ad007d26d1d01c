"""The contract applied to an answer before it is released. It accepts or refuses; it never edits.

An answer that calls a tool is a step on the way, not the task's answer, and is not checked.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import jsonschema_rs
import msgspec

from smallfirst import limits
from smallfirst.contracts import Contract, JsonContract, LabelContract, TextContract, read_labels
from smallfirst.errors import ReleaseError
from smallfirst.releases.policy import canonical

Check = Callable[[str], str]
"""From an answer's text to what is wrong with it; empty if nothing is."""


def compile_check(contract: Contract) -> Check:
    """The check of a contract, compiled once for all policies that share it. Raises `ReleaseError` where a JSON Schema is not one."""
    return _compiled(type(contract), canonical(contract))


@lru_cache(maxsize=256)
def _compiled(kind: type[Contract], data: bytes) -> Check:
    contract = msgspec.json.decode(data, type=kind)
    if isinstance(contract, LabelContract):
        return _label_check(contract)
    if isinstance(contract, JsonContract):
        return _json_check(contract)
    return _text_check(contract)


def _label_check(contract: LabelContract) -> Check:
    allowed = frozenset(contract.labels)

    def one(text: str) -> str:
        return "" if text.strip() in allowed else f"not one of the {len(allowed)} labels: {_shown(text)}"

    def several(text: str) -> str:
        labels = read_labels(text)
        if not labels:
            return "" if contract.allow_empty else "no label"
        unknown = [label for label in labels if label not in allowed]
        if unknown:
            return f"not one of the {len(allowed)} labels: {_shown(unknown[0])}"
        if len(set(labels)) != len(labels):
            return "a label is given twice"
        if contract.pick == "ranked" and len(labels) != len(allowed):
            return f"ranks {len(labels)} of {len(allowed)} labels"
        return ""

    return one if contract.pick in ("one", "ordinal") else several


def _json_check(contract: JsonContract) -> Check:
    try:
        validator = jsonschema_rs.validator_for(contract.schema, retriever=_refuse_remote)  # pyright: ignore[reportArgumentType] (its parameter has no name of its own)
    except (ValueError, jsonschema_rs.ValidationError) as error:
        raise ReleaseError(f"the contract's JSON Schema is not valid: {error}") from error

    def valid(text: str) -> str:
        try:
            value = msgspec.json.decode(text.encode())
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            return f"not JSON: {_shown(text)}"
        if _depth(value) > limits.MAX_JSON_DEPTH:
            return "nested too deeply"
        error = next(iter(validator.iter_errors(value)), None)
        if error is None:
            return ""
        path = "/".join(str(step) for step in error.instance_path) or "the value"
        return f"not valid at {path}: {_shown(error.message)}"

    return valid


def _refuse_remote(uri: str) -> object:
    raise ValueError(f"remote references are not followed: {uri}")


def _depth(value: object) -> int:
    """Nesting of a decoded JSON value, without recursion."""
    deepest, stack = 0, [(value, 1)]
    while stack:
        item, depth = stack.pop()
        deepest = max(deepest, depth)
        if depth > limits.MAX_JSON_DEPTH:
            return depth
        if isinstance(item, dict):
            stack.extend((inner, depth + 1) for inner in item.values())
        elif isinstance(item, list):
            stack.extend((inner, depth + 1) for inner in item)
    return deepest


def _text_check(contract: TextContract) -> Check:
    def text(answer: str) -> str:
        if not answer.strip():
            return "empty"
        if contract.max_chars is not None and len(answer) > contract.max_chars:
            return f"{len(answer)} characters, more than {contract.max_chars}"
        return ""

    return text


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= 60 else text[:57] + "…")
