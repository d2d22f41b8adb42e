"""From a seed to a set: who else shares its tile, and whether chance does (docs/lattice.md, 3, 4).

In come `Views` of a pile, out come sets of images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit
from scipy.stats import binom

from noisescope_core.compiled import compiled
from noisescope_core.lattice.background import BLOCK, Views, blocks, directions_of
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

BY_CHANCE = 6.0
"""Images that may join a set by chance. Chosen: what `GROWTH_QUANTILE` lets through of 3,000; in a
larger pile bars are higher, or photographs outnumber the makers' images."""

ROUNDS = 30
"""Times that a set is chosen anew at most. Chosen; nearly all rest after ten."""

LEAST = 6
"""Images in the smallest set. Chosen: fewer say too little of their maker."""

HELD = 10_000_000
"""Cosines held at once. Chosen: 40 MB."""

SEEDED = 4000
"""Seeds of which it is counted who agrees with them, the most coherent ones. Chosen: of smaller
piles all."""

CHANCE = 1e-10
"""Probability below which a set is more than chance. Chosen: some thousand seeds are tried in a
pile, and in a scan's lifetime some million."""


def raised(images: int) -> tuple[float, float]:
    """Say by what bars rise in a pile of so many images, and how many fewer then pass by chance.

    Examples
    --------
    >>> raised(2000), [round(value, 1) for value in raised(30_000)]
    ((1.0, 1.0), [1.5, 0.1])
    """
    share = 1 - GROWTH_QUANTILE
    passing = min(1.0, BY_CHANCE / (share * max(images, 1)))
    bars = stdtrit(STUDENT_FREEDOM, 1 - share * np.array([passing, 1.0]))
    return float(bars[0] / bars[1]), passing


def standardised(views: Views, sets: Sequence[NDArray[np.intp]]) -> NDArray[np.float64]:
    """Cosines of all tested images with each set, in spreads of the reference's: (n, sets)."""
    reference = views.reference_cosines(sets)
    spreads = np.sqrt(np.mean(reference**2, axis=0)) + 1e-12
    return np.asarray(views.cosines(sets) / spreads)


def grown(
    views: Views, seeds: Sequence[NDArray[np.intp]], free: NDArray[np.bool_]
) -> list[NDArray[np.intp]]:
    """Choose anew who belongs to each set until it rests, all sets side by side.

    Parameters
    ----------
    views : of the pile
    seeds : rows of tested images, for each set
    free : (n,) bool
        Who may belong: what other sets hold may not.

    Returns
    -------
    list of rows, ascending; fewer than `LEAST` if a set falls apart
    """
    sets = [np.sort(seed) for seed in seeds]
    before = [{b""} for _ in sets]
    moving = list(range(len(sets)))
    for _ in range(ROUNDS):
        if not moving:
            break
        # Most seeds of one maker soon are one set, which is asked for once.
        distinct = {sets[k].tobytes(): sets[k] for k in moving}
        chosen = dict(zip(distinct, _chosen(views, list(distinct.values()), free), strict=True))
        for k in moving:
            sets[k] = chosen[sets[k].tobytes()]
        # Noise never rests: it goes round among a few sets.
        moving = [k for k in moving if len(sets[k]) >= LEAST and sets[k].tobytes() not in before[k]]
        for k in moving:
            before[k].add(sets[k].tobytes())
    return sets


def _chosen(
    views: Views, sets: list[NDArray[np.intp]], free: NDArray[np.bool_]
) -> list[NDArray[np.intp]]:
    """Choose who agrees with each set."""
    reference = views.reference_cosines(sets)
    spreads = np.sqrt(np.mean(reference**2, axis=0))
    bars = np.maximum(GROWTH_BAR * spreads, np.quantile(reference, GROWTH_QUANTILE, axis=0))
    agree = (views.cosines(sets) > bars * raised(len(free))[0]) & free[:, None]
    return [np.flatnonzero(of_set) for of_set in agree.T]


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


@dataclass
class Neighbours:
    """The images of a pile with their nearest, as long as these are free.

    Attributes
    ----------
    groups : (n, 8) rows: each image and its nearest
    products : (n, 7) float32, their cosines with it, descending
    cohesion : (n,) float32, length of the sum of all eight
    """

    groups: NDArray[np.intp]
    products: NDArray[np.float32]
    cohesion: NDArray[np.float32]


