"""Fits the views of a label head: kernel ridge regressions in closed form, with what each would say of its own rows had it not seen them.

For ridge regression that is exact and free: a row's leave-one-out score is its target less its dual weight over the inverse's diagonal, and the same
with blocks gives the scores of a whole class as if that class had been absent (Rifkin and Lippert, "Notes on regularized least squares", MIT 2007).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from smallfirst.classify.embedder import unit
from smallfirst.classify.head_views import GramView, KernelView, LinearView, kernel
from smallfirst.classify.ngrams import Counts, Ngrams, grams
from smallfirst.training.logistic import sklearn

_MOST_GRAMS = 40_000
_LEAST_TEXTS = 2
_COMMON_GRAMS = 512  # held as a dense block
_BLOCK = 2000


class FittedView(msgspec.Struct, frozen=True):
    """A view, and [n, labels] each: its scores of rows that it did not see, and of rows whose class it did not see."""

    view: KernelView | GramView | LinearView
    unseen: np.ndarray
    classless: np.ndarray


def fit_kernel_view(
    vectors: np.ndarray, targets: np.ndarray, groups: Sequence[np.ndarray], *, gain: float, penalty: float
) -> FittedView:
    """`vectors` [n, dimensions] of length 1, `targets` [n, labels], `groups` the rows of each label."""
    centre = vectors.mean(axis=0)
    points = unit(vectors - centre).astype(np.float16).astype(np.float32)  # as the artifact will hold them
    dual, unseen, classless = _ridge(kernel(points @ points.T, gain), targets, groups, penalty)
    return FittedView(KernelView(centre, points, dual, gain), unseen, classless)


def fit_gram_view(
    texts: Sequence[str], targets: np.ndarray, groups: Sequence[np.ndarray], *, penalty: float
) -> FittedView:
    """The n-grams that occur in two texts or more, the commonest."""
    counted = [grams(text) for text in texts]
    ngrams = _vocabulary(counted)
    rows = [ngrams.row(counts) for counts in counted]
    dual, unseen, classless = _ridge(_products(rows, len(ngrams.hashes)), targets, groups, penalty)
    weights = np.zeros((len(ngrams.hashes), targets.shape[1]), np.float32)
    for (columns, values), coefficients in zip(rows, dual, strict=True):
        weights[columns] += values[:, None] * coefficients
    return FittedView(GramView(ngrams, weights), unseen, classless)


def _vocabulary(counted: Sequence[tuple[Counts, Counts]]) -> Ngrams:
    texts: Counter[tuple[int, int]] = Counter()
    for words, pieces in counted:
        texts.update((0, one) for one in words)
        texts.update((1, one) for one in pieces)
    kept = sorted(
        (one for one, count in texts.items() if count >= _LEAST_TEXTS), key=lambda one: (-texts[one], one)
    )[:_MOST_GRAMS]
    kept = [one for one in kept if one[0] == 0] + [one for one in kept if one[0] == 1]
    hashes = np.array([one for _, one in kept], np.uint32)
    idf = np.array([np.log((1 + len(counted)) / (1 + texts[one])) + 1 for one in kept], np.float32)
    return Ngrams(hashes, idf, sum(one[0] == 0 for one in kept))


def _products(rows: Sequence[tuple[np.ndarray, np.ndarray]], columns: int) -> np.ndarray:
    """[n, n] products of sparse rows. The commonest columns make most of the work and are multiplied densely."""
    sklearn("base")  # brings scipy, or says what to install
    from scipy import sparse

    ends = np.cumsum([0] + [len(at) for at, _ in rows])
    matrix = sparse.csr_matrix(
        (np.concatenate([values for _, values in rows]), np.concatenate([at for at, _ in rows]), ends),
        (len(rows), columns),
    )
    counts = np.bincount(matrix.indices, minlength=columns)
    order = np.argsort(-counts, kind="stable")
    dense = matrix[:, order[:_COMMON_GRAMS]].toarray()
    products = dense @ dense.T
    rest = matrix[:, order[_COMMON_GRAMS:]].tocsr()
    turned = rest.T.tocsr()
    for at in range(0, len(rows), _BLOCK):
        products[at : at + _BLOCK] += (rest[at : at + _BLOCK] @ turned).toarray()
    return products


def _ridge(
    products: np.ndarray, targets: np.ndarray, groups: Sequence[np.ndarray], penalty: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The dual weights, and the scores of unseen rows and of unseen classes. `products` is used up."""
    products[np.diag_indices(len(products))] += np.float32(penalty)
    inverse = _inverse(products)
    dual = inverse @ targets
    unseen = targets - dual / np.diag(inverse)[:, None]
    classless = np.zeros_like(targets)
    for group in groups:
        block = inverse[np.ix_(group, group)].astype(np.float64)
        classless[group] = targets[group] - np.linalg.solve(block, dual[group])
    return dual.astype(np.float32), unseen, classless


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """Of a symmetric positive definite matrix in float32, in place: Cholesky by LAPACK."""
    from scipy.linalg.lapack import spotrf, spotri  # pyright: ignore[reportAttributeAccessIssue] (made at import)

    factor, failed = spotrf(
        matrix.T, lower=1, overwrite_a=1
    )  # symmetric: its transpose is itself in Fortran's order
    if failed:
        raise np.linalg.LinAlgError("the kernel of the examples is not positive definite")
    inverse, _ = spotri(factor, lower=1, overwrite_c=1)
    for at in range(0, len(inverse), 1024):  # LAPACK fills one triangle
        end = min(len(inverse), at + 1024)
        inverse[at:end, end:] = inverse[end:, at:end].T
        corner = np.tril(inverse[at:end, at:end])
        inverse[at:end, at:end] = corner + np.tril(corner, -1).T
    return inverse
