"""Bands of frequency: where the values of a feature lie (docs/method.md, step 1).

A feature holds the half spectrum of three planes. In comes the size of an image, out comes the
`Layout` of its feature: the bins of the spectrum sorted into 11 bands a plane, nine rings of
frequency and two kinds of bins apart from them, so that correlations come band by band.

Two kinds of bins are kept apart from the rings of frequency, because processing leaves its traces
in them: `grid`, what repeats every 16 pixels both ways (JPEG blocks, of subsampled chroma too),
and `lines`, what is constant or alternating along rows or columns (resized blocks, upsampled
chroma, borders).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from noisescope_core.correlation.spectra import half_plane_weights

PLANES = ("grey", "R - G", "B - G")
"""Names of the planes, in their order in a feature."""

RINGS = (0, 1 / 16, 1 / 8, 3 / 16, 1 / 4, 5 / 16, 3 / 8, 7 / 16, 1 / 2)
"""Lower edges of the rings, cycles a pixel; the last holds the corners too. Chosen: steps of a
sixteenth."""

GRID = 16
"""Period of the JPEG grid with subsampled chroma, pixels: two blocks of 8 (ITU-T T.81)."""

_PER_PLANE = len(RINGS) + 2
"""Bands of a plane: the rings, the grid and the lines."""

BANDS = tuple(
    f"{plane}, {band}"
    for plane in PLANES
    for band in (*[f"from {edge:g}" for edge in RINGS], "grid", "lines")
)
"""Names of the bands, plane by plane."""

OFF_GRID = np.tile(np.arange(_PER_PLANE) < len(RINGS), len(PLANES))
"""(33,) bool: the bands that hold neither grid nor lines."""

KEPT = 32
"""Layouts kept, 6 MB each at 1024 x 1024: a pile may have as many sizes as images. Chosen: making
one anew takes an eighth of the extraction of 512 x 512 pixels, a third of that of 1024 x 1024."""


@dataclass(frozen=True)
class Layout:
    """Where the bins of one plane's half spectrum lie in a feature.

    Attributes
    ----------
    shape : (H, W), multiples of 16
    order : (H * (W // 2 + 1),) int64, bins sorted by band
    cuts : (12,) int64, a band's values are cuts[b]:cuts[b + 1] of a plane, two to a bin
    weights : (H * (W // 2 + 1),) float32, in the sorted order: square roots of how often a bin
        counts in the whole spectrum
    """

    shape: tuple[int, int]
    order: NDArray[np.int64]
    cuts: NDArray[np.int64]
    weights: NDArray[np.float32]

    @property
    def values(self) -> int:
        """Values of one plane."""
        return 2 * len(self.order)

    def slices(self) -> list[tuple[int, slice]]:
        """Plane and slice of every band, in the order of `BANDS`."""
        parts = [slice(int(i), int(j)) for i, j in zip(self.cuts, self.cuts[1:], strict=False)]
        return [(plane, part) for plane in range(len(PLANES)) for part in parts]

    def shares(self) -> NDArray[np.float64]:
        """Share of all values that each band holds: (33,), sum 1.

        Examples
        --------
        >>> shares = layout(64, 64).shares()
        >>> shares.shape, round(float(shares.sum()), 6)
        ((33,), 1.0)
        """
        return np.tile(np.diff(self.cuts) / self.values, len(PLANES)) / len(PLANES)


def parts_of(bins: Layout, most: int) -> list[list[tuple[int, slice]]]:
    """Cut a feature along its values into parts that are multiplied one by one.

    Parameters
    ----------
    bins : layout of the size
    most : int
        Values in a piece of a band, at least 1. A part holds one piece, or several that together
        have a quarter of this at most, so that there are enough parts to be shared out.

    Returns
    -------
    list of list of (int, slice)
        Parts of pieces, without gaps, in the order of `BANDS`: number of the band, and where the
        piece lies among the values of all planes.
    """
    parts: list[list[tuple[int, slice]]] = []
    held = most
    for band, (plane, within) in enumerate(bins.slices()):
        start = plane * bins.values + within.start
        length = within.stop - within.start
        pieces = -(-length // most)
        for k in range(pieces):
            cut = slice(start + k * length // pieces, start + (k + 1) * length // pieces)
            if 4 * (held + cut.stop - cut.start) > most:
                parts.append([])
                held = 0
            parts[-1].append((band, cut))
            held += cut.stop - cut.start
    return parts


def layout(height: int, width: int) -> Layout:
    """Sort the bins of the half spectrum of an image's whole blocks into bands.

    Parameters
    ----------
    height, width : of the image, pixels
        Its last rows and columns are left out where they do not fill a block of 16: within
        whole blocks what repeats every 16 pixels has bins of its own.

    Raises
    ------
    ValueError
        If a side is shorter than two blocks.

    Examples
    --------
    >>> layout(100, 130).shape
    (96, 128)
    """
    if min(height, width) < 2 * GRID:
        raise ValueError(f"image must be at least {2 * GRID} a side, got {height} x {width}")
    return _of_blocks(height // GRID * GRID, width // GRID * GRID)


@lru_cache(maxsize=KEPT)
def _of_blocks(height: int, width: int) -> Layout:
    rows = np.rint(fft.fftfreq(height) * height)[:, None]
    columns = np.arange(width // 2 + 1.0)[None, :]
    ring = np.digitize(np.hypot(rows / height, columns / width), RINGS) - 1
    # A pattern that fades along its lines leaks into the next bin.
    for frequency, half in ((rows, height / 2), (columns, width / 2)):
        line = (abs(frequency) <= 1) | (abs(abs(frequency) - half) <= 1)
        ring[np.broadcast_to(line, ring.shape)] = len(RINGS) + 1
    ring[(rows % (height / GRID) == 0) & (columns % (width / GRID) == 0)] = len(RINGS)
    order = np.argsort(ring.ravel(), kind="stable")
    cuts = 2 * np.searchsorted(ring.ravel()[order], np.arange(_PER_PLANE + 1))
    weights = np.sqrt(half_plane_weights(width)).astype(np.float32)
    return Layout((height, width), order, cuts, np.tile(weights, height)[order])


def central(stack: NDArray[Any], side: int) -> NDArray[Any]:
    """Cut the centre of at most `side` x `side` pixels out of (..., H, W).

    Examples
    --------
    >>> central(np.zeros((3, 100, 40)), 64).shape
    (3, 64, 40)
    """
    top, left = (corner_of(length, side) for length in stack.shape[-2:])
    return stack[..., top : top + side, left : left + side]


def corner_of(length: int, side: int) -> int:
    """Say where the `central` part begins on an axis, pixels.

    Examples
    --------
    >>> corner_of(100, 64), corner_of(40, 64)
    (18, 0)
    """
    return max(0, (length - side) // 2)


def compared(height: int, width: int, side: int) -> Layout:
    """Lay out what is compared of an image of this size: `layout` of its `central` part."""
    return layout(min(height, side), min(width, side))
