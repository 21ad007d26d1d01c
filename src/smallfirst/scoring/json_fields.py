"""JSON, field by field: F1 over what is stated, beside validity against the schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jsonschema_rs
import msgspec

from smallfirst import limits
from smallfirst.contracts import JsonContract
from smallfirst.errors import ScorerError
from smallfirst.scoring.identity import scorer_id
from smallfirst.scoring.json_compare import KINDS, Comparer, Tallies, Tally, merge
from smallfirst.scoring.scorer import Score

_VERSION = 1
_SHOWN = 3  # fields that a note names
_UNREAD = object()
_OTHER = "(other fields)"


class JsonScorer:
    """Implements `Scorer` for `json` contracts. The value is the F1 of all stated leaves together, each with its field's weight; what is no
    JSON, or is nested too deeply, scores 0. An answer that breaks the schema is never `exact`, and keeps what its fields earn.
    """

    def __init__(
        self,
        contract: JsonContract,
        *,
        compare: Mapping[str, str],
        weights: Mapping[str, float],
        tolerance: float = 0.0,
    ) -> None:
        """Raises `ScorerError` where the schema is not one, or a weight is below 0."""
        for field, weight in weights.items():
            if not 0 <= weight < float("inf"):
                raise ScorerError(f"scorer.weights.{field}: expected a number of at least 0, got {weight:g}")
        self._comparer = Comparer(compare=compare, weights=weights, tolerance=tolerance)
        try:
            self._schema = jsonschema_rs.validator_for(contract.schema, retriever=_refuse_remote)  # pyright: ignore[reportArgumentType] (its parameter has no name of its own)
        except (ValueError, jsonschema_rs.ValidationError) as error:
            raise ScorerError(f"the contract's JSON Schema is not valid: {error}") from error
        options = {
            "schema": contract.schema,
            "compare": compare,
            "weights": weights,
            "tolerance": tolerance,
        }
        self.id = scorer_id("json", _VERSION, options)

    async def score(
        self, output: str, reference: Any, *, messages: Sequence[Mapping[str, Any]] = ()
    ) -> Score:
        """`parts`: exact, precision, recall, schema_valid, how many leaves are missing, extra, wrong_type, wrong_value, and `f1/FIELD` of every
        field. `note` names fields and never what they hold. Raises `ScorerError` where there is no reference.
        """
        truth, value = _reference(reference), _read(output)
        if value is _UNREAD:
            return Score(0.0, {"exact": 0.0, "schema_valid": 0.0}, "not JSON")
        valid = self._schema.is_valid(value)
        tallies = self._comparer.tallies(value, truth)
        whole = _sum(tallies)
        parts = {"exact": float(valid and not whole.errors), "schema_valid": float(valid), **_rates(whole)}
        parts |= {kind: float(whole.errors[kind]) for kind in KINDS}
        parts |= {f"f1/{path}": tally.f1 for path, tally in sorted(_known(tallies).items())}
        return Score(whole.f1, parts, _note(tallies, valid=valid))

    def summary(self, outputs: Sequence[str], references: Sequence[Any]) -> dict[str, float]:
        """Shares of exact, schema-valid and readable answers, precision, recall and F1 of all leaves of all rows, wrong leaves a row by their
        kind, and `precision/FIELD`, `recall/FIELD`, `f1/FIELD`. Fields that no reference states are counted together as "(other fields)".
        """
        if not outputs:
            return {}
        fields: Tallies = {}
        unread = valid = exact = 0
        for output, reference in zip(outputs, references, strict=True):
            value = _read(output)
            unread += value is _UNREAD
            tallies = self._comparer.tallies(None if value is _UNREAD else value, _reference(reference))
            fits = value is not _UNREAD and self._schema.is_valid(value)
            valid += fits
            exact += fits and not any(tally.errors for tally in tallies.values())
            merge(fields, tallies)
        rows, whole = len(outputs), _sum(fields)
        found = {"exact": exact / rows, "schema_valid": valid / rows, "json": 1 - unread / rows}
        found |= {**_rates(whole), "f1": whole.f1}
        found |= {kind: whole.errors[kind] / rows for kind in KINDS}
        for path, tally in sorted(_known(fields).items()):
            rates = {**_rates(tally), "f1": tally.f1}
            found |= {f"{name}/{path}": value for name, value in rates.items()}
        return found


def read_json(text: str) -> Any:
    """A JSON value nested no deeper than `limits.MAX_JSON_DEPTH`. Raises `ScorerError` for anything else."""
    value = _read(text)
    if value is _UNREAD:
        raise ScorerError("not JSON")
    return value


def _read(text: str) -> Any:
    try:
        value = msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return _UNREAD
    return value if _shallow(value) else _UNREAD


def _shallow(value: Any) -> bool:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > limits.MAX_JSON_DEPTH:
            return False
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return True


def _reference(reference: Any) -> Any:
    if reference is None:
        raise ScorerError(
            "there is no reference: this scorer compares with a JSON value (`fields` of an example)"
        )
    if not _shallow(reference):
        raise ScorerError(f"the reference is nested deeper than {limits.MAX_JSON_DEPTH} levels")
    return reference


def _sum(tallies: Tallies) -> Tally:
    whole = Tally()
    for tally in tallies.values():
        whole.add(tally)
    return whole


def _rates(tally: Tally) -> dict[str, float]:
    return {
        "precision": min(1.0, tally.right / tally.given) if tally.given else float(not tally.expected),
        "recall": min(1.0, tally.right / tally.expected) if tally.expected else float(not tally.given),
    }


def _known(fields: Tallies) -> Tallies:
    """Fields that some reference states; the answers' own inventions are one."""
    found: Tallies = {}
    for path, tally in fields.items():
        if tally.expected or tally.given:
            found.setdefault(path if tally.expected else _OTHER, Tally()).add(tally)
    return found


def _note(tallies: Tallies, *, valid: bool) -> str:
    wrong = [
        f"{kind.replace('_', ' ')}: {path[:60] or 'the value'}"
        for path, tally in sorted(tallies.items())
        for kind in KINDS
        if tally.errors[kind]
    ]
    more = [f"{len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
    return "; ".join([*([] if valid else ["not valid against the schema"]), *wrong[:_SHOWN], *more])


def _refuse_remote(uri: str) -> object:
    raise ValueError(f"remote references are not followed: {uri}")
