"""What `explain` shows of an image by the default method, beside its score."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisescope_core.config import Config
from noisescope_core.images import Size
from noisescope_core.method import Explaining
from noisescope_core.tables.rows import FingerprintRow
from noisescope_core.whitened.detection import alignment
from noisescope_core.whitened.detection.detector import contributions, fingerprint_of
from noisescope_core.whitened.makers.overlay import tile_grid, uncovered
from noisescope_core.whitened.planes.bands import compared
from noisescope_core.whitened.planes.whitening import unpacked


def surface(
    stored: NDArray[Any], size: Size, fingerprint: FingerprintRow, config: Config
) -> NDArray[np.float32]:
    """Correlate an image with a fingerprint at all shifts, off the grid."""
    side = config.whitening.side
    ready = fingerprint_of(fingerprint, side)
    pattern = alignment.pattern_of(
        ready.fingerprint_id, (fingerprint.width, fingerprint.height), ready.mean, ready.weights,
        side,
    )  # fmt: skip
    return alignment.alignment_surface(unpacked(stored), size, pattern, side)


def bands(
    stored: NDArray[Any], image_id: str, fingerprint: FingerprintRow, config: Config
) -> NDArray[np.float64]:
    """Say what each band adds to the standardised score of an image of the fingerprint's size."""
    side = config.whitening.side
    ready = fingerprint_of(fingerprint, side)
    bins = compared(fingerprint.height, fingerprint.width, side)
    return contributions(_open_part(stored, fingerprint, side), image_id, ready, bins)


def without(
    fingerprint: FingerprintRow, image_id: str, stored: NDArray[Any], config: Config
) -> FingerprintRow:
    """Take an image out of the fingerprint that it is a member of."""
    if image_id not in fingerprint.members:
        return fingerprint
    count = len(fingerprint.members)
    mean = np.frombuffer(fingerprint.whitened or b"", np.float32)
    own = _open_part(stored, fingerprint, config.whitening.side).ravel()
    rest = (count * mean - own) / (count - 1)
    members = [member for member in fingerprint.members if member != image_id]
    return replace(fingerprint, members=members, whitened=np.asarray(rest, np.float32).tobytes())


def _open_part(stored: NDArray[Any], fingerprint: FingerprintRow, side: int) -> NDArray[np.float32]:
    """Take from an image what its fingerprint was made without: the tiles of an overlay."""
    feature = unpacked(stored)
    if not fingerprint.covered:
        return feature
    bins = compared(fingerprint.height, fingerprint.width, side)
    return uncovered(feature, np.reshape(fingerprint.covered, tile_grid(bins)), bins)


EXPLAINING = Explaining(surface, bands, without)