def seeds(
    views: Views, free: NDArray[np.bool_], before: Neighbours | None
) -> tuple[list[NDArray[np.intp]], Neighbours]:
    """Propose where sets start: an image and its nearest, those that most others agree with first.

    Parameters
    ----------
    views : of the pile
    free : (n,) bool
        Who may belong.
    before : what was near when more images were free

    Returns
    -------
    seeds, and what is near now
    """
    rows = np.flatnonzero(free)
    near = _neighbours(views.tested, free, before)
    if len(rows) <= NEIGHBOURS:
        return [], near
    closest = np.argsort(-near.cohesion[rows], kind="stable")[:SEEDED]
    started = rows[np.sort(closest)]
    gain = np.empty(len(started))
    higher, fewer = raised(len(free))
    for block in _blocks(len(started), len(free)):
        groups = near.groups[started[block]]
        agreed = views.tested @ directions_of(_sums(views.tested, groups)).T
        # An image agrees with a group that it is in, whatever it shows.
        np.put_along_axis(agreed, groups.T, -np.inf, axis=0)
        bar, share = _bars(views, groups)
        expected = share * fewer * len(rows)
        count = np.count_nonzero((agreed > bar * higher) & free[:, None], axis=0)
        gain[block] = count - expected - 3 * np.sqrt(expected + 1)
    # Among equals the closest group.
    order = np.lexsort((-near.products[started].sum(1), -gain))
    return [np.sort(near.groups[started[k]]) for k in order if gain[k] > -LEAST], near


def _neighbours(
    units: NDArray[np.float32], free: NDArray[np.bool_], before: Neighbours | None
) -> Neighbours:
    """Find the nearest of every free image; of those that kept theirs they are known."""
    count = len(units)
    rows = np.flatnonzero(free)
    if before is None:
        nearest = np.zeros((count, NEIGHBOURS), np.intp)
        products = np.full((count, NEIGHBOURS), -np.inf, np.float32)
        for block in _blocks(count, count):
            # Of every two images the product is worked out once.
            _enter(units[block] @ units[block.start :].T, np.arange(block.start, block.stop),
                   block.start, free, block.stop, products, nearest)  # fmt: skip
        near = Neighbours(
            np.concatenate([np.arange(count)[:, None], nearest], axis=1),
            products,
            np.empty(count, np.float32),
        )
    else:
        near = before
        rows = rows[~free[near.groups[rows]].all(1)]
        near.products[rows] = -np.inf
        for block in _blocks(len(rows), count):
            some, nearest = rows[block], near.groups[:, 1:]
            _enter(units[some] @ units.T, some, 0, free, count, near.products, nearest)
    for block in _blocks(len(rows), BLOCK):
        totals = _sums(units, near.groups[rows[block]])
        near.cohesion[rows[block]] = np.linalg.norm(totals, axis=1)
    return near


@compiled
def _enter(
    products: Any, rows: Any, first: int, free: Any, both: int, nearest: Any, names: Any
) -> None:
    """Enter products among the nearest of their rows, and from a column on of their columns, too.

    Parameters
    ----------
    products : (r, c) float32
    rows : (r,) int64, images of the rows
    first : image of the first column; the others follow
    free : (n,) bool, images that may be near
    both : image from which on products are also entered for the column's
    nearest : (n, 7) float32, largest products, descending; changed
    names : (n, 7) int64, whose they are; changed
    """
    for a in range(len(rows)):
        row = rows[a]
        if not free[row]:
            continue
        for b in range(products.shape[1]):
            column, product = first + b, products[a, b]
            if column == row or not free[column]:
                continue
            if product > nearest[row, NEIGHBOURS - 1]:
                _insert(product, column, nearest[row], names[row])
            if column >= both and product > nearest[column, NEIGHBOURS - 1]:
                _insert(product, row, nearest[column], names[column])


@compiled
def _insert(product: Any, name: int, nearest: Any, names: Any) -> None:
    place = NEIGHBOURS - 1
    while place > 0 and product > nearest[place - 1]:
        nearest[place], names[place] = nearest[place - 1], names[place - 1]
        place -= 1
    nearest[place], names[place] = product, name


def _blocks(rows: int, columns: int) -> list[slice]:
    """Cut rows into blocks of which the products with so many columns can be held."""
    return blocks(rows, max(1, min(BLOCK, HELD // max(columns, 1))))


def _sums(
    units: NDArray[np.float32],
    groups: NDArray[np.intp],
    lengths: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Sum of the images of each group, (g, k) rows, over lengths if there are any: (g, 1536)."""
    totals = np.zeros((len(groups), units.shape[1]), np.float32)
    for column in groups.T:
        totals += units[column] if lengths is None else units[column] / lengths[column, None]
    return totals


def _bars(
    views: Views, groups: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The bar for the cosines with each group, and the share of reference images above it."""
    cosines = np.concatenate(
        [
            half.reference @ views.directions(half, _sums(views.tested, groups, half.lengths)).T
            for half in views.halves
        ]
    )
    bar = GROWTH_BAR * np.sqrt(np.mean(cosines**2, axis=0))
    return bar, (cosines > bar).mean(0)
