"""Which earlier rows of a stream are nearest to each row: found once, in blocks, for all methods that look at cosines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

NEAREST = 128  # kept of each row
_BLOCK_NUMBERS = 1 << 24  # similarities that are held at once: 64 MiB


class Neighbours:
    """`order[i]`: the places of the nearest rows before row i, nearest first, −1 where there are no more; `similarity[i]` their cosines.

    `whole[i]`: every earlier row is among them. A row of zeros has no neighbours and is none, and rows of different scopes are none of each
    other's.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        *,
        told: Callable[[str, int, int], None],
        scopes: np.ndarray | None = None,
        nearest: int = NEAREST,
    ) -> None:
        """`vectors`: float32, [n, dimensions], of length 1 or 0. `scopes`: a number for each row; default: all are of one."""
        self.vectors = vectors
        self.scopes = np.zeros(len(vectors), np.int32) if scopes is None else scopes
        n = len(vectors)
        most = max(1, min(nearest, n))
        self.order = np.full((n, most), -1, np.int32)
        self.similarity = np.full((n, most), -1.0, np.float32)
        self.readable = np.einsum("ij,ij->i", vectors, vectors) > 0
        block = max(1, min(1024, _BLOCK_NUMBERS // max(1, n)))
        for begin in range(0, n, block):
            self._find(begin, min(begin + block, n), most)
            told("comparing", min(begin + block, n), n)
        self.whole = np.arange(n) <= most

    def _find(self, begin: int, end: int, most: int) -> None:
        found = self.vectors[begin:end] @ self.vectors[:end].T
        found[:, ~self.readable[:end]] = -2
        found[np.arange(end)[None, :] >= np.arange(begin, end)[:, None]] = -2
        found[~self.readable[begin:end]] = -2
        found[self.scopes[begin:end, None] != self.scopes[None, :end]] = -2
        width = min(most, end)
        if width < end:
            places = np.argpartition(-found, width - 1, axis=1)[:, :width]
        else:
            places = np.broadcast_to(np.arange(end), found.shape)
        near = np.take_along_axis(found, places, 1)
        sorted_ = np.argsort(-near, axis=1, kind="stable")
        near, places = np.take_along_axis(near, sorted_, 1), np.take_along_axis(places, sorted_, 1)
        self.order[begin:end, :width] = np.where(near > -1.5, places, -1)
        self.similarity[begin:end, :width] = near


class Shelf:
    """The rows that one method has stored, and which of them is nearest to a row."""

    def __init__(self, neighbours: Neighbours) -> None:
        self._all = neighbours
        self._stored = np.zeros(len(neighbours.vectors) + 1, bool)  # the last stands for "no neighbour"
        self._rows = np.zeros(64, np.int64)
        self._vectors = np.zeros((64, neighbours.vectors.shape[1]), np.float32)
        self._count = 0

    def put(self, row: int) -> None:
        if not self._all.readable[row]:
            return
        self._stored[row] = True
        if self._count == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
        self._rows[self._count] = row
        self._vectors[self._count] = self._all.vectors[row]
        self._count += 1

    @property
    def stored(self) -> np.ndarray:
        """The places of the stored rows, in the order in which they were put."""
        return self._rows[: self._count]

    def nearest(self, row: int, *, least: float = -1.0) -> tuple[int, float] | None:
        """The nearest stored row and its cosine; None where there is none, or none of at least `least`."""
        if not self._count or not self._all.readable[row]:
            return None
        order, similarity = self._all.order[row], self._all.similarity[row]
        stored = self._stored[order]
        at = int(stored.argmax())
        if stored[at]:
            found = int(order[at]), float(similarity[at])
        elif self._all.whole[row] or similarity[-1] < least:
            return None
        else:
            cosines = self._vectors[: self._count] @ self._all.vectors[row]
            cosines[self._all.scopes[self.stored] != self._all.scopes[row]] = -2
            at = int(cosines.argmax())
            if cosines[at] < -1.5:
                return None
            found = int(self._rows[at]), float(cosines[at])
        return found if found[1] >= least else None
