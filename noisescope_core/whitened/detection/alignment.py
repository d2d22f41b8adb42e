"""Fingerprints matched at other alignments and sizes, by the search over shifts that PCE allows.

This is step 9 of docs/method.md. In come an image's feature and the `Pattern`s of fingerprints, out
comes the best `Alignment`.

A crop of a generated image no longer lies on its fingerprint, but somewhere on it. The image's
whitened planes are correlated with the fingerprint at all shifts at once, its bands weighed as for
a match in place, grid and lines left out of both. JPEG makes shifts that lie alike on the grid of
blocks correlate more widely than others, so a peak squared is held against the mean square of
shifts that lie as it does, which is what PCE does with all of them (paper, section 3.2). For an
unrelated image it is about the largest of so many squared normal numbers. So the price is known
beforehand: `FALSE_ALARMS` an image, half of it spent on shifts by multiples of 8 (crops on block
borders), half on all shifts, and a margin for heavier tails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.special import expit, log_ndtr, ndtri

from noisescope_core.correlation.kernels import HOLE
from noisescope_core.whitened.planes.bands import OFF_GRID, Layout, compared
from noisescope_core.whitened.planes.whitening import half_spectrum, spatial

FALSE_ALARMS = 1e-4
"""Share of unrelated images, 0..1, that pass at some shift of some fingerprint, were all normal.
Chosen: one in 10,000 images and run."""

TAIL_MARGIN = 1.4
"""By which PCE must exceed the threshold of normal noise: what pictures repeat is not normal.
Measured: of photographs in real sets, one in 300 came to 1.0 to 1.3 times, none further."""

PEAK_ENERGY = 9
"""Times the mean energy of shifts at which one is cut. Chosen: three of their spreads, squared."""

JPEG_BLOCK = 8
"""Side of a JPEG block, pixels (ITU-T T.81)."""

BIN_CLIP = 3.0
"""Bins of a spectrum are cut at so many times their median magnitude. Chosen: what repeats in a
picture has a few large bins."""

KEPT_SPECTRA = 4
"""Spectra kept of a fingerprint, one for each shape. Chosen: images of one size come together, and
a spectrum of 512 x 512 takes 3 MB."""

CARRYING = 0.01
"""Share of images, 0..1, taken to carry a fingerprint at another alignment. Chosen; it enters the
confidence alone, not the verdict."""


@dataclass(frozen=True)
class Pattern:
    """A fingerprint ready to be correlated at all shifts.

    Attributes
    ----------
    fingerprint_id : str
    size : (width, height) of its images
    pixels : (3, H, W) float32, its mean planes weighed by band, without grid and lines
    origin : (top, left) of these in the image
    spectra : by shape, of `pixels` filled up to it; a few of those last asked for
    """

    fingerprint_id: str
    size: tuple[int, int]
    pixels: NDArray[np.float32]
    origin: tuple[int, int]
    spectra: dict[tuple[int, int], NDArray[np.complex64]] = field(default_factory=dict)


@dataclass(frozen=True)
class Alignment:
    """The best match of an image at another alignment.

    Attributes
    ----------
    pce : of the peak
    threshold : PCE that an unrelated image passes as rarely as `FALSE_ALARMS` says, times
        `TAIL_MARGIN`
    confidence : probability, 0..1
    fingerprint_id : str
    shift : (x, y) in pixels; the image's pixel (u, v) lies at (u + x, v + y) of the fingerprint
    """

    pce: float
    threshold: float
    confidence: float
    fingerprint_id: str
    shift: tuple[int, int]


def pattern_of(
    fingerprint_id: str,
    size: tuple[int, int],
    mean: NDArray[np.float32],
    weights: NDArray[np.float64],
    side: int,
) -> Pattern:
    """Ready a fingerprint: weigh its bands and turn it back into pixels.

    Parameters
    ----------
    size : (width, height) of the images
    mean : (3, V) float, mean of the members' whitened planes
    weights : (33,) float, of the bands
    side : of the centre that is compared, pixels
    """
    width, height = size
    bins = compared(height, width, side)
    weighed = np.zeros_like(mean, np.float32)
    for (plane, part), weight in zip(bins.slices(), np.where(OFF_GRID, weights, 0), strict=True):
        weighed[plane, part] = mean[plane, part] * np.float32(weight)
    pixels = np.stack([spatial(plane, bins) for plane in weighed])
    pixels /= np.float32(np.sqrt(np.square(pixels).mean()) + 1e-30)
    return Pattern(fingerprint_id, size, pixels, _origin(size, side))


def best_alignment(
    feature: NDArray[Any], size: tuple[int, int], patterns: Sequence[Pattern], side: int
) -> Alignment:
    """Search an image at all shifts for every fingerprint.

    Parameters
    ----------
    feature : (3 * V,) float, from `whitening.whitened_planes`
    size : (width, height) of the image
    patterns : at least one
        Of a fingerprint of the image's own size, the neighbourhood of shift 0 is left to the
        match in place.
    side : of the centre that is compared, pixels

    Returns
    -------
    Alignment
        Of the fingerprint and shift that are furthest above, or least below, their threshold.
    """
    bins = compared(size[1], size[0], side)
    halves = _off_grid(feature, bins)
    spectra: dict[tuple[int, int], NDArray[np.complex64]] = {}
    alignments = []
    for pattern in patterns:
        shape = _common_shape(bins, pattern)
        if shape not in spectra:
            spectra[shape] = _filled(halves, bins, shape)
        surface = _correlated(spectra[shape], pattern, shape)
        if pattern.size == size:
            surface[_hole((0, 0), shape)] = 0
        offset = _offset(size, pattern, side)
        for step in (JPEG_BLOCK, 1):
            peak = _peak(surface, offset, step)
            trials = peak.shifts * len(patterns)
            threshold = TAIL_MARGIN * float(ndtri(FALSE_ALARMS / 2 / trials)) ** 2
            chance = log_ndtr(-np.sqrt(max(peak.pce / TAIL_MARGIN, 0.0))) + np.log(trials)
            y, x = (
                (k + length // 2) % length - length // 2 + start
                for k, length, start in zip(peak.place, shape, offset, strict=True)
            )
            confidence = float(expit(np.log(CARRYING) - chance))
            alignments.append(
                Alignment(peak.pce, threshold, confidence, pattern.fingerprint_id, (x, y))
            )
    return max(alignments, key=lambda alignment: alignment.pce / alignment.threshold)


def alignment_surface(
    feature: NDArray[Any], size: tuple[int, int], pattern: Pattern, side: int
) -> NDArray[np.float32]:
    """Correlate an image with one fingerprint at all shifts, as `best_alignment` does.

    Parameters
    ----------
    feature, size, side : as for `best_alignment`

    Returns
    -------
    (H, W) float32
        The shift (x, y) at [H // 2 + y, W // 2 + x], around the borders as on a torus; in units of
        the spread of shifts that lie alike on the grid of blocks, so squares are PCE.
    """
    bins = compared(size[1], size[0], side)
    shape = _common_shape(bins, pattern)
    surface = _correlated(_filled(_off_grid(feature, bins), bins, shape), pattern, shape)
    down, right = _offset(size, pattern, side)
    return np.roll(surface, (shape[0] // 2 + down, shape[1] // 2 + right), (0, 1))


def _off_grid(feature: NDArray[Any], bins: Layout) -> NDArray[np.complex64]:
    """Take the half spectra of the planes, grid and lines left out: (3, H, W // 2 + 1)."""
    values = np.array(feature, np.float32).reshape(-1, bins.values)
    for (plane, part), kept in zip(bins.slices(), OFF_GRID, strict=True):
        if not kept:
            values[plane, part] = 0
    return np.stack([half_spectrum(plane, bins) for plane in values])


def _common_shape(bins: Layout, pattern: Pattern) -> tuple[int, int]:
    """Give the shape that holds both what is compared of an image and the fingerprint."""
    height, width = np.maximum(bins.shape, pattern.pixels.shape[1:]).tolist()
    return height, width


def _filled(
    halves: NDArray[np.complex64], bins: Layout, shape: tuple[int, int]
) -> NDArray[np.complex64]:
    """Fill the planes of an image up to a shape; conjugate spectra, their largest bins cut."""
    if shape != bins.shape:
        halves = fft.rfft2(fft.irfft2(halves, s=bins.shape), s=shape)
    return _clipped(np.conj(halves))


def _correlated(
    spectra: NDArray[np.complex64], pattern: Pattern, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Correlate an image's spectra with a fingerprint at all shifts: standardised, (H, W)."""
    if shape not in pattern.spectra:
        if len(pattern.spectra) >= KEPT_SPECTRA:
            pattern.spectra.clear()
        pattern.spectra[shape] = fft.rfft2(pattern.pixels, s=shape)
    product = np.einsum("pij,pij->ij", spectra, pattern.spectra[shape])
    return _standardised(fft.irfft2(product, s=shape))


def _offset(size: tuple[int, int], pattern: Pattern, side: int) -> tuple[int, int]:
    """Give what is added, (y, x), to a shift of compared parts for the shift of whole images."""
    top, left = _origin(size, side)
    return pattern.origin[0] - top, pattern.origin[1] - left


def _clipped(spectra: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Cut bins at `BIN_CLIP` times their plane's median magnitude, phases kept."""
    magnitude = np.abs(spectra)
    # A quarter of the rows says what the median is.
    limit = BIN_CLIP * np.median(magnitude[:, ::4], axis=(1, 2), keepdims=True)
    return np.asarray(spectra * np.minimum(1, limit / (magnitude + 1e-30)), np.complex64)


def _origin(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Give the corner (top, left) of what is compared of an image of size (width, height)."""
    return max(0, (size[1] - side) // 2), max(0, (size[0] - side) // 2)


def _hole(centre: tuple[int, int], shape: tuple[int, ...]) -> tuple[NDArray[np.int64], ...]:
    """Index the neighbourhood of a shift that PCE leaves out (paper, section 3.2), on a torus."""
    around = np.arange(HOLE) - HOLE // 2
    return np.ix_(*((middle + around) % side for middle, side in zip(centre, shape, strict=True)))


@dataclass(frozen=True)
class _Peak:
    """The highest value among some shifts: its PCE, where it is, and of how many shifts."""

    pce: float
    place: tuple[int, int]
    shifts: int


def _peak(surface: NDArray[np.float32], offset: tuple[int, int], step: int) -> _Peak:
    """Find the highest peak at shifts by multiples of `step`."""
    starts = [-start % step for start in offset]
    part = surface[starts[0] :: step, starts[1] :: step]
    row, column = np.unravel_index(int(part.argmax()), part.shape)
    place = int(row) * step + starts[0], int(column) * step + starts[1]
    height = float(surface[place])
    return _Peak(height * abs(height), place, part.size)


def _standardised(surface: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divide shifts by their spread, among those that lie alike on the grid of blocks."""
    rows, columns = (side // JPEG_BLOCK for side in surface.shape)
    by_place = surface.reshape(rows, JPEG_BLOCK, columns, JPEG_BLOCK)
    energy = np.square(by_place)
    # The peak must not count against itself.
    energy = np.minimum(energy, PEAK_ENERGY * energy.mean((0, 2), keepdims=True))
    standardised = by_place / np.sqrt(energy.mean((0, 2), keepdims=True) + 1e-30)
    return np.asarray(standardised.reshape(surface.shape), np.float32)
