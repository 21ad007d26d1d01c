"""Two JSON values, leaf by leaf: what is right, missing, too much, of another type, or of another value.

Only what is *stated* counts: null, an absent field, an empty array and an empty object all state nothing. So an answer that leaves out what
the reference does not know is right, and one that fills every field with null gains nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from smallfirst.scoring.assignment import best_pairs
from smallfirst.scoring.label import normalised
from smallfirst.scoring.numbers import close, number_of

MAX_ALIGNED = 50_000  # values of two arrays, multiplied, that are aligned by best match; larger ones are aligned by order
KINDS = ("missing", "extra", "wrong_type", "wrong_value")


class Tally(msgspec.Struct):
    """Weighted leaves: those of the reference, those of the answer, and what of them is right."""

    expected: float = 0.0
    given: float = 0.0
    right: float = 0.0
    errors: Counter[str] = msgspec.field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        self.expected += other.expected
        self.given += other.given
        self.right += other.right
        self.errors += other.errors

    @property
    def f1(self) -> float:
        both = self.expected + self.given
        return min(1.0, 2 * self.right / both) if both else 1.0


Tallies = dict[str, Tally]
"""By the path of a leaf: `items[].price`; "" where the value itself is one."""


def merge(found: Tallies, more: Tallies) -> None:
    """Adds tallies to others, path by path."""
    for path, tally in more.items():
        found.setdefault(path, Tally()).add(tally)


class Comparer:
    """Compares values by the rules of one scorer: how each field is compared, and what it weighs. A rule holds for what lies below it, too."""

    def __init__(
        self, *, compare: Mapping[str, str], weights: Mapping[str, float], tolerance: float = 0.0
    ) -> None:
        self._compare = compare
        self._weights = weights
        self._tolerance = tolerance
        self._rules: dict[str, tuple[float, Callable[[Any, Any], float]]] = {}

    def tallies(self, given: Any, truth: Any, path: str = "") -> Tallies:
        """Tallies by path. Both values are JSON, nested no deeper than `limits.MAX_JSON_DEPTH`; they stand at `path`."""
        found: Tallies = {}
        self._values(given, truth, path, found)
        return found

    def _values(self, given: Any, truth: Any, path: str, found: Tallies) -> None:
        if isinstance(truth, dict) and isinstance(given, dict):
            for name in truth.keys() | given.keys():
                self._values(given.get(name), truth.get(name), f"{path}.{name}" if path else name, found)
        elif isinstance(truth, list) and isinstance(given, list):
            self._arrays(given, truth, f"{path}[]", found)
        elif _is_leaf(truth) and _is_leaf(given):
            self._leaves(given, truth, path, found)
        else:
            wrong = "wrong_type" if _states(truth) and _states(given) else ""
            self._all(truth, path, found, given=False, kind=wrong or "missing")
            self._all(given, path, found, given=True, kind="" if wrong else "extra")

    def _leaves(self, given: Any, truth: Any, path: str, found: Tallies) -> None:
        tally = found.setdefault(path, Tally())
        weight, compare = self._rule(path)
        if truth is not None:
            tally.expected += weight
        if given is not None:
            tally.given += weight
        if truth is None or given is None:
            if truth is not given:
                tally.errors["extra" if truth is None else "missing"] += 1
            return
        credit = compare(given, truth)
        tally.right += weight * credit
        if credit < 1:
            tally.errors["wrong_value" if _type(given) == _type(truth) else "wrong_type"] += 1

    def _all(self, value: Any, path: str, found: Tallies, *, given: bool, kind: str) -> None:
        """Every leaf of a value that has no counterpart."""
        for leaf in _leaf_paths(value, path):
            tally, weight = found.setdefault(leaf, Tally()), self._rule(leaf)[0]
            if given:
                tally.given += weight
            else:
                tally.expected += weight
            if kind:
                tally.errors[kind] += 1

    def _arrays(self, given: list[Any], truth: list[Any], path: str, found: Tallies) -> None:
        pairs = self._aligned(given, truth, path)
        for tallies in pairs.values():
            merge(found, tallies)
        given_paired, truth_paired = {mine for mine, _ in pairs}, {yours for _, yours in pairs}
        for at, value in enumerate(given):
            if at not in given_paired:
                self._all(value, path, found, given=True, kind="extra")
        for at, value in enumerate(truth):
            if at not in truth_paired:
                self._all(value, path, found, given=False, kind="missing")

    def _aligned(self, given: list[Any], truth: list[Any], path: str) -> dict[tuple[int, int], Tallies]:
        """The pairs by which most is right, each with its tallies. As many as the shorter side has: of two values without anything in common
        one is wrong, rather than one missing and one too much. No pair is compared twice, however deep it is nested.
        """
        if len(given) == len(truth) == 1 or _size(given) * _size(truth) > MAX_ALIGNED:
            pairs = [(at, at) for at in range(min(len(given), len(truth)))]
            return {pair: self.tallies(given[pair[0]], truth[pair[1]], path) for pair in pairs}
        compared = {
            (row, column): self.tallies(mine, yours, path)
            for row, mine in enumerate(given)
            for column, yours in enumerate(truth)
        }
        gains = np.zeros((len(given), len(truth)))
        for pair, tallies in compared.items():
            gains[pair] = sum(tally.right for tally in tallies.values())
        return {pair: compared[pair] for pair in best_pairs(gains)}

    def _rule(self, path: str) -> tuple[float, Callable[[Any, Any], float]]:
        found = self._rules.get(path)
        if found is None:
            places = list(_above(path))
            weight = next((self._weights[place] for place in places if place in self._weights), 1.0)
            how = next((self._compare[place] for place in places if place in self._compare), "exact")
            found = weight, {"exact": _same, "text": _alike, "numeric": self._close}[how]
            if len(self._rules) < 4096:  # paths are the answers' own words
                self._rules[path] = found
        return found

    def _close(self, given: Any, truth: Any) -> float:
        mine, yours = number_of(given), number_of(truth)
        if mine is None or yours is None:
            return _same(given, truth)
        return float(close(mine, yours, self._tolerance))


def _same(given: Any, truth: Any) -> float:
    return float(_type(given) == _type(truth) and given == truth)


def _alike(given: Any, truth: Any) -> float:
    """F1 of the words two texts have in common, without case and punctuation, as SQuAD counts (Rajpurkar et al., 2016)."""
    if not isinstance(given, str) or not isinstance(truth, str):
        return _same(given, truth)
    mine, yours = normalised(given).split(), normalised(truth).split()
    if not mine or not yours:
        return float(mine == yours)
    shared = (Counter(mine) & Counter(yours)).total()
    return 2 * shared / (len(mine) + len(yours))


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


def _is_leaf(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _states(value: Any) -> bool:
    return next(_leaf_paths(value, ""), None) is not None


def _leaf_paths(value: Any, path: str) -> Iterator[str]:
    """The path of every stated leaf."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaf_paths(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaf_paths(inner, f"{path}[]")
    elif value is not None:
        yield path


def _size(value: Any) -> int:
    """How many values it is made of, itself included."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(_size(item) for item in inner)


def _above(path: str) -> Iterator[str]:
    """A path, then the paths above it: `items[].price`, `items[]`, `items`."""
    while path:
        yield path
        if path.endswith("[]"):
            path = path[:-2]
        else:
            path = path.rpartition(".")[0]
