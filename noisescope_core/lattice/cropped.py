"""One image against a lattice at all shifts of its tile, for crops (docs/lattice.md, step 9).

A crop moves what the decoder left. What photographs share, JPEG's grid above all, stays where it is
if the crop was saved anew, and moves along if it was not. So the fingerprint's tile, from which it
was pressed out, is shifted, and it is pressed out once more where it is then. In come images' units
and a fingerprint, out come scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from noisescope_core.lattice.background import Background
from noisescope_core.lattice.tiles import PERIOD

SHIFTS_PRICE = 2.0
"""Spreads by which bars are raised where all shifts are tried. Measured on 500 cropped photographs
and 18 fingerprints: one in two thousand is 3.5 spreads high at one shift, 5 at the best; half a
spread more for photographs whose crops were not saved again (docs/lattice.md, step 9)."""


@dataclass(frozen=True)
class ShiftedTile:
    """A fingerprint's tile at all shifts.

    Attributes
    ----------
    background : of the fingerprint
    mean : (1536,) float32, of its members' units, of length 1
    spectra : (6, 16, 9) complex64, of the mean
    scales : (16, 16) float32
        What products with an image are multiplied by, at each shift, so that photographs' vary by
        as much as their cosines with the tile in place.
    """

    background: Background
    mean: NDArray[np.float32]
    spectra: NDArray[np.complex64]
    scales: NDArray[np.float32]

    def scores(self, spectra: NDArray[np.complex64]) -> NDArray[np.float32]:
        """Hold an image, its `spectra_of_unit`, against all shifts: (16, 16), as cosines.

        At (y, x) the image's first pixel lies at (y, x) of the tile.
        """
        return np.asarray(products_at_shifts(spectra, self.spectra) * self.scales, np.float32)

    def at(self, down: int, right: int) -> NDArray[np.float32]:
        """Give the tile at one shift, the background pressed out: (1, 1536)."""
        moved = np.roll(_planes(self.mean), (-down, -right), (-2, -1))
        return self.background.whitened(moved.reshape(1, -1))


def spectra_of_unit(background: Background, unit: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Ready an image's unit, (1536,), for `ShiftedTile.scores`: (6, 16, 9)."""
    # Pressed out of the image or out of the shifted tile, the product is the same.
    return spectra_of(background.whitened(unit[None])[0])


def shifted_tile(background: Background, total: NDArray[np.float64]) -> ShiftedTile:
    """Ready a fingerprint, given the sum of its members' units, (1536,)."""
    mean = np.asarray(total / (np.linalg.norm(total) + 1e-12), np.float32)
    spectra = spectra_of(mean)
    # Energy of the shifted tile along each of the background's directions, and along all others.
    directions = spectra_of(background.directions)
    along = np.square(products_at_shifts(directions, spectra), dtype=np.float64)
    energies = np.concatenate([along, np.maximum(1 - along.sum(0, keepdims=True), 0)])
    gains = np.square(np.append(background.gains, background.rest), dtype=np.float64)
    # A gain is 1 / sqrt(moment + 1), so that of photographs' moment 1 - gain^2 is left.
    left = 1 - gains
    in_place = left @ energies[:, 0, 0]
    shifted = np.tensordot(left * gains, energies, 1)
    scales = np.sqrt(in_place / (shifted + 1e-12))
    return ShiftedTile(background, mean, spectra, np.asarray(scales, np.float32))


def _planes(tiles: NDArray[Any]) -> NDArray[Any]:
    return tiles.reshape(*tiles.shape[:-1], -1, PERIOD, PERIOD)


def spectra_of(tiles: NDArray[np.floating]) -> NDArray[Any]:
    """Ready tiles, (..., 1536), for `products_at_shifts`: (..., 6, 16, 9)."""
    return np.asarray(fft.rfft2(_planes(tiles)))


def products_at_shifts(spectra: NDArray[Any], tile: NDArray[Any]) -> NDArray[np.float32]:
    """Products of tiles with one that is shifted, all planes together: (..., 16, 16)."""
    return np.asarray(fft.irfft2((spectra.conj() * tile).sum(-3), s=(PERIOD, PERIOD)), np.float32)
