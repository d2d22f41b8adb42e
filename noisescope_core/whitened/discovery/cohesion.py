"""How far sets of images agree beyond what chance allows (docs/method.md, step 6, *chance*).

In come sets of images and the correlations of a `BandGroup`; out comes the cohesion of each set.
The null is the simple one: independent, normal correlations. Real ones have heavier tails, which
`acceptance` meets with drawn signs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import chdtrc, gammaln

from noisescope_core.whitened.discovery.correlations import BandGroup

GRID_SET_CHANCE = 1e-12
"""Chance that a set chosen on the grid agrees off it as much, were noise independent and normal.
Measured (docs/method.md, step 6): true sets of 20 CycleGAN images reached 1.9 times the bound that
follows or more, the best set of photographs alone 0.7 times."""


def cohesion(
    group: BandGroup, members: NDArray[np.bool_], alive: int, chance: float
) -> NDArray[np.float64]:
    """Say how far sets exceed what chance allows.

    The mean correlation within a set is standardised band by band; for a given set of unrelated
    images the sum of the squares is at most chi-square. The bound is its value at `chance` over
    the number of subsets of that size.

    Parameters
    ----------
    group : BandGroup, on whose bands cohesion is measured
    members : (t, k) bool
    alive : int
        Images that sets were chosen from.
    chance : float
        Of finding any set of a given size beyond 1 among unrelated images, 0..1.

    Returns
    -------
    (k,) float64
        The sum over its bound.
    """
    sizes = members.sum(0)
    freedom = len(group.products)
    bounds = {size: excess_bound(alive, int(size), freedom, chance) for size in np.unique(sizes)}
    values = excess(group, members.astype(np.float32))
    return np.asarray(values / np.array([bounds[size] for size in sizes]), np.float64)


def excess(group: BandGroup, columns: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sum over the bands the squares of the standardised mean correlation within each set.

    Means below 0 add nothing.

    Parameters
    ----------
    group : BandGroup
    columns : (t, k) float32
        One set a column: 0 and 1, or with signs drawn -1, 0 and 1.

    Returns
    -------
    (k,) float64
        For a given set of unrelated images at most a chi-square, one degree of freedom a band.
    """
    tested = len(columns)
    sizes = np.abs(columns).sum(0)
    pairs = sizes * (sizes - 1) / 2
    signed = bool((columns < 0).any())
    total = np.zeros(columns.shape[1])
    for matrix, centre, spread in zip(group.products, group.centre, group.spread, strict=True):
        within = ((matrix[:tested] @ columns) * columns).sum(0) / 2 / pairs
        z = (within - (0 if signed else centre)) / spread * np.sqrt(pairs)
        total += np.maximum(z, 0) ** 2
    return total


def bound_of_one_set(group: BandGroup) -> float:
    """Give the chi-square bound of a set that was not chosen by the bands of this group.

    There are no subsets to allow for, so the chance can be far smaller (`GRID_SET_CHANCE`).
    """
    return excess_bound(1, 1, len(group.products), GRID_SET_CHANCE)


def excess_bound(images: int, size: int, freedom: int, chance: float) -> float:
    """Give the chi-square value that chance rarely exceeds in any subset of the images.

    Parameters
    ----------
    images, size : int
        Images, and how many of them are in a subset.
    freedom : int
        Degrees of freedom: bands.
    chance : float
        Probability, 0..1, that any of these subsets exceeds the value, at most.

    Examples
    --------
    >>> round(excess_bound(1, 1, 1, 0.05), 2)
    3.84
    >>> excess_bound(1000, 50, 27, 0.01) > excess_bound(100, 50, 27, 0.01)
    True
    """
    subsets = gammaln(images + 1) - gammaln(size + 1) - gammaln(images - size + 1)
    target = np.log(chance) - subsets

    def missing(value: float) -> float:
        tail = chdtrc(freedom, value)
        if tail > 0:
            log_tail = np.log(tail)
        else:
            # Beyond the smallest double the tail is exp(-x / 2) and a power.
            half = freedom / 2
            log_tail = -value / 2 + (half - 1) * np.log(value / 2) - gammaln(half)
        return float(log_tail - target)

    return float(brentq(missing, freedom, 10 * (freedom - target)))
