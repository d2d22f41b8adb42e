"""From a seed to a set: who else shares its tile, and whether chance does (docs/lattice.md, 3, 4).

In come `Views` of a pile, out come sets of images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr
from scipy.stats import binom

from noisescope_core.lattice.background import Views
from noisescope_core.whitened.discovery.confidence import STUDENT_FREEDOM

NEIGHBOURS = 7
"""Images that a seed takes beside its first. Chosen: the smallest sets that stand out have
eight."""

GROWTH_BAR = 3.0
"""Spreads of the reference images' cosines above which an image joins. Measured on nine generators
among photographs: 4 leaves members out, at 3 photographs come with them."""

GROWTH_QUANTILE = 0.998
"""Quantile of the reference images' cosines above which an image joins: their tails are heavier
than a normal law's. Chosen: one in five hundred."""

ROUNDS = 30
"""Times that a set is chosen anew at most. Chosen; nearly all rest after ten."""

LEAST = 6
"""Images in the smallest set. Chosen: fewer say too little of their maker."""

BLOCK = 1000
"""Images whose cosines with all others are held at once. Chosen: 80 MB of a pile of 20,000."""

CHANCE = 1e-10
"""Probability below which a set is more than chance. Chosen: some thousand seeds are tried in a
pile, and in a scan's lifetime some million."""


@dataclass(frozen=True)
class LatticeSet:
    """Images that share a tile.

    Attributes
    ----------
    members : rows of the tested images, ascending
    chance : natural logarithm of the probability that chance finds as many as strong
    """

    members: NDArray[np.intp]
    chance: float


def standardised(views: Views, members: NDArray[np.intp]) -> NDArray[np.float64]:
    """Cosines of all tested images with some of them, in spreads of the reference's: (n,)."""
    reference = views.reference_cosines(members)
    spread = float(np.sqrt(np.mean(reference**2))) + 1e-12
    return np.asarray(views.cosines(members) / spread, np.float64)


def grown(views: Views, seed: NDArray[np.intp], free: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Choose anew who belongs to a set until it rests.

    Parameters
    ----------
    views : of the pile
    seed : rows of tested images
    free : (n,) bool
        Who may belong: what other sets hold may not.

    Returns
    -------
    rows, ascending; fewer than `LEAST` if the set falls apart
    """
    members, before = np.sort(seed), {b""}
    for _ in range(ROUNDS):
        reference = views.reference_cosines(members)
        spread = np.sqrt(np.mean(reference**2))
        bar = max(GROWTH_BAR * spread, float(np.quantile(reference, GROWTH_QUANTILE)))
        chosen = np.flatnonzero((views.cosines(members) > bar) & free)
        # Noise never rests: it goes round among a few sets.
        if len(chosen) < LEAST or chosen.tobytes() in before:
            return chosen
        members = chosen
        before.add(members.tobytes())
    return members


def chance_of(strengths: NDArray[np.float64], images: int) -> float:
    """Say how probable it is that so many images of a pile are as strong by chance.

    Parameters
    ----------
    strengths : (m,) float, standardised cosines of a set's members
    images : of the pile

    Returns
    -------
    float
        Natural logarithm of the smallest probability over all bars.

    Examples
    --------
    >>> chance_of(np.full(10, 9.0), 1000) < -50 < chance_of(np.full(3, 3.0), 1000)
    True
    """
    strong = np.sort(strengths)[::-1]
    tails = stdtr(STUDENT_FREEDOM, -strong)
    counts = np.arange(1, len(strong) + 1)
    return float(binom.logsf(counts - 1, images, tails).min())


def seeds(views: Views, free: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """Propose where sets start: an image and its nearest, those that most others agree with first.

    Parameters
    ----------
    views : of the pile
    free : (n,) bool
        Who may belong.

    Returns
    -------
    list of (8,) rows, ascending
        Groups that more images agree with than reference images let expect.
    """
    rows = np.flatnonzero(free)
    if len(rows) <= NEIGHBOURS:
        return []
    units = views.tested[rows]
    groups, closeness = _nearest(units)
    gain = np.empty(len(rows))
    for block in _blocks(len(rows)):
        agreed = units @ _directions(units, groups[block]).T
        # An image agrees with a group that it is in, whatever it shows.
        np.put_along_axis(agreed, groups[block].T, -np.inf, axis=0)
        bar, share = _bars(views, rows[groups[block]])
        expected = share * len(rows)
        gain[block] = (agreed > bar).sum(0) - expected - 3 * np.sqrt(expected + 1)
    # Among equals the closest group.
    order = np.lexsort((-closeness, -gain))
    return [np.sort(rows[groups[k]]) for k in order if gain[k] > -LEAST]


def _blocks(rows: int) -> list[slice]:
    return [slice(first, first + BLOCK) for first in range(0, rows, BLOCK)]


def _nearest(units: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Each image with its nearest: (n, 8) rows, and the sum of their cosines with it: (n,)."""
    groups = np.empty((len(units), NEIGHBOURS + 1), np.intp)
    closeness = np.empty(len(units), np.float32)
    for block in _blocks(len(units)):
        products = units[block] @ units.T
        own = np.arange(block.start, block.start + len(products))
        products[own - block.start, own] = -np.inf
        nearest = np.argpartition(-products, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        groups[block] = np.concatenate([own[:, None], nearest], axis=1)
        closeness[block] = np.take_along_axis(products, nearest, axis=1).sum(1)
    return groups, closeness


def _directions(units: NDArray[np.float32], groups: NDArray[np.intp]) -> NDArray[np.float32]:
    """Direction of the sum of each group, (g, k) rows: (g, 1536)."""
    totals = np.zeros((len(groups), units.shape[1]), np.float32)
    for column in groups.T:
        totals += units[column]
    lengths = np.linalg.norm(totals, axis=1, keepdims=True)
    return np.asarray(totals / (lengths + 1e-12), np.float32)


def _bars(
    views: Views, groups: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The bar for the cosines with each group, and the share of reference images above it."""
    cosines = np.concatenate(
        [
            reference @ _directions(tested, groups).T
            for tested, reference in zip(views.halves, views.reference, strict=True)
        ]
    )
    bar = GROWTH_BAR * np.sqrt(np.mean(cosines**2, axis=0))
    return bar, (cosines > bar).mean(0)
