"""The task that a feature could become, as the TOML of a configuration."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from smallfirst.config import dotted, toml_text
from smallfirst.planning.assess.judging.latency import Latency
from smallfirst.planning.assess.judging.output import Output

_MOST_NAME_CHARS = 48
_MOST_TEXT_CHARS = 100_000
_SHORT_TEXT_CHARS = 400  # at p95: one line or two
_WORTH_A_CACHE = 0.01  # of the calls are repeats
_SPARE = 1.5  # times the longest usual text
_REMARKS = {
    "one": "one label of a set",
    "ordinal": "one label of a scale: near misses count in part",
    "several": "several labels of a set",
    "ranked": "all labels, best first",
}


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """`toml` is for a configuration that declares the frontier model; `remark` says what the contract is, `notes` what to look at first."""

    task: str
    remark: str
    toml: str
    notes: tuple[str, ...] = ()


def suggestion_of(
    name: str,
    output: Output,
    latency: Latency,
    *,
    frontier: str,
    words: tuple[str, ...] = (),
    repeats: float = 0.0,
) -> Suggestion | None:
    """`repeats`: the share of calls that an exact cache answers. None where there are too few answers to say what they look like."""
    found = _contract(output)
    if found is None:
        return None
    contract, scorer, remark, notes = found
    task = task_name(name)
    told: dict[str, Any] = {"ladder": [frontier], "keep_bodies": True}
    if latency.budget_ms is not None:
        told["latency_ms"] = latency.budget_ms
    if words:
        told["description"] = f"{name} ({', '.join(words)})"[:200]
    if repeats >= _WORTH_A_CACHE:
        told["cache"] = {"exact": True}
    if scorer:
        told["scorer"] = scorer
    told["contract"] = contract
    text = toml_text.write({"tasks": {task: told}})
    return Suggestion(task=task, remark=remark, toml=text, notes=tuple(notes))


def task_name(name: str) -> str:
    """A name as tasks have them: words in lower case with hyphens."""
    words = re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")[:_MOST_NAME_CHARS].strip("-")
    return words or "feature"


def _contract(output: Output) -> tuple[dict[str, Any], dict[str, Any], str, list[str]] | None:
    if output.form == "label":
        labels = [label for label, _ in output.labels]
        told: dict[str, Any] = {"type": "label", "labels": labels}
        if output.pick != "one":
            told["pick"] = output.pick
        return told, {}, f"{_REMARKS[output.pick]}: {len(labels)}", _label_notes(output)
    if output.form == "json" and output.schema is not None:
        notes = [
            "read the schema: an enumeration or a pattern holds for what was seen, and the next call may bring another value"
        ]
        if output.fenced:
            notes.append(
                f"{output.fenced:,} answers stand in a Markdown fence, which the contract refuses: ask for JSON alone"
            )
        return {"type": "json", "schema": output.schema}, {}, f"JSON of {output.fields} fields", notes
    if output.form == "text":
        short = output.chars_p95 <= _SHORT_TEXT_CHARS
        told = {"type": "text"}
        if short:
            told["max_chars"] = min(_MOST_TEXT_CHARS, round(output.chars_p95 * _SPARE / 10 + 1) * 10)
        kind = "rouge-l" if short else "chrf"
        notes = [f"{kind} counts wording: where many answers are right, let a judge score (docs/scorers.md)"]
        return told, {"kind": kind}, f"text, scored by {kind}", notes
    return None


def _label_notes(output: Output) -> list[str]:
    notes = []
    folded = {label.casefold() for label, _ in output.labels}
    if len(folded) < len(output.labels):
        notes.append("some labels differ in case alone: a contract tells them apart, so join them")
    if output.fits is not None and output.fits.value < 1:
        notes.append(
            f"{1 - output.fits.value:.1%} of the answers are none of these labels: such an answer climbs to the frontier"
        )
    if output.pick == "ordinal":
        notes.append("the order is by their words: check it")
    return notes


def path_of(task: str) -> str:
    """Where the task stands in a configuration."""
    return dotted.join("tasks", task)
