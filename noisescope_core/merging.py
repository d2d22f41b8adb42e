"""Fast merging of residuals into clusters (paper, section 3.3).

A round takes the pair with the highest PCE above T_merge, merges it, strikes both out, and goes
on until no such pair is left. Only the rows of merged clusters are then computed again. What
computes them, and what classifies a cluster, is passed in: arrays here, Spark jobs elsewhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noisescope_core.compiled import compiled
from noisescope_core.correlation.pairs import Pairs


def match_pairs(pairs: Pairs, clusters: int) -> list[tuple[int, int]]:
    """Take the pairs of one round: the highest PCE first, each cluster once.

    Parameters
    ----------
    pairs : Pairs
        Equal PCEs are taken in the order of their cluster numbers.
    clusters : int
        Cluster numbers are below this.

    Returns
    -------
    list of (int, int)
        In the order they were taken, the smaller number first.
    """
    low = np.minimum(pairs.first, pairs.second)
    high = np.maximum(pairs.first, pairs.second)
    order = np.lexsort((high, low, -pairs.pce))
    taken = _match(low[order], high[order], clusters)
    return [(int(low[i]), int(high[i])) for i in order[taken]]


@compiled
def _match(low: NDArray[np.int64], high: NDArray[np.int64], clusters: int) -> NDArray[np.int64]:
    struck = np.zeros(clusters, np.bool_)
    taken = np.empty(min(len(low), clusters // 2), np.int64)
    count = 0
    for i in range(len(low)):
        if not struck[low[i]] and not struck[high[i]]:
            struck[low[i]] = struck[high[i]] = True
            taken[count] = i
            count += 1
    return taken[:count]
