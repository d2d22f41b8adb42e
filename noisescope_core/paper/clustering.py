"""Fast merging of residuals into clusters (paper, section 3.3).

In come the pairs of images above T_merge, out come clusters and those that are a generator's
(`Merging`). A round takes the pair with the highest PCE above T_merge, merges it, strikes both out,
and goes on until no such pair is left. Only the rows of merged clusters are then computed again.
What computes them, and what classifies a cluster, is passed in: arrays here, Spark jobs elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisescope_core.correlation.matching import match_pairs
from noisescope_core.correlation.pairs import Pairs, above_threshold, dot_products
from noisescope_core.correlation.spectra import Spectra, spectra

Members = tuple[int, ...]
"""Row numbers of the images of a cluster, ascending."""

Clusters = Mapping[int, Members]
"""Members by number of the cluster."""

Recompute = Callable[[Clusters, Clusters], Pairs]
"""Takes the new clusters and the old ones, gives the pairs in which a new one takes part."""

Classify = Callable[[Sequence[Members]], Sequence[bool]]
"""Says of each cluster whether its fingerprint is a generator's."""


@dataclass(frozen=True)
class Merging:
    """What `fast_merging` did.

    Attributes
    ----------
    rounds : after each round, the clusters of two images or more, each sorted, in order
    flagged : the clusters of the last round that are a generator's
    compared, refined : pairs looked at and pairs refined after the first round
    """

    rounds: list[list[Members]]
    flagged: list[Members]
    compared: int
    refined: int

    @property
    def clusters(self) -> list[Members]:
        """Clusters of two images or more at the end."""
        return self.rounds[-1] if self.rounds else []


def fast_merging(
    images: int,
    pairs: Pairs,
    recompute: Recompute,
    classify: Classify,
    *,
    check_above: int = 150,
    classify_above: int = 50,
) -> Merging:
    """Merge images into clusters until no pair is left or a generator is found.

    Parameters
    ----------
    images : int
        Every image 0..images-1 starts as a cluster.
    pairs : Pairs
        Between images, above T_merge.
    recompute : callable
        Given the new clusters and the old ones that are left (cluster number to members),
        returns the pairs above T_merge in which a new one takes part, by cluster number.
    classify : callable
        Given clusters, says of each whether its fingerprint is a generator's.
    check_above : int
        Before a round clusters are classified once one has more images than this.
    classify_above : int
        Clusters with more images than this are classified.
    """
    clusters: dict[int, Members] = {i: (i,) for i in range(images)}
    next_cluster = images
    rounds: list[list[Members]] = []
    compared = refined = 0

    def flagged() -> list[Members]:
        large = sorted(m for m in clusters.values() if len(m) > classify_above)
        return [m for m, hit in zip(large, classify(large), strict=True) if hit] if large else []

    while len(pairs.pce):
        if max(map(len, clusters.values())) > check_above and (generators := flagged()):
            return Merging(rounds, generators, compared, refined)
        struck = np.zeros(next_cluster, dtype=bool)
        new: dict[int, Members] = {}
        for low, high in match_pairs(pairs, next_cluster):
            struck[[low, high]] = True
            new[next_cluster + len(new)] = tuple(sorted(clusters.pop(low) + clusters.pop(high)))
        next_cluster += len(new)
        rounds.append(sorted([m for m in [*clusters.values(), *new.values()] if len(m) > 1]))
        added = recompute(new, clusters)
        clusters |= new
        kept = ~(struck[pairs.first] | struck[pairs.second])
        pairs = Pairs(
            np.concatenate([pairs.first[kept], added.first]),
            np.concatenate([pairs.second[kept], added.second]),
            np.concatenate([pairs.pce[kept], added.pce]),
            added.compared,
            added.refined,
        )
        compared += added.compared
        refined += added.refined
    return Merging(rounds, flagged(), compared, refined)


class ResidualStack:
    """Residuals in memory, and the PCE of their clusters' means.

    Parameters
    ----------
    residuals : (n, H, W) float
    exact : bool
        Work out every pair's hole, see `noisescope_core.correlation.pairs.above_threshold`.
    """

    def __init__(self, residuals: NDArray[np.floating], exact: bool = False) -> None:
        self._residuals, self._exact = residuals, exact
        # The row of a cluster is its first image's, dot products are those of the images, averaged.
        self._rows = spectra(residuals)
        self._of_images = dot_products(self._rows, self._rows)

    def pairs(self, t_merge: float) -> Pairs:
        """Find the pairs of images above T_merge; before any are merged."""
        return above_threshold(self._rows, None, t_merge, self._exact, self._of_images)

    def pairs_of_merged(self, new: Clusters, old: Clusters, t_merge: float) -> Pairs:
        """Find the pairs of clusters above T_merge in which a new one takes part.

        Parameters
        ----------
        new, old : cluster number to the numbers of its images
        """
        means = [self._residuals[list(m)].mean(axis=0, dtype=np.float64) for m in new.values()]
        merged = spectra(np.stack(means))
        within = above_threshold(merged, None, t_merge, self._exact, self._products(new, new))
        first = [members[0] for members in old.values()]
        rows = self._rows
        rest = Spectra(rows.pixels[first], rows.power[first], rows.shape)
        across = above_threshold(merged, rest, t_merge, self._exact, self._products(new, old))
        first = [members[0] for members in new.values()]
        rows.pixels[first], rows.power[first] = merged.pixels, merged.power
        new_ids, old_ids = np.array(list(new), int), np.array(list(old), int)
        return Pairs(
            np.concatenate([new_ids[within.first], new_ids[across.first]]),
            np.concatenate([new_ids[within.second], old_ids[across.second]]),
            np.concatenate([within.pce, across.pce]),
            within.compared + across.compared,
            within.refined + across.refined,
        )

    def _products(self, a: Clusters, b: Clusters) -> NDArray[Any]:
        left, right = (_shares(clusters, len(self._residuals)) for clusters in (a, b))
        product: NDArray[Any] = left @ (self._of_images @ right.T)
        return product


def cluster_residuals(
    residuals: NDArray[np.floating],
    t_merge: float,
    classify: Classify,
    *,
    check_above: int = 150,
    classify_above: int = 50,
    exact: bool = False,
) -> Merging:
    """Cluster a stack of residuals in memory.

    Parameters
    ----------
    residuals : (n, H, W) float
    t_merge : PCE above which two clusters may be merged
    classify, check_above, classify_above : as in `fast_merging`
    exact : work out every pair's hole, as in `noisescope_core.correlation.pairs.above_threshold`

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> residuals = rng.normal(size=(6, 64, 64))
    >>> residuals[:3] += rng.normal(size=(64, 64))
    >>> nothing = lambda clusters: [False] * len(clusters)
    >>> cluster_residuals(residuals, 30, nothing, classify_above=2).clusters
    [(0, 1, 2)]
    """
    stack = ResidualStack(residuals, exact)
    return fast_merging(
        len(residuals),
        stack.pairs(t_merge),
        lambda new, old: stack.pairs_of_merged(new, old, t_merge),
        classify,
        check_above=check_above,
        classify_above=classify_above,
    )


def _shares(clusters: Clusters, images: int) -> NDArray[np.float32]:
    """Say what share of every cluster's mean each image is: (clusters, images)."""
    shares = np.zeros((len(clusters), images), np.float32)
    for row, members in enumerate(clusters.values()):
        shares[row, list(members)] = 1 / len(members)
    return shares
