"""One round of fast merging: which pairs of clusters are merged (paper, section 3.3).

In come the pairs above a threshold, out come those of a round: the pair with the highest PCE is
taken, both its clusters are struck out, and so on until no pair is left. Both methods use it, the
paper's on residuals, the whitened one to find where to start (`whitened.candidates`).
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

    Examples
    --------
    >>> pairs = Pairs(np.array([1, 2, 3]), np.array([0, 1, 2]), np.array([5.0, 9.0, 7.0]), 3, 3)
    >>> match_pairs(pairs, 4)
    [(1, 2)]
    """
    low = np.minimum(pairs.first, pairs.second)
    high = np.maximum(pairs.first, pairs.second)
    order = np.lexsort((high, low, -pairs.pce))
    taken = _match(low[order], high[order], clusters)
    return [(int(low[i]), int(high[i])) for i in order[taken]]


@compiled
def _match(low: NDArray[np.int64], high: NDArray[np.int64], clusters: int) -> NDArray[np.int64]:
    """Number the pairs, in the order they come, neither of whose clusters was met before."""
    struck = np.zeros(clusters, np.bool_)
    taken = np.empty(min(len(low), clusters // 2), np.int64)
    count = 0
    for i in range(len(low)):
        if not struck[low[i]] and not struck[high[i]]:
            struck[low[i]] = struck[high[i]] = True
            taken[count] = i
            count += 1
    return taken[:count]
