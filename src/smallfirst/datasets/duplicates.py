"""Examples found twice: one is kept of those with the same text, and of those nearly the same that agree. What is alike shares a group."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from smallfirst.datasets.example import SPLITS, Split
from smallfirst.datasets.held import Held, Shelf
from smallfirst.datasets.likeness import PERMUTATIONS, boilerplate, like_pairs, signatures
from smallfirst.datasets.manifest import Duplicates, Rule
from smallfirst.datasets.union import Union

_FRAME_SAMPLE = 2000
_AT_ONCE = 1000
Progress = Callable[[str, int, int], None]


class Found:
    """The examples that are kept, those that were removed for each (whose keys bind it still), pairs that are alike, and the counts."""

    def __init__(self) -> None:
        self.kept: list[Held] = []
        self.stand_for: dict[int, list[Held]] = defaultdict(list)  # place in `kept` to those removed for it
        self.alike: list[tuple[int, int]] = []
        self.counts = Duplicates()


def find_duplicates(shelf: Shelf, rule: Rule, *, judged: bool, progress: Progress) -> Found:
    """`judged`: whether two different references of one text contradict one another (texts do not: many are right).

    The result does not depend on the order of the examples.
    """
    found = Found()
    by_text: dict[str, list[Held]] = defaultdict(list)
    for one in shelf.held:
        by_text[one.text].append(one)
    texts = sorted(by_text)
    first, others, contradicting = [], [], 0
    for text in texts:
        kept, removed = _exact(by_text[text], judged=judged) if rule.deduplicate else (by_text[text], [])
        contradicting += judged and len({one.reference for one in by_text[text]}) > 1
        first.append(kept)
        others.append(removed)
    pairs = _pairs(shelf, [kept[0] for kept in first], rule.near, progress)
    clusters = Union(len(texts))
    for left, right, likeness in pairs:
        agree = not judged or first[left][0].reference == first[right][0].reference
        if rule.deduplicate and likeness >= rule.same and agree:
            clusters.join(left, right)
    place, near_removed = _keep(found, first, others, clusters)
    alike = {
        (place[clusters.find(left)], place[clusters.find(right)])
        for left, right, _ in pairs
        if clusters.find(left) != clusters.find(right)
    }
    found.alike = sorted(alike)
    found.counts = Duplicates(
        exact_removed=sum(len(removed) for removed in others),
        near_removed=near_removed,
        near_kept=len({at for pair in alike for at in pair}),
        contradicting=contradicting,
    )
    return found


def _exact(same: Sequence[Held], *, judged: bool) -> tuple[list[Held], list[Held]]:
    """Of examples with one text: the word of a person, then of the model that was asked to teach, then another's, and what was written for the
    task last; among those that of the majority, then the newest.
    """
    best_known = (
        [one for one in same if one.by_person]
        or [one for one in same if one.taught and not one.synthetic]
        or [one for one in same if not one.synthetic]
        or list(same)
    )
    counts = Counter(one.reference for one in best_known)
    best = max(
        best_known,
        key=lambda one: (
            _protection(one.pinned),
            counts[one.reference] if judged else 0,
            one.at_ms,
            one.reference,
            one.id,
        ),
    )
    removed = [one for one in same if one is not best]
    best.given = max((one.given for one in same), key=_protection)
    best.pinned = max((one.pinned for one in same), key=_protection)
    return [best], removed


def _keep(
    found: Found, first: list[list[Held]], others: list[list[Held]], clusters: Union
) -> tuple[dict[int, int], int]:
    """Fills `kept` and `stand_for`. Returns where the first of each cluster now is, and how many near-duplicates went."""
    members: dict[int, list[int]] = defaultdict(list)
    for at in range(len(first)):
        members[clusters.find(at)].append(at)
    place, near_removed = {}, 0
    for root, cluster in members.items():
        best = max(
            cluster,
            key=lambda at: (_protection(first[at][0].pinned), first[at][0].own, first[at][0].at_ms, -at),
        )
        place[root] = len(found.kept)
        removed = [one for at in cluster for one in (*others[at], *(first[at] if at != best else ()))]
        near_removed += sum(len(first[at]) for at in cluster if at != best)
        chosen = first[best][0]
        if len(cluster) > 1:
            chosen.given = max((first[at][0].given for at in cluster), key=_protection)
        found.stand_for[len(found.kept)] += removed
        found.kept += first[best]
    return place, near_removed


def _pairs(
    shelf: Shelf, firsts: Sequence[Held], near: float, progress: Progress
) -> list[tuple[int, int, float]]:
    if near > 1 or len(firsts) < 2:
        return []
    frame = boilerplate(shelf.texts(firsts[:_FRAME_SAMPLE]))
    rows = np.empty((len(firsts), PERMUTATIONS), np.uint32)
    for start in range(0, len(firsts), _AT_ONCE):
        part = firsts[start : start + _AT_ONCE]
        rows[start : start + len(part)] = signatures(list(shelf.texts(part)), frame)
        progress("comparing", start + len(part), len(firsts))
    return list(like_pairs(rows, near))


def _protection(part: Split | None) -> int:
    """How well guarded a part is: held-out most."""
    return -1 if part is None else SPLITS.index(part)
