"""Growth of a candidate: its members' own pattern decides who else belongs.

An image's score against a set is its correlation with the sum of the members but itself, band by
band, over the square root of their number: unrelated images keep one spread, whatever the size of
the set. Bands are weighed as a matched filter does, by the mean that the members show (each
against the others) over the variance that the reference shows. The bar comes from reference
images that served for nothing else. Members are chosen again until the set is stable.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def median_and_spread(
    values: NDArray[np.floating],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median and 1.4826 times the median absolute deviation, along the first axis."""
    centre = np.median(values, axis=0)
    spread = 1.4826 * np.median(np.abs(values - centre), axis=0)
    return np.asarray(centre, np.float64), np.asarray(spread + 1e-12, np.float64)
