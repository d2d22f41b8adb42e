"""Piles too large for all pairs: sets found shard by shard, and the images searched for good.

This is the route by shards of docs/method.md, *More images than all pairs can serve*. In come the
sets that shards found, out comes a sample of the pile.

A pile is cut in shards by the hashes of its images, and each is searched by itself
(`acceptance.shared_sets`): the cost grows as the pile does. What the shards find are candidates.
Those of one pattern are grouped by the PCE of their sums, and a sample of the pile is drawn in
which every group has its place. That sample is searched as a small pile is, so the same growth,
acceptance and evidence decide in the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import chdtri

from noisescope_core.whitened.discovery.acceptance import SURE_COHESION
from noisescope_core.whitened.discovery.candidates import FALSE_MERGES
from noisescope_core.whitened.discovery.splitting import MOST_ALIKE
from noisescope_core.whitened.planes.bands import OFF_GRID, Layout
from noisescope_core.whitened.planes.whitening import STORED_STEPS

OTHERS_SHARE = 0.25
"""Share of the sample, 0..1, that is left to images of no candidate (docs/method.md, *the sample*).
Chosen: growth needs images that do not belong."""


@dataclass(frozen=True)
class Candidate:
    """A set found in one shard, as it comes back from the table `candidates`.

    It is an `acceptance.SharedSet` whose members have their ids, since the rows of a shard mean
    nothing outside of it. What is accepted in the end is searched for anew, in the sample.

    Attributes
    ----------
    members : image ids
    cohesion : how many times the excess that chance allows
    repeats : the same of the best sets found with drawn signs
    off_grid : whether it was found off the grid; else cohesion is on another scale
    accepted : whether its own shard accepts it
    """

    members: Sequence[str]
    cohesion: float
    repeats: Sequence[float]
    off_grid: bool
    accepted: bool


def shard_count(images: int, least: int, size: int) -> int:
    """Count the shards of about `size` images; up to `least` images are one shard.

    Examples
    --------
    >>> shard_count(1500, 2000, 1000), shard_count(2500, 2000, 1000)
    (1, 3)
    """
    return 1 if images <= least else -(-images // size)


def credible(candidates: Sequence[Candidate], margin: float) -> list[int]:
    """Choose the candidates that exceed chance in all shards, not in their own alone.

    So many shards find by chance what one would not, so a candidate must exceed by `margin` the
    best that any shard found with signs drawn at random.

    Returns
    -------
    list of int
        Their places, ascending.
    """
    best = {True: 0.0, False: 0.0}
    for candidate in candidates:
        off_grid = candidate.off_grid
        best[off_grid] = max([best[off_grid], *candidate.repeats])
    return [
        place
        for place, candidate in enumerate(candidates)
        if candidate.accepted
        and (
            candidate.cohesion >= margin * best[candidate.off_grid]
            or (candidate.off_grid and candidate.cohesion >= SURE_COHESION)
        )
    ]


def same_pattern(
    sums: NDArray[np.int8], counts: NDArray[np.int64], bins: Layout
) -> NDArray[np.intp]:
    """Group candidates whose PCE is above what chance makes of so many pairs.

    Parameters
    ----------
    sums : (c, 3, V) int8
        Sums of the members' features over the square root of their number, in the steps of
        `whitening.packed`: of unrelated images every value has a standard deviation of one.
    counts : (c,) int, members

    Returns
    -------
    (c,) int
        Numbers of the groups. Two patterns that agree less than `splitting.MOST_ALIKE` are two.
    """
    products, values = np.zeros((len(sums), len(sums))), 0
    for (plane, part), off_grid in zip(bins.slices(), OFF_GRID, strict=True):
        if off_grid:
            rows = sums[:, plane, part].astype(np.float32)
            products += rows @ rows.T
            values += rows.shape[1]
    products /= STORED_STEPS**2 * values
    pairs = max(1, len(sums) * (len(sums) - 1))
    # Unrelated sums have a squared correlation of chi-square over the number of values.
    bar = np.sqrt(chdtri(1, 2 * FALSE_MERGES / pairs) / values)
    # Of a sum the norm is 1 of noise and the rest of what its members share.
    shared = np.maximum(np.diag(products) - 1, 1e-12)
    strength = np.sqrt(shared * counts / np.maximum(counts - 1, 1))
    same = (products > bar) & (products > MOST_ALIKE * np.outer(strength, strength))
    _, group = connected_components(coo_array(same), directed=False)
    return np.asarray(group, np.intp)


def drawn(
    groups: Sequence[Sequence[str]], others: Sequence[str], pile: int, searched: int, size: int
) -> dict[str, float]:
    """Draw the images that are searched for good.

    Parameters
    ----------
    groups : ids of the members of each pattern's candidates
    others : ids of images at random
        Ids are hashes, so the first of them are a random draw.
    pile, searched : int
        Images of the size, and images in the shards.
    size : int
        Images drawn, at most.

    Returns
    -------
    dict
        By id, how many images of the pile each stands for; the sum is about `pile`.

    Examples
    --------
    >>> drawn([["a", "b"]], ["c", "d", "e"], 100, 50, 4)
    {'a': 2.0, 'b': 2.0, 'c': 48.0, 'd': 48.0}
    """
    place = size - int(OTHERS_SHARE * size)
    stands_for: dict[str, float] = {}
    groups_left = len(groups)
    for members in sorted(groups, key=len):
        # What a small group leaves is shared among the larger ones.
        taken = sorted(members)[: place // groups_left]
        stands_for |= dict.fromkeys(taken, len(members) / len(taken) * pile / searched)
        place -= len(taken)
        groups_left -= 1
    claimed = {member for members in groups for member in members}
    unclaimed = sorted(set(others) - claimed)[: size - len(stands_for)]
    stood_for = max(pile - sum(stands_for.values()), float(len(unclaimed)))
    return stands_for | dict.fromkeys(unclaimed, stood_for / max(len(unclaimed), 1))
