"""What differs between two datasets: who came, who went, who moved, and how the traffic drifted."""

from __future__ import annotations

import msgspec

from smallfirst.datasets.drift import Drift, drift
from smallfirst.datasets.example import SPLITS
from smallfirst.datasets.store import Dataset


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """From `before` to `now`. `moved`: "train → heldout" and the like, to how many. Examples are known by their text."""

    now: str
    before: str
    added: dict[str, int]  # by part
    removed: dict[str, int]
    kept: int
    moved: dict[str, int]
    rule: dict[str, tuple[str, str]]  # what of the rule differs, before and now
    drift: list[Drift]


def difference(now: Dataset, before: Dataset) -> Difference:
    """Raises `DatasetError` where one of them was altered."""
    part_now = {member.keys[0]: member.part for member in now.members()}
    part_before = {member.keys[0]: member.part for member in before.members()}
    moved: dict[str, int] = {}
    for text in part_now.keys() & part_before.keys():
        if part_now[text] != part_before[text]:
            way = f"{part_before[text]} → {part_now[text]}"
            moved[way] = moved.get(way, 0) + 1
    rule_now = msgspec.to_builtins(now.manifest.rule)
    rule_before = msgspec.to_builtins(before.manifest.rule)
    return Difference(
        now=now.id,
        before=before.id,
        added=_by_part([part_now[text] for text in part_now.keys() - part_before.keys()]),
        removed=_by_part([part_before[text] for text in part_before.keys() - part_now.keys()]),
        kept=len(part_now.keys() & part_before.keys()),
        moved=dict(sorted(moved.items())),
        rule={
            name: (str(rule_before[name]), str(rule_now[name]))
            for name in rule_now
            if rule_now[name] != rule_before[name]
        },
        drift=drift(now.manifest, before.manifest),
    )


def _by_part(parts: list[str]) -> dict[str, int]:
    return {part: parts.count(part) for part in SPLITS}
