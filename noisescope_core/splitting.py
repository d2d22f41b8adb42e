"""A set grown out of two generators, told apart.

Siblings (two trainings of one architecture, two versions of a model) share a part of their
patterns, so one set can grow around both. Then its correlations are not all of one kind: images
agree with their own half more than with the other. Where to cut is learned on every other band
and proved on the rest, which knows nothing of the cut, both ways round.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import eigsh

MOST_ALIKE = 0.85
"""Cosine of two patterns from which they are taken for one."""

PROOF = 8.0
"""Standard errors by which halves must agree more within than between."""

LEAST = 12
SMALLEST = 3
ROUNDS = 10


def split(products: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.bool_] | None:
    """Cut a set in two where it holds two patterns.

    Parameters
    ----------
    products : (b, m, m) float32
        Correlations of the members by band, of one spread if unrelated, 0 on the diagonal.
    weights : (b,) float, of the bands

    Returns
    -------
    (m,) bool
        One of the two sides, or None if nothing proves that there are two.
    """
    if products.shape[1] < LEAST:
        return None
    parts = [_weighed(products[k::2], weights[k::2]) for k in (0, 1)]
    for learned, held_out in (parts, parts[::-1]):
        side = _cut(learned)
        if side is None or not _proved(held_out, side):
            return None
    return _cut(_weighed(products, weights))


def _weighed(products: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.tensordot(weights, products, 1), np.float64)


def _cut(agreement: NDArray[np.float64]) -> NDArray[np.bool_] | None:
    images = len(agreement)
    filled = agreement.copy()
    # Members differ in strength, which alone is a pattern of rank one.
    for _ in range(ROUNDS):
        values, vectors = eigsh(filled, 2, which="LA", v0=np.ones(images))
        leading = vectors[:, 1] ** 2 * values[1] + vectors[:, 0] ** 2 * values[0]
        np.fill_diagonal(filled, leading)
    side = vectors[:, 0] > 0
    for _ in range(ROUNDS):
        if min(side.sum(), (~side).sum()) < SMALLEST:
            return None
        first = agreement @ side / (side.sum() - side)
        second = agreement @ ~side / ((~side).sum() - ~side)
        if ((first > second) == side).all():
            return np.asarray(side)
        side = first > second
    return None


def _means(
    agreement: NDArray[np.float64], side: NDArray[np.bool_]
) -> tuple[float, float, float, float]:
    first, second = agreement[side][:, side], agreement[~side][:, ~side]
    between = agreement[side][:, ~side]
    pairs = [len(part) * (len(part) - 1) for part in (first, second)]
    within = [part.sum() / count for part, count in zip((first, second), pairs, strict=True)]
    # What chance makes of the three means, from the spread of single entries.
    residue = np.concatenate(
        [(first - within[0])[~np.eye(len(first), dtype=bool)],
         (second - within[1])[~np.eye(len(second), dtype=bool)],
         (between - between.mean()).ravel()]
    )  # fmt: skip
    error = residue.std() * np.sqrt(0.5 / pairs[0] + 0.5 / pairs[1] + 1 / between.size)
    return within[0], within[1], float(between.mean()), float(error)


def _proved(agreement: NDArray[np.float64], side: NDArray[np.bool_]) -> bool:
    first, second, between, error = _means(agreement, side)
    if min(first, second) <= 0:
        return False
    alike = between / np.sqrt(first * second)
    return bool(alike < MOST_ALIKE and (first + second) / 2 - between > PROOF * error)
