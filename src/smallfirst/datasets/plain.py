"""Plain rows, an object a line: `input` or `messages`, and `label`, `fields` or `references`.

`id`, `group`, `at` (or `at_ms`), `tenant`, `slices`, `tools`, `synthetic` and `trainable` may stand beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import UNSET

from smallfirst.datasets.exchange import checked, checked_tools
from smallfirst.datasets.lines import Line, read_lines
from smallfirst.datasets.mapping import SPLIT_BY_NAME, Mapping, field, moment_ms, slices_of, text_of
from smallfirst.datasets.row import Row, Tally
from smallfirst.errors import BadRequest


def read_plain(path: Path, mapping: Mapping, reference: str, tally: Tally) -> Iterator[Row]:
    """The rows of a file; `reference` is the field that the task's contract makes the usual one. What is wrong is told to `tally`."""
    for line in read_lines(path, tally):
        try:
            yield _row(line, mapping, mapping.reference or reference)
        except (BadRequest, ValueError) as error:
            tally.bad(line.where, str(error))


def read_questions(path: Path, mapping: Mapping, reference: str, tally: Tally) -> Iterator[Row]:
    """The rows of a file that have no right answer yet: `reference` is the field that would hold it. Others are counted, and left to
    `dataset import`.
    """
    for line in read_lines(path, tally):
        if field(line.value, reference) not in (UNSET, None):
            tally.skip(
                f"rows whose {reference} says already what is right: `smallfirst dataset import` takes those"
            )
            continue
        try:
            yield _row(line, mapping, "")
        except (BadRequest, ValueError) as error:
            tally.bad(line.where, str(error))


def _row(line: Line, mapping: Mapping, reference: str) -> Row:
    """`reference` empty: the row has none."""
    value = line.value
    given = field(value, reference) if reference else UNSET
    if reference and (given is UNSET or given is None):
        raise ValueError(
            f"{reference}: required, but missing (the row has: {', '.join(sorted(value)) or 'nothing'}; --reference names the field to take)"
        )
    group = text_of(field(value, mapping.group or "group"))
    split = text_of(field(value, mapping.split)) if mapping.split else ""
    if mapping.split and split.lower() not in SPLIT_BY_NAME:
        raise ValueError(f"{mapping.split}: expected train, calibration or heldout, not {split!r}")
    slices = value.get("slices")
    return Row(
        messages=_messages(value, mapping),
        reference=given,
        where=line.where,
        source=line.path.name,
        line=line.number,
        id=text_of(field(value, mapping.id or "id")),
        tools=checked_tools(value.get("tools")),
        keys=(f"group:{group}",) if group else (),
        tenant=text_of(value.get("tenant")),
        at_ms=_moment(value, mapping),
        slices=({str(k): text_of(v) for k, v in slices.items()} if isinstance(slices, dict) else {})
        | slices_of(value, mapping.slices),
        synthetic=value.get("synthetic") is True,
        trainable=value.get("trainable") is not False,
        split=SPLIT_BY_NAME[split.lower()] if split else None,
        provider=mapping.provider,
    )


def _messages(value: dict[str, Any], mapping: Mapping) -> list[dict[str, Any]]:
    given = field(value, mapping.input) if mapping.input else value.get("messages", value.get("input", UNSET))
    if given is UNSET or given is None:
        raise ValueError(
            f"{mapping.input or 'input'}: required, but missing"
            + ("" if mapping.input else " (or `messages`)")
        )
    if isinstance(given, str):
        if not given.strip():
            raise ValueError(f"{mapping.input or 'input'}: empty")
        return [{"role": "user", "content": given}]
    return checked(given)


def _moment(value: dict[str, Any], mapping: Mapping) -> int:
    name = mapping.at or ("at_ms" if "at_ms" in value else "at")
    try:
        return moment_ms(field(value, name))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
