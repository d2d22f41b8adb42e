"""Whitened colour planes: the feature of the default method.

A generator leaves more in the differences of colours than in their mix, unequally over frequency.
So a residual is kept as three planes (grey, R - G, B - G), each made flat in space (divided by
its local standard deviation) and in frequency (divided by its own smoothed spectrum). After that
unrelated images correlate like white noise, and the correlation of two images is a sum over
planes and bands of frequency that can be weighed (docs/method.md).

Two kinds of bins are kept apart from the rings of frequency, because processing leaves its traces
in them: `grid`, what repeats every 16 pixels both ways (JPEG blocks, of subsampled chroma too),
and `lines`, what is constant or alternating along rows or columns (resized blocks, upsampled
chroma, borders).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from noisescope_core.compiled import compiled
from noisescope_core.correlation import half_plane_weights
from noisescope_core.residual import mixed

PLANES = ("grey", "R - G", "B - G")

RINGS = (0, 1 / 16, 1 / 8, 3 / 16, 1 / 4, 5 / 16, 3 / 8, 7 / 16, 1 / 2)
"""Lower edges of the rings, cycles a pixel; the last holds the corners too."""

GRID = 16
"""Period in pixels of the JPEG grid with subsampled chroma."""

STEPS = 8
"""Stored steps to one standard deviation: adds 0.0013 to a variance of 1 and holds up to 16."""

BLOCK_ROWS = 256
WIDENED = 16_384
"""Of products with all rows before: rows of a block, and values that are floats at a time."""

LOCAL_WINDOW = 9
LOCAL_FLOOR = 0.02
SPECTRUM_WINDOW = 15

_PER_PLANE = len(RINGS) + 2

BANDS = tuple(
    f"{plane}, {band}"
    for plane in PLANES
    for band in (*[f"from {edge:g}" for edge in RINGS], "grid", "lines")
)
"""Names of the bands, plane by plane."""

OFF_GRID = np.tile(np.arange(_PER_PLANE) < len(RINGS), len(PLANES))
"""(33,) bool: the bands that hold neither grid nor lines."""


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
        """Share of all values that each band holds: (33,), sum 1."""
        return np.tile(np.diff(self.cuts) / self.values, len(PLANES)) / len(PLANES)


def parts_of(bins: Layout, most: int) -> list[list[tuple[int, slice]]]:
    """Cut a feature along its values into parts that are multiplied one by one.

    Parameters
    ----------
    most : int
        Values in a piece of a band, at least 1; a part has a quarter of it or one piece, so that
        there are enough to be shared out.

    Returns
    -------
    list of list of (int, slice)
        Parts of pieces, without gaps, in the order of `BANDS`: the band, and its place among the
        values of all planes.
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


@cache
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
    """
    if min(height, width) < 2 * GRID:
        raise ValueError(f"image must be at least {2 * GRID} a side, got {height} x {width}")
    height, width = height // GRID * GRID, width // GRID * GRID
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
    """Cut the centre of at most `side` x `side` out of (..., H, W)."""
    height, width = stack.shape[-2:]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return stack[..., top : top + side, left : left + side]


def compared(height: int, width: int, side: int) -> Layout:
    """Lay out what is compared of an image of this size: `layout` of its `central` part."""
    return layout(min(height, side), min(width, side))


def whitened_planes(channels: NDArray[Any]) -> NDArray[np.float32]:
    """Make the feature of an image from the residuals of its channels.

    Parameters
    ----------
    channels : (3, H, W) or (1, H, W) float, grey levels, from `residual.channel_residuals`
        One channel stands for three equal ones, whose differences are flat.

    Returns
    -------
    (3, V) float32
        Values of each plane in the order of `layout(H, W)`; the squares of a plane sum to V, or
        to 0 if it is flat.
    """
    bins = layout(*channels.shape[1:])
    height, width = bins.shape
    channels = np.broadcast_to(channels, (3, *channels.shape[1:]))[:, :height, :width]
    channels = np.asarray(channels, np.float32)
    red, green, blue = channels
    feature = np.zeros((len(PLANES), bins.values), np.float32)
    for k, plane in enumerate((mixed(channels), red - green, blue - green)):
        spectrum = fft.rfft2(_flatten(plane))
        power = smoothed_power(spectrum)
        values = feature[k]
        floor = np.float32(1e-12 * float(power.mean()) + 1e-30)
        energy = _gather(spectrum.ravel(), power.ravel(), floor, bins.order, bins.weights, values)
        if energy > 0:
            values *= np.float32(np.sqrt(bins.values / energy))
    return feature


def _flatten(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    energy = cv2.blur(plane * plane, (LOCAL_WINDOW, LOCAL_WINDOW), borderType=cv2.BORDER_REFLECT)
    floor = LOCAL_FLOOR * float(energy.mean())
    if floor < 1e-12:
        return np.zeros_like(plane)
    flat: NDArray[np.float32] = plane / np.sqrt(energy + np.float32(floor))
    return flat


def packed(feature: NDArray[Any]) -> NDArray[np.int8]:
    """Round a feature to the steps of 1/8 in which it is stored and shuffled."""
    steps = np.empty(feature.shape, np.int8)
    _rounded(np.ascontiguousarray(feature, np.float32).ravel(), steps.ravel())
    return steps


@compiled
def _rounded(values: Any, steps: Any) -> None:
    for k in range(len(values)):
        steps[k] = np.rint(min(max(values[k] * STEPS, -127), 127))


def unpacked(cell: Any) -> NDArray[np.float32]:
    """Read a stored feature: the bytes of `packed` as (3, V) float32."""
    return np.frombuffer(cell, np.int8).reshape(len(PLANES), -1) * np.float32(1 / STEPS)


def smoothed_power(spectrum: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Smooth the power spectrum of a picture over `SPECTRUM_WINDOW` bins a side.

    Parameters
    ----------
    spectrum : (H, W // 2 + 1) complex64, W even

    Returns
    -------
    (H, W // 2 + 1) float32
    """
    height, half = spectrum.shape
    reach = SPECTRUM_WINDOW // 2
    padded = np.empty((height + 2 * reach, half + 2 * reach), np.float32)
    _power(spectrum, padded, reach)
    smooth = cv2.blur(padded, (SPECTRUM_WINDOW, SPECTRUM_WINDOW))
    return np.ascontiguousarray(smooth[reach:-reach, reach:-reach], np.float32)


