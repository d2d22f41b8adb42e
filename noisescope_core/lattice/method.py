"""The lattice way, as one record (docs/lattice.md)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noisescope_core.config import Config
from noisescope_core.lattice.detector import lattice_test
from noisescope_core.lattice.explaining import EXPLAINING
from noisescope_core.lattice.find import find
from noisescope_core.lattice.growth import LEAST
from noisescope_core.lattice.rescaled import likely_factors, rescaled_features
from noisescope_core.lattice.tiles import lattice_feature
from noisescope_core.method import Extracted, Lattice


def extract(pixels: NDArray[np.uint8], extracted: Extracted, config: Config) -> NDArray[np.float16]:
    """Extract the mean tile of an image's noise, and those at likely factors if they are tried.

    Returns
    -------
    (1 + factors, 1536) float16
    """
    native = lattice_feature(pixels, extracted.channels, extracted.corner).reshape(1, -1)
    if not config.lattice.rescaled:
        return native
    factors = likely_factors((pixels.shape[1], pixels.shape[0]))
    others = rescaled_features(pixels, extracted.channels, extracted.corner, factors)
    return np.concatenate([native, others])


LATTICE = Lattice(extract, find, lattice_test, EXPLAINING, LEAST)
