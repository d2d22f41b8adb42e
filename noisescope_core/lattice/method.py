"""The lattice way, as one record (docs/lattice.md)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noisescope_core.lattice.detector import lattice_test
from noisescope_core.lattice.explaining import EXPLAINING
from noisescope_core.lattice.find import find
from noisescope_core.lattice.tiles import lattice_feature
from noisescope_core.method import Extracted, Lattice


def extract(pixels: NDArray[np.uint8], extracted: Extracted) -> NDArray[np.float16]:
    """Extract the mean tile of an image's noise: (2, 3, 16, 16) float16."""
    return lattice_feature(pixels, extracted.channels, extracted.corner)


LATTICE = Lattice(extract, find, lattice_test, EXPLAINING)
