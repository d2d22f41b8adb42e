"""Which of many fingerprints of its size an image may carry in place, by one product with all.

The score of `detector.match` is a weighed sum of products with the members' mean, band by band.
Here the products of all fingerprints are matrix products, of which rounding is all that differs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noisescope_core.whitened.detection.many import best_fitting
from noisescope_core.whitened.discovery.confidence import Bar
from noisescope_core.whitened.discovery.growth import NO_VARIANCE
from noisescope_core.whitened.planes.bands import Layout


@dataclass(frozen=True)
class Stacked:
    """Fingerprints of one size held against an image at once.

    Attributes
    ----------
    means : (n, 3, V) float32
    weights, centres : (n, 33) float64, of the bands
    counts : (n,) float64, members
    bars : of all, from `many.side_by_side`
    """

    means: NDArray[np.float32]
    weights: NDArray[np.float64]
    centres: NDArray[np.float64]
    counts: NDArray[np.float64]
    bars: Bar

    def likely(
        self, image: NDArray[np.float32], absent: NDArray[np.bool_], bins: Layout
    ) -> NDArray[np.intp]:
        """Choose the fingerprints that an image, (3, V), fits best, ascending.

        Parameters
        ----------
        absent : (33,), bands of which the image has nothing
        bins : the layout of the size
        """
        parts = [self.means[:, plane, part] @ image[plane, part] for plane, part in bins.slices()]
        bands = np.stack(parts, 1) * np.sqrt(self.counts)[:, None] / bins.values
        variances = np.square(self.weights) * bins.shares()
        kept = variances[:, ~absent].sum(1) / np.maximum(variances.sum(1), NO_VARIANCE)
        weights = np.where(absent, 0, self.weights) / np.sqrt(np.where(kept > 0, kept, 1))[:, None]
        return best_fitting(self.bars, (weights * (bands - self.centres)).sum(1))