@compiled
def _power(spectrum: Any, padded: Any, reach: int) -> None:
    """Put the power of the half spectrum, and of what surrounds it in the whole, in `padded`."""
    height, half = spectrum.shape
    for i in range(height):
        row = padded[reach + i]
        for j in range(half):
            value = spectrum[i, j]
            row[reach + j] = value.real * value.real + value.imag * value.imag
    # The other half is the first, turned about the origin.
    for i in range(height):
        row, turned = padded[reach + i], padded[reach + (height - i) % height]
        for j in range(1, reach + 1):
            row[reach - j] = turned[reach + j]
            row[reach + half - 1 + j] = turned[reach + half - 1 - j]
    for i in range(reach):
        padded[i] = padded[height + i]
        padded[reach + height + i] = padded[reach + i]


@compiled
def _gather(spectrum: Any, power: Any, floor: Any, order: Any, weights: Any, values: Any) -> float:
    """Whiten the bins into `values`, in their order, and say what their squares sum to."""
    energy = 0.0
    for k in range(len(order)):
        place = order[k]
        value = spectrum[place] * (weights[k] / np.sqrt(power[place] + floor))
        if place == 0:
            value *= 0
        values[2 * k], values[2 * k + 1] = value.real, value.imag
        energy += value.real * value.real + value.imag * value.imag
    return energy


def half_spectrum(values: NDArray[Any], bins: Layout) -> NDArray[np.complex64]:
    """Put one plane of a feature, or of a mean of features, back in the order of frequencies.

    Parameters
    ----------
    values : (V,) float

    Returns
    -------
    (H, W // 2 + 1) complex64
    """
    height, width = bins.shape
    spectrum = np.zeros(height * (width // 2 + 1), np.complex64)
    pairs = np.ascontiguousarray(values, np.float32).view(np.complex64)
    spectrum[bins.order] = pairs / bins.weights
    return spectrum.reshape(height, -1)


def spatial(values: NDArray[Any], bins: Layout) -> NDArray[np.float32]:
    """Turn one plane of a feature, or of a mean of features, back into a picture.

    Parameters
    ----------
    values : (V,) float

    Returns
    -------
    (H, W) float32
    """
    picture = fft.irfft2(half_spectrum(values, bins), s=bins.shape, norm="ortho")
    return np.asarray(picture, np.float32)


def band_correlations(
    a: NDArray[Any] | list[NDArray[Any]], b: NDArray[Any] | list[NDArray[Any]], bins: Layout
) -> NDArray[np.float32]:
    """Correlate every feature of `a` with every one of `b`, band by band.

    Parameters
    ----------
    a : n times (3, V), any numbers
    b : m times (3, V)

    Returns
    -------
    (33, n, m) float32
        In the order of `BANDS`; the bands of one plane sum to the correlation of that plane,
        -1..1.
    """
    products = np.empty((len(BANDS), len(a), len(b)), np.float32)
    longest = max(part.stop - part.start for _, part in bins.slices())
    # Widened band by band and in one place: memory asked for anew is slow to come.
    widened = np.empty((len(a) + (0 if b is a else len(b)), longest), np.float32)
    for band, (plane, part) in enumerate(bins.slices()):
        values = widened[:, : part.stop - part.start]
        for row, feature in zip(values, chain(a, () if b is a else b), strict=True):
            row[:] = feature[plane, part]
        left = values[: len(a)]
        right = left if b is a else values[len(a) :]
        np.matmul(left, right.T, out=products[band])
    products /= bins.values
    return products


def products_below(
    features: list[NDArray[np.int8]], parts: list[slice]
) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """Multiply every feature with those before it and itself, part by part.

    Products of bytes are whole numbers, and below 2^24 float32 adds such numbers without error: the
    sums of a band are the same however rows, values and threads are cut.

    Parameters
    ----------
    features : n times (V,) int8
    parts : of the values

    Yields
    ------
    part : int
        Its number.
    first : int
        A row; blocks are `BLOCK_ROWS` high.
    products : (r, first + r) float32
        Of rows first to first + r with all up to first + r; written anew at the next step.
    """
    rows = len(features)
    longest = max(part.stop - part.start for part in parts)
    widened = np.empty((rows, min(WIDENED, longest)), np.float32)
    total, more = np.empty((2, rows, rows), np.float32)
    for number, part in enumerate(parts):
        for start in range(part.start, part.stop, WIDENED):
            stop = min(start + WIDENED, part.stop)
            values = widened[:, : stop - start]
            for row, feature in zip(values, features, strict=True):
                row[:] = feature[start:stop]
            # Of a matrix with itself BLAS works out one half.
            if start == part.start:
                np.matmul(values, values.T, out=total)
            else:
                total += np.matmul(values, values.T, out=more)
        for first in range(0, rows, BLOCK_ROWS):
            last = min(first + BLOCK_ROWS, rows)
            yield number, first, total[first:last, :last]
