"""What an image and a tile have in common beside their strongest frequency (docs/lattice.md, 7).

Some photographs are loud at one frequency, as where a camera leaves its mosaic in the colours. Any
tile that is loud there, too, is like them. A maker's own image agrees with its tile elsewhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noisescope_core.lattice.tiles import PERIOD, SHAPE


def _pairs() -> NDArray[np.float64]:
    """Which harmonics are one frequency, there and back: (256, 130)."""
    rows, columns = np.indices((PERIOD, PERIOD)).reshape(2, -1)
    there = rows * PERIOD + columns
    back = (-rows % PERIOD) * PERIOD + -columns % PERIOD
    _, frequency = np.unique(np.minimum(there, back), return_inverse=True)
    return np.eye(int(frequency.max()) + 1)[frequency]


_PAIRS = _pairs()


def elsewhere(units: NDArray[np.floating], totals: NDArray[np.floating]) -> NDArray[np.float64]:
    """Cosines without the frequency at which each image agrees most with its tile.

    Parameters
    ----------
    units : (n, 1536) float, rows of length 1
    totals : (n, 1536) or (1, 1536) float, what each is held against, of any length

    Returns
    -------
    (n,) float64

    Examples
    --------
    >>> loud = np.tile(np.cos(np.pi * np.arange(16)), 96)[None]
    >>> bool(abs(elsewhere(loud / np.linalg.norm(loud), loud)[0]) < 1e-9)
    True
    """
    lengths = np.linalg.norm(totals, axis=1, keepdims=True)
    products = (_spectra(units) * _spectra(totals / (lengths + 1e-12)).conj()).real
    shared = products.sum((1, 2)).reshape(len(products), -1) @ _PAIRS
    return np.asarray(shared.sum(1) - shared.max(1), np.float64)


def _spectra(tiles: NDArray[np.floating]) -> NDArray[np.complex128]:
    planes = np.asarray(tiles, np.float64).reshape(-1, *SHAPE)
    return np.asarray(np.fft.fft2(planes, norm="ortho"))
