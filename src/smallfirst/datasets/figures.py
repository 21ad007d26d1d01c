"""The sums of one part that its manifest tells: balance of labels, slices, lengths. They hold no text."""

from __future__ import annotations

import math
from collections import Counter

from smallfirst.datasets.example import Example
from smallfirst.datasets.manifest import Lengths, Part

_MOST_VALUES = 200  # of labels and of each slice, the commonest
_PER_DOUBLING = 4


class Figures:
    """Takes a part's examples one by one."""

    def __init__(self) -> None:
        self.rows = 0
        self._labels: Counter[str] = Counter()
        self._slices: dict[str, Counter[str]] = {}
        self._references_by: Counter[str] = Counter()
        self._tenants: set[str] = set()
        self._groups: set[str] = set()
        self._synthetic = 0
        self._simulated = 0
        self._chars: Counter[int] = Counter()

    def add(self, example: Example, chars: int) -> None:
        """`chars`: the length of what was asked."""
        self.rows += 1
        label = example.label
        self._labels.update([label] if isinstance(label, str) else label or ())
        for name, value in example.slices.items():
            self._slices.setdefault(name, Counter())[value] += 1
        self._references_by[example.lineage.reference_by] += 1
        self._tenants.add(example.tenant)
        self._groups.add(example.group)
        self._synthetic += example.synthetic
        self._simulated += example.lineage.simulated
        self._chars[chars] += 1

    def part(self, *, sha256: str, size: int) -> Part:
        return Part(
            sha256=sha256,
            bytes=size,
            rows=self.rows,
            groups=len(self._groups),
            labels=dict(sorted(self._labels.items())),
            slices={name: _commonest(values) for name, values in sorted(self._slices.items())},
            references_by=dict(sorted(self._references_by.items())),
            tenants=len(self._tenants - {""}),
            synthetic=self._synthetic,
            simulated=self._simulated,
            lengths=self._lengths(),
        )

    def _lengths(self) -> Lengths:
        histogram: Counter[int] = Counter()
        for chars, count in self._chars.items():
            histogram[bucket_of(chars)] += count
        return Lengths(
            p50=self._quantile(0.5),
            p95=self._quantile(0.95),
            longest=max(self._chars, default=0),
            histogram={str(bucket): histogram[bucket] for bucket in sorted(histogram)},
        )

    def _quantile(self, q: float) -> int:
        left = math.ceil(q * self.rows)
        for chars in sorted(self._chars):
            left -= self._chars[chars]
            if left <= 0:
                return chars
        return 0


def bucket_of(chars: int) -> int:
    """The quarter of a doubling in which a length lies."""
    return round(_PER_DOUBLING * math.log2(max(1, chars)))


def chars_of(bucket: int) -> int:
    """The length in the middle of a bucket."""
    return round(2 ** (bucket / _PER_DOUBLING))


def _commonest(values: Counter[str]) -> dict[str, int]:
    kept = sorted(values.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in kept[_MOST_VALUES:])
    return dict(sorted(kept[:_MOST_VALUES])) | ({"(other)": rest} if rest else {})
