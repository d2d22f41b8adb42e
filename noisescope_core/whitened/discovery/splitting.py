"""A set grown out of two generators, told apart (docs/method.md, step 7).

In come the correlations of a set's members, out comes a side for each of them, or nothing.
Siblings (two trainings of one architecture, two versions of a model) share a part of their
patterns, so one set can grow around both. Then its correlations are not all of one kind: images
agree with their own half more than with the other. Where to cut is learned on every other band
and proved on the rest, which knows nothing of the cut, both ways round.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import eigsh

MOST_ALIKE = 0.55
"""Cosine of two patterns, band by band, from which they are taken for one. Measured
(docs/method.md, step 7): aligned faces of one generator fall into groups of 0.64 to 0.70."""

PROOF = 8.0
"""Standard errors by which halves must agree more within than between. Chosen: the cut was made
where images agree, so a few standard errors prove nothing."""

LEAST_TO_SPLIT = 12
"""Members of the smallest set that is cut. Chosen: both sides need enough pairs for a mean."""

LEAST_ON_A_SIDE = 3
"""Members of the smallest side, while the cut is made. Chosen: fewer have no mean of pairs."""

CUT_ROUNDS = 10
"""Times that the diagonal is filled, and that members change sides, at most. Chosen: a cut that
moves longer is none."""


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
    if products.shape[1] < LEAST_TO_SPLIT:
        return None
    for learned, held_out in ((0, 1), (1, 0)):
        side = _cut(_weighed(products[learned::2], weights[learned::2]))
        if side is None or not _proved(products[held_out::2], weights[held_out::2], side):
            return None
    return _cut(_weighed(products, weights))


def _weighed(products: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weigh and sum the bands: (m, m)."""
    return np.asarray(np.tensordot(weights, products, 1), np.float64)


def _cut(agreement: NDArray[np.float64]) -> NDArray[np.bool_] | None:
    """Put each member, (m,) bool, with those it agrees with; None if a side is all but empty."""
    images = len(agreement)
    filled = agreement.copy()
    # Members differ in strength, which alone is a pattern of rank one.
    for _ in range(CUT_ROUNDS):
        values, vectors = eigsh(filled, 2, which="LA", v0=np.ones(images))
        leading = vectors[:, 1] ** 2 * values[1] + vectors[:, 0] ** 2 * values[0]
        np.fill_diagonal(filled, leading)
    side = vectors[:, 0] > 0
    for _ in range(CUT_ROUNDS):
        if min(side.sum(), (~side).sum()) < LEAST_ON_A_SIDE:
            return None
        first = agreement @ side / (side.sum() - side)
        second = agreement @ ~side / ((~side).sum() - ~side)
        if ((first > second) == side).all():
            return np.asarray(side)
        side = first > second
    return None


def _proved(
    products: NDArray[np.float32], weights: NDArray[np.float64], side: NDArray[np.bool_]
) -> bool:
    """Say whether the sides agree within, but not between, on bands that did not cut them."""
    first, second = products[:, side][:, :, side], products[:, ~side][:, :, ~side]
    between = products[:, side][:, :, ~side]
    pairs = [part.shape[1] * (part.shape[1] - 1) for part in (first, second)]
    within = [
        part.sum((1, 2), dtype=np.float64) / count
        for part, count in zip((first, second), pairs, strict=True)
    ]
    across = between.mean((1, 2), dtype=np.float64)
    # One pattern may be stronger in some bands on one side (images saved at another quality):
    # it still agrees with itself band by band.
    expected = float(weights @ np.sqrt(np.maximum(within[0], 0) * np.maximum(within[1], 0)))
    agreement = float(weights @ across)
    spread = float(np.tensordot(weights, between - across[:, None, None], 1).std())
    error = spread * np.sqrt(0.5 / pairs[0] + 0.5 / pairs[1] + 1 / between[0].size)
    return agreement < MOST_ALIKE * expected and expected - agreement > PROOF * error
