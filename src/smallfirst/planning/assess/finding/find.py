"""Finds the features in a stream of calls: one pass, bounded memory, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from smallfirst.datasets.row import Tally
from smallfirst.datasets.union import Union
from smallfirst.planning.assess.feature import Feature
from smallfirst.planning.assess.finding.answer_shape import Shape, shape_of
from smallfirst.planning.assess.finding.counted import Counted, hold_down
from smallfirst.planning.assess.finding.found import Found
from smallfirst.planning.assess.finding.frame import Frame
from smallfirst.planning.assess.finding.frame_tree import Node, shared_text
from smallfirst.planning.assess.finding.likeness import Part, same_question
from smallfirst.planning.assess.finding.naming import Named, name_features
from smallfirst.planning.assess.finding.passing import Recent, passing
from smallfirst.planning.assess.finding.prompt_text import read_prompt
from smallfirst.planning.assess.finding.sorting import BATCH_CALLS, UNKNOWN, Sorter
from smallfirst.planning.assess.observed import Observed

MAX_FEATURES = 50
_LEAST_SHARE = 0.0005  # of all calls; rarer ones are left unsorted
_SORTERS = 64  # kinds of requests (tools, schema) that are looked at apart; more are looked at together
_TASKS = 500
_SAMPLES_BYTES = 256 * 1024 * 1024
_TOLD_EVERY = 2000
_WAITING = 3 * BATCH_CALLS  # calls at most that wait to be learned from
_TOOL_SHARE = 0.2
_LOOKED = 300  # calls of a feature's sample that are looked at to name it
_PROMPT_CHARS = 2000

Progress = Callable[[str, int, int], None]
"""To be told the step, what is done of it, and how much there is (0: unknown)."""


class _Group(NamedTuple):
    """`lesson`: groups that were told apart in the same one stay apart."""

    counted: Counted
    sorted_out: bool  # False: what had no frame in common with anything
    lesson: tuple[int, int] | None = None


def find_features(
    calls: Iterable[Observed],
    *,
    seed: int = 0,
    tally: Tally | None = None,
    progress: Progress = lambda *_: None,
) -> Found:
    """The features of a stream. `tally`, which the readers fill while the stream is read, is told in what is found.

    A declared task is a feature, whatever its prompts. Other calls are told apart by their tools and schema, then by what their prompts have in
    common (`frame_tree.py`), then, where that says little, by what answers look like. Features that ask the same in other words are joined.
    """
    stream = _Stream(seed)
    for observed in calls:
        stream.add(observed)
        if stream.calls % _TOLD_EVERY == 0:
            progress("sorting", stream.calls, 0)
    progress("naming", stream.calls, stream.calls)
    groups = _joined(stream.settled())
    return _found(groups, stream.calls, tally or Tally())


class _Stream:
    """Calls on their way to their groups."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  (a sample, no secret)
        self._sorters: dict[tuple[object, ...], Sorter] = {}
        self._declared: dict[tuple[str, str], Counted] = {}
        self._recent = Recent()
        self.calls = 0

    def add(self, observed: Observed) -> None:
        self.calls += 1
        one = passing(observed, lot=self._random.random(), order=self.calls, recent=self._recent)
        if observed.task or not one.prompt.chars:
            name = (observed.task, "" if observed.task else observed.model)
            if name not in self._declared and len(self._declared) >= _TASKS:
                name = ("", "")
            self._declared.setdefault(name, Counted()).add(one)
        else:
            self._sorter(observed).add(one)
        if self.calls % _TOLD_EVERY == 0:
            self._bound()

    def settled(self) -> list[_Group]:
        """All groups, when the stream has ended."""
        found = [_Group(counted, sorted_out=True) for counted in self._declared.values()]
        for number, sorter in enumerate(self._sorters.values()):
            sorter.settle()
            for (group, part), counted in sorter.groups.items():
                lesson = (number, sorter.lessons[group]) if group in sorter.lessons else None
                found.append(_Group(counted, group != UNKNOWN or bool(part), lesson))
        return found

    def _sorter(self, observed: Observed) -> Sorter:
        kind: tuple[object, ...] = (observed.schema, *sorted(observed.tools))
        sorter = self._sorters.get(kind)
        if sorter is None:
            if len(self._sorters) >= _SORTERS:
                kind = ("", bool(observed.tools), "others")
            sorter = self._sorters.setdefault(kind, Sorter())
        return sorter

    def _bound(self) -> None:
        while sum(sorter.waiting for sorter in self._sorters.values()) > _WAITING:
            max(self._sorters.values(), key=lambda sorter: sorter.waiting).settle()
        groups = [counted for sorter in self._sorters.values() for counted in sorter.groups.values()]
        hold_down([*groups, *self._declared.values()], _SAMPLES_BYTES)


