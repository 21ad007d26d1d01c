"""Puts examples into train, calibration and held-out, group by group, so that nothing that belongs together straddles them.

Stratified by label, and deterministic: the same examples by the same rule give the same parts in whatever order they come. What stood in a
part of the parent stays there. Where new examples bind groups of two parts together, the better guarded part keeps its own, takes the new
ones, and those of the other part are dropped: they were trained on, so they can prove nothing, and they are too like what is held out to be
trained on again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from smallfirst.datasets.duplicates import Found
from smallfirst.datasets.example import SPLITS, Split
from smallfirst.datasets.held import Held
from smallfirst.datasets.manifest import Rule
from smallfirst.datasets.members import Member
from smallfirst.datasets.union import Union
from smallfirst.errors import DatasetError

_NO_STRATUM = ""


class Group(msgspec.Struct, kw_only=True):
    """Examples that stand in one part. `pins`: the parts in which the parent has some of them; `order` is chance, but always the same."""

    name: str
    members: list[int]
    order: str
    strata: Counter[str]
    allowed: frozenset[Split]
    newest_ms: int
    pins: set[Split]
    given: set[Split]

    @property
    def size(self) -> int:
        return len(self.members)


class Placed(msgspec.Struct, frozen=True):
    """The part and the group of each example that is kept, by its place; those in no part were dropped."""

    part: dict[int, Split]
    group: dict[int, str]
    groups: dict[Split, int]
    largest: int


def split(found: Found, rule: Rule, parent: Sequence[Member]) -> Placed:
    """Raises `DatasetError` where a split by time is asked for and examples have no time."""
    if rule.by_time and any(one.at_ms == 0 for one in found.kept if one.own):
        raise DatasetError("--by-time: some examples have no time (`at`, or --at names the field)")
    groups = _groups(found, rule, parent)
    parts = _deal(groups, rule, sum(one.own for one in found.kept))
    part: dict[int, Split] = {}
    name: dict[int, str] = {}
    count: Counter[Split] = Counter()
    for group, chosen in zip(groups, parts, strict=True):
        stay = [at for at in group.members if _may_stay(found.kept[at], chosen, group)]
        part |= dict.fromkeys(stay, chosen)
        name |= dict.fromkeys(stay, group.name)
        count[chosen] += bool(stay)
    return Placed(
        part, name, {one: count[one] for one in SPLITS}, max((group.size for group in groups), default=0)
    )


def keys_of(one: Held) -> tuple[str, ...]:
    """By what an example is known again: its text, and what it belongs to."""
    return (one.text, *one.keys)


def pin(held: Sequence[Held], parent: Sequence[Member]) -> None:
    """Tells each example in which part of the parent its text stood."""
    part_by_text: dict[str, Split] = {member.keys[0]: member.part for member in parent if member.keys}
    for one in held:
        one.pinned = part_by_text.get(one.text)


def _groups(found: Found, rule: Rule, parent: Sequence[Member]) -> list[Group]:
    union = Union(len(found.kept))
    node_by_key: dict[str, int] = {}
    for at, one in enumerate(found.kept):
        for other in (one, *found.stand_for.get(at, ())):
            for key in keys_of(other):
                union.join(at, node_by_key.setdefault(key, at))
    for left, right in found.alike:
        union.join(left, right)
    pins: list[tuple[int, Split]] = []
    for member in parent:
        known = [node_by_key[key] for key in member.keys if key in node_by_key]
        for node in known[1:]:
            union.join(known[0], node)
        if known:
            pins.append((known[0], member.part))
    groups: dict[int, Group] = {}
    for at, one in enumerate(found.kept):
        root = union.find(at)
        if root not in groups:
            groups[root] = _new_group(one)
        _take(groups[root], at, one, rule.seed)
    for node, part in pins:
        groups[union.find(node)].pins.add(part)
    return sorted(groups.values(), key=lambda group: group.order)


def _new_group(one: Held) -> Group:
    return Group(
        name=one.text,
        members=[],
        order="",
        strata=Counter(),
        allowed=frozenset(SPLITS),
        newest_ms=0,
        pins=set(),
        given=set(),
    )


def _take(group: Group, at: int, one: Held, seed: int) -> None:
    group.members.append(at)
    group.name = min(group.name, one.text)
    group.order = blake2b(f"{seed}:{group.name}".encode(), digest_size=16).hexdigest()
    if one.own:  # what may stand in train alone takes nobody's place there
        group.strata.update(one.strata or (_NO_STRATUM,))
    group.allowed &= one.allowed
    group.newest_ms = max(group.newest_ms, one.at_ms)
    if one.given is not None:
        group.given.add(one.given)


def _deal(groups: Sequence[Group], rule: Rule, rows: int) -> list[Split]:
    """The part of each group."""
    ratios = _ratios(rule, rows)
    total = sum((group.strata for group in groups), Counter())
    room: dict[Split, dict[str, float]] = {
        part: {name: ratio * count for name, count in total.items()} for part, ratio in ratios.items()
    }
    chosen: dict[int, Split] = {}
    free: list[int] = []
    for at, group in enumerate(groups):
        wanted = group.pins or group.given
        if wanted:
            chosen[at] = max(wanted, key=SPLITS.index)
            _fill(room[chosen[at]], group)
        else:
            free.append(at)
    if rule.by_time:
        chosen |= _by_time(groups, free, {part: ratio * rows for part, ratio in ratios.items()}, chosen)
    else:
        open_: list[Split] = [part for part in SPLITS if ratios[part] > 0]
        for at in sorted(
            free, key=lambda at: (len(_allowed(groups[at])), -groups[at].size, groups[at].order)
        ):
            chosen[at] = _roomiest(groups[at], room, open_)
            _fill(room[chosen[at]], groups[at])
    return [chosen[at] for at in range(len(groups))]


def _ratios(rule: Rule, rows: int) -> dict[Split, float]:
    ratios = dict(zip(SPLITS, rule.ratios, strict=True))
    if rule.heldout_rows is not None:
        if rule.heldout_rows >= rows:
            raise DatasetError(f"--heldout {rule.heldout_rows}: there are only {rows:,} examples in all")
        share = rule.heldout_rows / rows
        rest = ratios["train"] + ratios["calibration"] or 1.0
        return {
            "train": (1 - share) * ratios["train"] / rest,
            "calibration": (1 - share) * ratios["calibration"] / rest,
            "heldout": share,
        }
    total = sum(ratios.values())
    return {part: ratio / total for part, ratio in ratios.items()}


def _roomiest(group: Group, room: dict[Split, dict[str, float]], open_: Sequence[Split]) -> Split:
    """Where its labels are missing most; where that is the same, where most examples are."""

    def missing(part: Split) -> tuple[float, float]:
        told = room[part]
        return sum(count * told[name] for name, count in group.strata.items()), sum(told.values())

    allowed = _allowed(group)
    return max([part for part in allowed if part in open_] or allowed, key=missing)


def _fill(told: dict[str, float], group: Group) -> None:
    for name, count in group.strata.items():
        told[name] -= count


def _by_time(
    groups: Sequence[Group], free: Sequence[int], wanted: dict[Split, float], chosen: dict[int, Split]
) -> dict[int, Split]:
    """A group is as new as its newest example: nothing in train is newer than what it is tested on, but in groups that reach over."""
    rows: Counter[Split] = Counter()
    for at, part in chosen.items():
        rows[part] += groups[at].size
    found: dict[int, Split] = {}
    for at in sorted(free, key=lambda at: (-groups[at].newest_ms, groups[at].order)):
        allowed = _allowed(groups[at])
        order: list[Split] = [part for part in reversed(SPLITS) if part in allowed]
        with_room: list[Split] = [part for part in order if rows[part] < wanted[part]]
        found[at] = (with_room or order[-1:])[0]
        rows[found[at]] += groups[at].size
    return found


def _allowed(group: Group) -> list[Split]:
    """In the order of `SPLITS`; calibration where its members cannot agree, and who may not stand there is then dropped."""
    return [part for part in SPLITS if part in group.allowed] or ["calibration"]


def _may_stay(one: Held, part: Split, group: Group) -> bool:
    stood_elsewhere = len(group.pins) > 1 and one.pinned not in (None, part)
    return part in one.allowed and not stood_elsewhere
