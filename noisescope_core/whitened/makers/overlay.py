"""Overlays hide what lies beneath: find the tiles that they cover, and leave these out.

This is step 11 of docs/method.md. In come features of a set's members, out come the tiles that an
overlay covers, and features without them.

A logo or a caption is by far the strongest thing that its images share. With a generator's images
among them it would be found instead of the generator. So the tiles where a set agrees far more
than elsewhere are taken out of every image, and the search runs again.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from noisescope_core.whitened.planes.bands import PLANES, Layout
from noisescope_core.whitened.planes.whitening import packed, spatial, unpacked
from noisescope_core.whitened.robust import median_and_spread

TILE = 16
"""Side of a tile, pixels. Chosen: no stroke of a visible watermark fills it, and the blocks of JPEG
with subsampled chroma end in it."""

TILED = 100
"""Members whose tiles are enough for a median. Chosen: each costs an inverse transform a plane."""

TILE_STANDS_OUT = 5.0
"""Spreads of all tiles above their centre from which a tile is covered. Chosen (docs/method.md,
step 11)."""

MOST_COVERED = 0.5
"""Share of the tiles, 0..1, beyond which too little lies open to go on. Chosen;
`uncovered` needs an open tile for each covered one."""


def tile_grid(bins: Layout) -> tuple[int, int]:
    """Count the whole tiles of the compared part of an image: (rows, columns)."""
    height, width = bins.shape
    return height // TILE, width // TILE


def tile_agreement(
    features: NDArray[Any], mean: NDArray[np.float32], members: int, bins: Layout
) -> NDArray[np.float32]:
    """Say how much each member of a set agrees with the others, tile by tile.

    Parameters
    ----------
    features : (m, 3, V) float, of some of the members
    mean : (3, V) float
        Mean feature of all of them.
    members : int
        Their number, at least 2.
    bins : layout of their size

    Returns
    -------
    (m, rows, columns) float32
        Mean over a tile of `TILE` pixels a side of the products of a member with the mean of
        the others; what does not fill a tile is left out.
    """
    rows, columns = tile_grid(bins)
    pictures = [members * spatial(plane, bins) for plane in mean]
    agreement = np.zeros((len(features), *bins.shape), np.float32)
    for member, feature in zip(agreement, features, strict=True):
        for plane, total in zip(feature, pictures, strict=True):
            own = spatial(plane, bins)
            member += own * (total - own)
    agreement /= members - 1
    whole = agreement[:, : rows * TILE, : columns * TILE]
    return np.asarray(whole.reshape(-1, rows, TILE, columns, TILE).mean((2, 4)), np.float32)


def covered_tiles(tiles: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Find the tiles that an overlay covers, and those that it reaches.

    Parameters
    ----------
    tiles : (m, rows, columns) float, from `tile_agreement`, of the members of an overlay's set

    Returns
    -------
    (rows, columns) bool
        Covered tiles and those around them; all false if nothing stands out.

    Examples
    --------
    >>> tiles = np.random.default_rng(0).normal(size=(20, 8, 8)).astype(np.float32)
    >>> tiles[:, 2, 3] += 50
    >>> covered = covered_tiles(tiles)
    >>> int(covered.sum()), bool(covered[1:4, 2:5].all())
    (9, True)
    """
    typical = np.median(tiles, axis=0)
    centre, spread = median_and_spread(typical.ravel())
    covered = (typical > centre + TILE_STANDS_OUT * spread).astype(np.uint8)
    return np.asarray(cv2.dilate(covered, np.ones((3, 3), np.uint8)), bool)


def uncovered(
    feature: NDArray[Any], covered: NDArray[np.bool_], bins: Layout
) -> NDArray[np.float32]:
    """Replace the covered tiles of an image by others of its own.

    They are replaced and not set to nothing: a hole would spread the JPEG grid over all
    frequencies. Whole tiles keep its phase.

    Parameters
    ----------
    feature : (3, V) float
    covered : (rows, columns) bool
        At most half of them.
    bins : layout of its size

    Returns
    -------
    (3, V) float32
        Scaled as by `whitening.whitened_planes`.
    """
    source = _sources(covered)
    changed = np.zeros((len(PLANES), bins.values), np.float32)
    rows, columns = covered.shape
    for plane, values in enumerate(feature):
        picture = spatial(values, bins)
        tiles = picture.reshape(rows, TILE, columns, TILE).swapaxes(1, 2).reshape(-1, TILE, TILE)
        filled = tiles[source].reshape(rows, columns, TILE, TILE).swapaxes(1, 2)
        spectrum = fft.rfft2(filled.reshape(bins.shape), norm="ortho")
        flat = spectrum.ravel()[bins.order] * bins.weights
        energy = float(np.vdot(flat, flat).real)
        if energy > 0:
            flat *= np.float32(np.sqrt(bins.values / energy))
            changed[plane, 0::2], changed[plane, 1::2] = flat.real, flat.imag
    return changed


def without_tiles(stored: Any, covered: NDArray[np.bool_], bins: Layout) -> NDArray[np.int8]:
    """Take the covered tiles out of a stored feature: (3, V) int8."""
    return packed(uncovered(unpacked(stored), covered, bins))


def _sources(covered: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Say which tile stands at the place of each: itself, or the next open one half an image on."""
    rows, columns = covered.shape
    place = np.arange(covered.size).reshape(covered.shape)
    source = np.where(covered, -1, place)
    is_open = ~covered
    for step in range(covered.size):
        down, right = rows // 2 + step // columns, columns // 2 + step % columns
        other = np.roll(place, (-down, -right), (0, 1))
        take = (source < 0) & is_open.ravel()[other]
        source[take] = other[take]
        if (source >= 0).all():
            break
    return np.asarray(source.ravel(), np.intp)