class _Seen:
    """A group with what its sample says of it."""

    def __init__(self, group: _Group) -> None:
        self.counted = group.counted
        self.lesson = group.lesson
        self.sorted_out = group.sorted_out
        self.sample = group.counted.sample.calls()
        step = max(1, len(self.sample) // _LOOKED)
        looked = self.sample[::step]
        self.prompts = [read_prompt(observed.messages) for observed in looked]
        self.shared = shared_text(self.prompts)
        self.shape: Shape = shape_of([(observed.answer, observed.calls_tools) for observed in looked])

    @property
    def part(self) -> Part:
        text = "\n".join(self.shared)
        return Part(Node(Frame((), text), _NOBODY, _NOBODY, []), "", self.shape)


_NOBODY = np.empty(0, int)


def _joined(groups: list[_Group]) -> list[_Seen]:
    """The groups, those that ask the same joined: a prompt that was rewritten, or that moved to another schema or tool."""
    groups = sorted(groups, key=lambda group: -group.counted.sums["calls"])
    seen = [_Seen(group) for group in groups[: 4 * MAX_FEATURES]]
    parts = [one.part for one in seen]
    union = Union(len(seen))
    for right in range(len(seen)):
        for left in range(right):
            if _may_join(seen[left], seen[right]) and same_question(parts[left], parts[right]):
                union.join(left, right)
    kept: dict[int, int] = {}
    result: list[_Seen] = []
    for at, one in enumerate(seen):
        root = union.find(at)
        if root in kept:
            into = result[kept[root]]
            into.counted.join(one.counted)
            result[kept[root]] = joined = _Seen(_Group(into.counted, sorted_out=True))
            joined.shared = joined.shared or into.shared
        else:
            kept[root] = len(result)
            result.append(one)
    rest = Counted()
    for group in groups[4 * MAX_FEATURES :]:
        rest.join(group.counted)
    return [*result, _Seen(_Group(rest, sorted_out=False))] if rest.sums["calls"] else result


def _may_join(left: _Seen, right: _Seen) -> bool:
    """Not where the calls of each name tasks of their own, and not what has no prompt in common."""
    one, other = left.counted.by["tasks"], right.counted.by["tasks"]
    if one and other and not one.keys() & other.keys():
        return False
    if left.lesson is not None and left.lesson == right.lesson:
        return False
    return bool(left.shared and right.shared) and left.sorted_out and right.sorted_out


def _found(groups: list[_Seen], calls: int, tally: Tally) -> Found:
    groups = sorted(groups, key=lambda one: -one.counted.sums["calls"])
    sure = [one for one in groups if one.sorted_out and one.counted.sums["calls"] >= _LEAST_SHARE * calls][
        :MAX_FEATURES
    ]
    rest = [one for one in groups if not any(one is kept for kept in sure)]
    named = [_named(one) for one in sure]
    name_features(named)
    left: Feature | None = None
    if rest:
        together = Counted()
        for one in rest:
            together.join(one.counted)
        seen = _Seen(_Group(together, sorted_out=False))
        left = _feature(seen, _named(seen, "unsorted"))
    return Found(
        features=tuple(_feature(one, name) for one, name in zip(sure, named, strict=True)),
        unsorted=left,
        calls=calls,
        skipped=dict(tally.skipped.most_common()),
        notes=dict(tally.noted.most_common()),
    )


def _named(one: _Seen, name: str = "") -> Named:
    calls = one.counted.sums["calls"]
    return Named(
        shared="\n".join(one.shared),
        said=[prompt.text[prompt.first_user :] for prompt in one.prompts],
        shape=one.shape,
        tasks=dict(one.counted.by["tasks"]),
        models=dict(one.counted.by["models"].most_common()),
        calls=calls,
        uses_tools=one.counted.sums["tool_calls"] >= _TOOL_SHARE * calls,
        prompts_kept=any(prompt.chars for prompt in one.prompts),
        name=name,
    )


def _feature(one: _Seen, named: Named) -> Feature:
    shared = " … ".join(one.shared)
    prompt = shared if len(shared) <= _PROMPT_CHARS else shared[: _PROMPT_CHARS - 1] + "…"
    return Feature(
        name=named.name, words=named.words, prompt=prompt, sample=one.sample, **one.counted.figures()
    )
