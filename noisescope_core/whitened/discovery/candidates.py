"""Where a shared pattern may be: the sets of images that growth starts from (docs/method.md, 4).

In come correlations of all pairs, out come sets of row numbers. There are two sources. Pairs that
correlate more than chance allows are merged into clusters, which finds few images with a strong
pattern. Leading directions of the correlation matrix of tested and reference images together find
many images with a weak one: because both kinds stand in one matrix, photographs like the
reference can gather in no direction but by chance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import eigsh
from scipy.special import chdtri

from noisescope_core.correlation.matching import match_pairs
from noisescope_core.correlation.pairs import Pairs

LEADING_DIRECTIONS = 6
"""Leading eigenvectors that are looked at. Chosen: one direction often carries two or three
generators, and a search takes one set at a time."""

REFERENCE_QUANTILES = (0.9, 0.98)
"""Quantiles, 0..1, of the reference images' entries along a direction, beyond which tested images
are a start. Chosen: the lower one for patterns of many images, the higher one for few."""

FALSE_MERGES = 0.05
"""Chance, 0..1, that any pair of unrelated images is merged at the start. Chosen: a false merge
costs little, since growth drops it."""

LEAST_CLUSTER = 3
"""Images in the smallest cluster that growth starts from. Chosen: the least that grows too."""


def pair_clusters(correlations: NDArray[np.float32], scale: float) -> list[list[int]]:
    """Merge images whose correlation is above what chance makes of so many pairs.

    A cluster is the sum of its features, so its correlations follow from those of its images.

    Parameters
    ----------
    correlations : (n, n) float32, 0 on the diagonal and where a pair must not be merged
    scale : float
        `scale` times a squared correlation of unrelated images is chi-square with one degree of
        freedom.

    Returns
    -------
    list of list of int
        Clusters of three images or more, row numbers.

    Examples
    --------
    >>> correlations = np.zeros((6, 6), np.float32)
    >>> correlations[np.ix_([0, 2, 5], [0, 2, 5])] = 0.1 * (1 - np.eye(3))
    >>> pair_clusters(correlations, 10_000.0)
    [[0, 2, 5]]
    """
    images = len(correlations)
    if images < LEAST_CLUSTER:
        return []
    bar = np.sqrt(chdtri(1, 2 * FALSE_MERGES / (images * (images - 1))) / scale)
    clusters = [[image] for image in range(images)]
    products = correlations + np.eye(images, dtype=np.float32)
    while True:
        norm = np.sqrt(np.maximum(np.diag(products), 1e-6))
        rho = np.tril(products / norm[:, None] / norm, -1)
        first, second = np.nonzero(rho > bar)
        if not len(first):
            return [sorted(cluster) for cluster in clusters if len(cluster) >= LEAST_CLUSTER]
        pairs = Pairs(first, second, rho[first, second].astype(np.float64), 0, 0)
        matched = match_pairs(pairs, len(clusters))
        struck = {number for pair in matched for number in pair}
        kept = [number for number in range(len(clusters)) if number not in struck]
        groups = [list(pair) for pair in matched] + [[number] for number in kept]
        clusters = [[image for number in group for image in clusters[number]] for group in groups]
        # Rows of the two merged clusters are added up, then their columns.
        first_of = np.array([group[0] for group in groups])
        second_of = [high for _, high in matched]
        rows = products[first_of]
        rows[: len(matched)] += products[second_of]
        products = rows[:, first_of]
        products[:, : len(matched)] += rows[:, second_of]


def spectral_directions(correlations: NDArray[np.float32], tested: int) -> list[NDArray[np.intp]]:
    """Take from every leading direction the tested images that stand out of the reference.

    Parameters
    ----------
    correlations : (n, n) float32, symmetric, 0 on the diagonal; tested images first
    tested : int
        The other n - tested are reference images.

    Returns
    -------
    list of (k,) int
        Row numbers of tested images beyond a quantile of the reference images' entries, either
        way along each direction.
    """
    if not correlations.any():
        return []
    count = min(LEADING_DIRECTIONS, len(correlations) - 1)
    # A fixed start, or the directions would differ from run to run.
    start = np.ones(len(correlations))
    _, vectors = eigsh(correlations, count, which="LA", v0=start)
    return [
        np.flatnonzero(entries[:tested] > np.quantile(entries[tested:], quantile))
        for direction in vectors.T[::-1]
        for entries in (direction, -direction)
        for quantile in REFERENCE_QUANTILES
    ]
