"""What `explain` shows of an image and a lattice, beside the score."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from noisescope_core.config import Config
from noisescope_core.images import Size
from noisescope_core.lattice.cropped import products_at_shifts, spectra_of
from noisescope_core.lattice.detector import fingerprint_of
from noisescope_core.lattice.tiles import VALUES
from noisescope_core.method import Explaining
from noisescope_core.tables.rows import FingerprintRow


def surface(
    tile: NDArray[Any], size: Size, fingerprint: FingerprintRow, config: Config
) -> NDArray[np.float32]:
    """Correlate an image's tile with a fingerprint at all shifts: (16, 16) float32, in spreads."""
    ready = fingerprint_of(fingerprint, {})
    unit = ready.background.units(np.asarray(tile, np.float32).reshape(-1, VALUES)[:1])[0]
    total = ready.total / (np.linalg.norm(ready.total) + 1e-12)
    shifted = products_at_shifts(spectra_of(unit), spectra_of(total))
    return np.asarray(fft.fftshift(shifted) / (shifted.std() + 1e-12), np.float32)


def without(
    fingerprint: FingerprintRow, image_id: str, tile: NDArray[Any], config: Config
) -> FingerprintRow:
    """Take an image out of the fingerprint that it is a member of."""
    if image_id not in fingerprint.members:
        return fingerprint
    ready = fingerprint_of(fingerprint, {})
    unit = ready.background.units(np.asarray(tile, np.float32).reshape(-1, VALUES)[:1])[0]
    members = [member for member in fingerprint.members if member != image_id]
    rest = (ready.total - unit) / max(len(members), 1)
    return replace(fingerprint, members=members, whitened=np.asarray(rest, np.float32).tobytes())


EXPLAINING = Explaining(surface, None, without)
