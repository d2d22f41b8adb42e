"""Centre and spread of values among which a few do not belong: median and median deviation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NORMAL = 1.4826
"""Standard deviation of a normal law over its median absolute deviation."""


def median_and_spread(
    values: NDArray[np.floating],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure centre and spread along the first axis.

    Parameters
    ----------
    values : (n, ...) float

    Returns
    -------
    centre : (...) float64
        Median.
    spread : (...) float64, above 0
        `NORMAL` times the median absolute deviation: of normal values their standard deviation.

    Examples
    --------
    >>> centre, spread = median_and_spread(np.array([1.0, 2.0, 3.0, 4.0, 1000.0]))
    >>> float(centre), round(float(spread), 4)
    (3.0, 1.4826)
    """
    centre = np.median(values, axis=0)
    spread = NORMAL * np.median(np.abs(values - centre), axis=0)
    return np.asarray(centre, np.float64), np.asarray(spread + 1e-12, np.float64)
