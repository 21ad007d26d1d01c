"""Deals the tickets into train, calibration and held-out anew: `python examples/helpdesk/split.py`.

Deterministic: the same rows give the same files, whichever split they stood in before. Stratified by
category. What belongs together stays together: tickets of one company, and tickets that are alike.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

from similarity import similar_pairs, words
from tickets import CATEGORIES, HERE, SPLITS, Row, read_splits, write_rows

SEED = 20261124
CALIBRATION_ROWS, HELDOUT_ROWS = 300, 500  # the rest is train
ALIKE = 0.25  # far below what anybody would call a duplicate, so that none can cross a split


def deal(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """All rows by split, each split in order of id; no group of `groups` lies in two splits."""
    rows = sorted(rows, key=lambda row: row["id"])
    rng = random.Random(SEED)
    room = _quotas(Counter(row["category"] for row in rows))
    dealt: dict[str, list[Row]] = {split: [] for split in SPLITS}
    bundles = [[rows[at] for at in group] for group in groups(rows)]
    rng.shuffle(bundles)
    # Large groups first: what is single can fill any gap that they leave.
    for bundle in sorted(bundles, key=len, reverse=True):
        wanted = Counter(row["category"] for row in bundle)
        # Where a group fits nowhere whole, a split with the least overflow takes it.
        fit = {split: sum(min(n, room[split][name]) for name, n in wanted.items()) for split in SPLITS}
        best = [split for split in SPLITS if fit[split] == max(fit.values())]
        chosen = rng.choices(best, [1 + sum(room[split].values()) for split in best])[0]
        room[chosen].subtract(wanted)
        dealt[chosen] += bundle
    return {split: sorted(part, key=lambda row: row["id"]) for split, part in dealt.items()}


def groups(rows: Sequence[Row]) -> list[list[int]]:
    """Positions of rows that must share a split: one company's, and chains of texts that are alike."""
    parent = list(range(len(rows)))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    first_of: dict[str, int] = {}
    for at, row in enumerate(rows):
        company = company_key(row)
        if company:
            parent[root(at)] = root(first_of.setdefault(company, at))
    for one, other, _ in similar_pairs([row["input"] for row in rows], ALIKE):
        parent[root(one)] = root(other)
    found: dict[int, list[int]] = defaultdict(list)
    for at in range(len(rows)):
        found[root(at)].append(at)
    return list(found.values())


def company_key(row: Row) -> str:
    """The company that wrote, however it was spelt; empty where it is not named."""
    return " ".join(words(row["record"]["customer"] or ""))


def _quotas(sizes: Counter[str]) -> dict[str, Counter[str]]:
    """How many rows of each category each split gets: in proportion, by largest remainder."""
    total = sum(sizes.values())
    room: dict[str, Counter[str]] = {}
    for split, wanted in (("calibration", CALIBRATION_ROWS), ("heldout", HELDOUT_ROWS)):
        exact = {name: sizes[name] * wanted / total for name in CATEGORIES}
        room[split] = Counter({name: int(share) for name, share in exact.items()})
        by_remainder = sorted(CATEGORIES, key=lambda name: exact[name] - int(exact[name]), reverse=True)
        room[split].update(by_remainder[: wanted - room[split].total()])
    room["train"] = Counter(
        {name: sizes[name] - room["calibration"][name] - room["heldout"][name] for name in CATEGORIES}
    )
    return room


def main() -> None:
    everything = [row for part in read_splits().values() for row in part]
    for split, rows in deal(everything).items():
        write_rows(HERE / f"{split}.jsonl", rows)
        print(f"{split}: {len(rows)} rows")


if __name__ == "__main__":
    main()
