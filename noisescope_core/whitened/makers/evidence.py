"""Whose pattern is it: a generator's, a device's, of processing, or laid over the pictures.

This is step 10 of docs/method.md. In come measures of a pattern and of its members, out comes
`Evidence`, which names the maker. Shared patterns have other makers than generators. What tells
them apart, and the rule:

- *overlay*: a caption, a logo, a frame, a tiled watermark is in some places only. A generator's
  pattern is all over the image, so in the median tile the images agree as in the mean tile.
- *device*: a camera's sensor varies in sensitivity from photosite to photosite. That is in the
  brightness as much as in the colours; R - G and B - G share the green photosites, so what they
  show is alike; no frequency stands out, for each photosite varies by itself; and it is weak. A
  generator's pattern is in the colours alone, or differs between them, or has its energy at the
  frequencies where its upsampling puts it, or is strong. In doubt, or of few images, it is a
  device's.
- *processing*: nearly all of it lies on the JPEG grid and on lines. (A pattern is only found if it
  stands without them, but what leaks from them can; a clear ring of frequencies does not.) Or much
  of what lies elsewhere repeats at a fixed distance and in many frequencies, as the edges of JPEG
  blocks do that were resized. What an upsampling repeats has few. Or the members have their own
  noise in the same places: where blocks are all but flat, their edges are what is left.
  Or it lies at the frequencies of the members' own noise, which a scaler makes rise and fall, and
  nothing of it is in the colours: that is how the scaler rounds.
- else a *generator*. A pattern of images most of which carry a generator's known watermark is a
  generator's in any case.

The bounds were set on the simulator's cameras, generators and overlays and on three generators
of real images; docs/method.md shows how far each lies from them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from noisescope_core.whitened.planes.bands import GRID, OFF_GRID, PLANES, RINGS, Layout
from noisescope_core.whitened.planes.whitening import spatial

LEAST_SPREAD = 0.38
"""`Evidence.spread` below which a pattern is an overlay's. Measured (docs/method.md, step 10):
CycleGAN had 0.44 or more, overlays that the search found on 20 images 0.24 or less."""

MOST_GRID = 0.7
"""`Evidence.grid` above which a pattern is processing. Measured: CycleGAN had about 0.6."""

CLEAR_GRID, CLEAR_PEAK = 0.87, 3.5
"""`Evidence.grid` up to which, and `Evidence.peak` from which, a pattern of clear frequencies
beyond `MOST_GRID` is not processing for its grid alone: what leaks from it is a few per cent.
Measured: CycleGAN blurred had 0.77 and 8, cropped to 0.75 and enlarged 0.81 to 0.85 and 3.9 to 4.3;
of photographs those that leaked most, rounded down and halved, 0.95 and 4.5, those with least grid
beyond `MOST_GRID`, a phone's and compressed ones, 0.85 and 1."""

MOST_LATTICE = 0.33
"""`Evidence.lattice` above which a pattern is processing, unless its frequencies are clear and one
ring of them has `CLEAR_PEAK`. Measured: CycleGAN had 0.32, and 0.34 to 0.41 where it was weak, with
a peak of 3.9 to 6; resized JPEG blocks 0.39 or more, and a peak of 2.3 at most where they were
clear."""

MOST_UNEVEN = 0.15
"""`Evidence.uneven` above which a pattern is processing. Measured: generators' images saved at
quality 60 and resized had 0.14 at most."""

MOST_SCALED = 0.3
"""`Evidence.scaled` above which a pattern that is not in the colours is processing. Measured:
photographs enlarged by linear interpolation and saved as PNG, up to 36 of 50 of them flagged, had
0.54 to 0.78; CycleGAN, enlarged and reduced in four ways, 0.15 at most."""

LEAST_TONE, MULTIPLES = 400.0, 4
"""Typical frequencies of the members' own noise beyond which one is a scaler's, and multiples of it
that are looked at. Measured: scalers' stood out 1,000 times and more; chance and JPEG's 200."""

LEAST_COLOUR, MOST_HUE = 0.35, 0.5
"""`Evidence.colour` from which, and `Evidence.hue` up to which, a pattern is a generator's.
Measured: sensors of a camera and of 8 simulated ones, uncompressed, had 0.36 to 1.08 and 0.67 or
more; StyleGAN2 0.44 or more and 0.41 at most, where there were ten images."""

LEAST_COLOUR_ALONE = 3.0
"""`Evidence.colour` that makes a pattern a generator's whatever its hue. Measured: sensors had 1.08
at most, five images saved as WebP 2.0; latent diffusion 4.9 or more."""

LEAST_PEAK, LEAST_CLEAR = 2.1, 0.09
"""`Evidence.peak` and `Evidence.clear` that make a pattern a generator's. Measured: sensors of
phones and cameras, cropped, filtered, resized, had up to 4.3 in sets of 5 and 2.6 in larger ones,
and 0.03 at most where they had 2.1; simulated sensors of 96 to 160 pixels up to 5.2 and 0.07;
CycleGAN, cropped and enlarged, 2.4 to 2.5 and 0.4; simulated generators of 96 pixels, saved at 75,
2.4 to 3.1 and 0.04 to 0.15."""

LEAST_IMAGES = 8
"""`Evidence.images` of a generator's pattern. Measured: sets of 5 and 6 photographs, saved as WebP
or at a low quality, reached colours of 2 to 4 and peaks of 4."""

LEAST_STRENGTH = 0.035
"""`Evidence.strength` that makes a pattern a generator's: a sensor's photosites differ by about a
hundredth. Measured: sensors had 0.023 at most, a set of five photographs 0.029; simulated
generators 0.037 and more."""

STANDS_CLEAR = 6.0
"""Spreads of all frequencies beyond which one counts as clear. Chosen: of a pattern that lies in
all alike two in ten thousand do."""

MOST_WATERMARKED = 0.5
"""`Evidence.watermarked` above which a pattern is a generator's in any case: most members."""

SHORTEST_PERIOD, LONGEST_PERIOD = 4, 64
"""Distances at which a lattice may repeat, pixels: JPEG's 8 and 16, resized by a half to four."""

LATTICE_STEPS = 20
"""Frequencies tried to the distance of two bins. Chosen: an error grows with the multiple."""

LATTICE_REACH = 0.75
"""Bins from a frequency of a lattice that belong to it. Chosen: one or two bins."""

LATTICE_BEYOND = 8.0
"""Spreads of a sum over as many bins that a lattice must exceed. Chosen: a million are tried."""

FEW, MOST_IN_FEW = 4, 0.82
"""Frequencies, and the share, 0..1, of a lattice in so many of them from which it is an
upsampling's. Measured: CycleGAN's, resized, held 0.88 and more of it, JPEG blocks 0.77 at most."""

LEAST_NEIGHBOURS = 0.1
"""Share of the strongest ring that the neighbours of a ring count for at least. Chosen: beside
empty rings every ring would be a peak."""

Maker = Literal["generator", "device", "overlay", "processing"]
"""Who made a pattern."""


@dataclass(frozen=True)
class Evidence:
    """What is known of a pattern's maker.

    Attributes
    ----------
    strength : float
        Correlation of two images in grey, off the grid.
    colour : float
        The same in the differences of colours, over that in grey; two standard errors less.
    peak : float
        Largest density of a ring of frequencies in grey, two standard errors less, over the mean
        of its neighbours; of the bands' rings, and of those half a ring further out.
    grid : float
        Share of the whole strength that lies on the JPEG grid and on lines, 0..1.
    spread : float
        Agreement of the members in the median tile of the image over that in the mean tile,
        about 1 if it is everywhere.
    lattice : float
        Share of what lies off grid and lines that repeats at one distance down and one across, and
        in many frequencies, 0..1; 0 if nothing does beyond chance.
    uneven : float
        Variance over the image of how much noise its members have in a pixel, relative to the
        pixels around and without what repeats every 16; 0 if they have it everywhere.
    scaled : float
        Share of what lies off grid and lines, in grey, at multiples of one frequency down and
        across at which the members' own noise rises and falls, 0..1.
    hue : float
        Correlation of the pattern in R - G with that in B - G, off the grid, two standard errors
        more, at most 1. A sensor's is about 0.5 and more.
    clear : float
        Share of what lies off grid and lines, in grey, that single clear frequencies hold, 0..1.
    watermarked : float
        Share of the members that carry the known watermark of one generator, 0..1.
    images : int
        Members; as few as count, if it is not said.
    """

    strength: float
    colour: float
    peak: float
    grid: float
    spread: float
    lattice: float = 0.0
    uneven: float = 0.0
    scaled: float = 0.0
    hue: float = 1.0
    clear: float = 0.0
    watermarked: float = 0.0
    images: int = LEAST_IMAGES

    @property
    def maker(self) -> Maker:
        """Who made the pattern, by the rule of this module.

        Examples
        --------
        >>> Evidence(strength=0.005, colour=0.1, peak=1.2, grid=0.3, spread=0.95).maker
        'device'
        >>> Evidence(strength=0.005, colour=1.1, peak=1.2, grid=0.3, spread=0.95, hue=0.1).maker
        'generator'
        """
        if self.watermarked > MOST_WATERMARKED:
            return "generator"
        if self.spread < LEAST_SPREAD:
            return "overlay"
        ring_is_clear = self.peak >= CLEAR_PEAK and self.clear >= LEAST_CLEAR
        if self.grid > (CLEAR_GRID if ring_is_clear else MOST_GRID) or self.uneven > MOST_UNEVEN:
            return "processing"
        if self.lattice > MOST_LATTICE and not ring_is_clear:
            return "processing"
        if self.images < LEAST_IMAGES:
            return "device"
        in_colours = self.colour >= LEAST_COLOUR and self.hue <= MOST_HUE
        if in_colours or self.colour >= LEAST_COLOUR_ALONE:
            return "generator"
        if self.scaled > MOST_SCALED:
            return "processing"
        if self.peak >= LEAST_PEAK and self.clear >= LEAST_CLEAR:
            return "generator"
        return "generator" if self.strength >= LEAST_STRENGTH else "device"


def gather(
    agreement: NDArray[np.float64],
    error: NDArray[np.float64],
    tiles: NDArray[np.float32],
    halves: NDArray[np.float32],
    energy: NDArray[np.float64],
    bins: Layout,
) -> Evidence:
    """Gather the evidence on a pattern.

    Parameters
    ----------
    agreement, error : (33,) float
        Mean correlation of two members, by band, and its standard error.
    tiles : (m, k) float, from `overlay.tile_agreement`
        Of members, in the tiles that lie open; `overlay.TILED` members are enough.
    halves : (2, 3, V) float32
        Mean feature of one half of the members, and of the other half.
    energy : (2, H, W) float64
        `own_energy` of some of the members, and of as many others.
    bins : layout of their size
    """
    off = np.where(OFF_GRID, agreement, 0).reshape(len(PLANES), -1).sum(1)
    off_error = np.sqrt(np.where(OFF_GRID, error**2, 0).reshape(len(PLANES), -1).sum(1))
    grey = max(off[0], off_error[0])
    shares = bins.shares()[: len(RINGS)]
    in_bands = agreement[: len(RINGS)] / shares, error[: len(RINGS)] / shares
    energy_shared = _shared_energy(halves, bins)
    noise = _noise_spread(energy_shared)
    whole = float(np.maximum(agreement, 0).sum())
    return Evidence(
        strength=float(off[0]),
        colour=float((off[1:].mean() - 2 * off_error[1:].mean()) / grey),
        peak=max(_peak(*in_bands), _peak(*_rings_between(energy_shared, noise, bins))),
        grid=float(np.maximum(agreement[~OFF_GRID], 0).sum() / max(whole, 1e-12)),
        spread=_spread(tiles),
        lattice=_lattice(halves, bins),
        uneven=_uneven(energy),
        scaled=_scaled(energy_shared, energy, bins),
        hue=_hue(halves, bins),
        clear=_clear(energy_shared, noise),
    )


def own_energy(features: Iterable[NDArray[Any]], bins: Layout) -> NDArray[np.float64]:
    """Say how much noise images have in each pixel.

    Parameters
    ----------
    features : of (3, V) float
    bins : layout of their size

    Returns
    -------
    (H, W) float64
        Sum over images and planes; 3 is the mean of one.
    """
    energy = np.zeros(bins.shape)
    for feature in features:
        for plane in feature:
            energy += np.square(spatial(plane, bins), dtype=np.float64)
    return energy


def _hue(halves: NDArray[np.float32], bins: Layout) -> float:
    """Correlate a pattern in R - G with itself in B - G: an upper bound."""
    off = slice(0, bins.cuts[len(RINGS)])
    one, other = halves[:, 1:, off].astype(np.float64)
    # Noise that the halves do not share has no sign.
    shared = (one @ other.T + other @ one.T) / (2 * one.shape[1])
    own = np.square(one).mean(1), np.square(other).mean(1)
    error = np.sqrt((own[0] * own[1][::-1]).sum() / 4 / one.shape[1])
    if min(shared[0, 0], shared[1, 1]) <= 0:
        return 1.0
    return float(min(1, (shared[0, 1] + 2 * error) / np.sqrt(shared[0, 0] * shared[1, 1])))


def _clear(energy: NDArray[np.float64], noise: float) -> float:
    """Share of a pattern in grey that frequencies hold which stand clear of noise."""
    # Noise stands out to either side, and so is taken off again.
    clear = np.abs(energy) > STANDS_CLEAR * noise
    whole = energy.sum()
    return float(np.clip(energy[clear].sum() / whole, 0, 1)) if whole > 0 else 0.0


def _shared_energy(halves: NDArray[np.float32], bins: Layout) -> NDArray[np.float64]:
    """Energy that the halves share in grey, by bin, off grid and lines."""
    # Noise that the halves do not share has no sign.
    products = (halves[0, 0] * halves[1, 0]).astype(np.float64)
    return np.asarray((products[0::2] + products[1::2])[: bins.cuts[len(RINGS)] // 2])


def _noise_spread(energy: NDArray[np.float64]) -> float:
    """Spread of products of noise: by Laplace's law the median tells, whatever lines add."""
    return float(np.median(np.abs(energy)) * np.sqrt(2) / np.log(2))


def _peak(rings: NDArray[np.float64], errors: NDArray[np.float64]) -> float:
    """Find the ring that stands out most from its neighbours, from densities and their errors."""
    doubt = 2 * errors
    # The lowest frequencies are the picture's, the highest have no neighbour.
    least = LEAST_NEIGHBOURS * max(rings.max(), doubt.max())
    around = np.maximum((rings[:-2] + rings[2:]) / 2, least)
    return float(((rings - doubt)[1:-1] / around).max())


def _rings_between(
    energy: NDArray[np.float64], noise: float, bins: Layout
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure a pattern in grey on rings that begin half a ring further out than the bands'.

    A line that falls on the edge of two bands stands out of neither.

    Returns
    -------
    Density of each ring, and its standard error: (8,), (8,) float64
    """
    frequencies = np.hypot(*_frequencies(len(energy), bins))
    ring = np.searchsorted(np.add(RINGS, RINGS[1] / 2), frequencies, side="right")
    totals = np.bincount(ring, energy, len(RINGS))[1 : len(RINGS)]
    counts = np.maximum(np.bincount(ring, minlength=len(RINGS))[1 : len(RINGS)], 1)
    return totals / counts, noise / np.sqrt(counts)


def _frequencies(count: int, bins: Layout) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies down and across of the first bins, cycles a pixel, 0..0.5."""
    height, width = bins.shape
    row, column = np.divmod(bins.order[:count], width // 2 + 1)
    return np.abs(np.fft.fftfreq(height)).astype(np.float64)[row], column / width


def _spread(tiles: NDArray[np.float32]) -> float:
    """Divide the agreement in the median tile by that in the mean tile; tiles are (m, k)."""
    # By the median member: two images that share more than the pattern must not decide.
    typical = np.median(tiles, axis=0)
    average = float(typical.mean())
    return float(np.median(typical) / average) if average > 0 else 0.0


def _uneven(energy: NDArray[np.float64]) -> float:
    """Measure how unevenly two groups of members have noise in the same pixels."""
    one, other = _unevenness(energy)
    # What images of their own have more of somewhere is not in both.
    return float((one * other).mean())


def _unevenness(energy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Say how much more noise there is in a pixel than around, without what repeats every 16."""
    residues = []
    for picture in energy:
        fine = picture / (cv2.blur(picture, (GRID + 1, GRID + 1)) + 1e-12)
        rows, columns = (side // GRID for side in fine.shape)
        blocks = fine.reshape(rows, GRID, columns, GRID)
        residues.append((blocks - blocks.mean((0, 2), keepdims=True)).reshape(fine.shape))
    return np.stack(residues)


def _scaled(shared: NDArray[np.float64], energy: NDArray[np.float64], bins: Layout) -> float:
    """Find the frequency of the members' own noise at which most of a pattern lies: its share."""
    uneven = _unevenness(energy)
    whole = float(shared.sum())
    frequencies = _frequencies(len(shared), bins)
    across, down = (_tones(uneven.mean(axis)) for axis in (1, 2))
    held = 0.0
    for tone in down:
        if whole > 0 and np.abs(across - tone).min(initial=1) <= 1 / min(bins.shape):
            on = np.logical_and(
                *(
                    _at(tone, along, side)
                    for along, side in zip(frequencies, bins.shape, strict=True)
                )
            )
            held = max(held, float(shared[on].sum()) / whole)
    return min(held, 1.0)


def _tones(lines: NDArray[np.float64]) -> NDArray[np.float64]:
    """Frequencies, cycles a pixel, that stand far out of what two lines, (2, n), share."""
    one, other = np.fft.rfft(lines)
    shared = (one * other.conj()).real
    first = lines.shape[1] // GRID
    stands_out = shared > LEAST_TONE * np.median(np.abs(shared[first:]))
    stands_out[1:] &= shared[1:] >= shared[:-1]
    stands_out[:-1] &= shared[:-1] >= shared[1:]
    tones = np.flatnonzero(stands_out)
    return np.asarray(tones[tones >= first] / lines.shape[1], np.float64)


def _at(tone: float, frequencies: NDArray[np.float64], side: int) -> NDArray[np.bool_]:
    """Say which frequencies are multiples of one, folded back at Nyquist; 0 is one."""
    near = np.zeros(len(frequencies), bool)
    for multiple in range(MULTIPLES + 1):
        folded = abs(multiple * tone - round(multiple * tone))
        # A bin's error grows with the multiple.
        near |= np.abs(frequencies - folded) <= (3 + multiple) / 2 / side
    return near


def _lattice(halves: NDArray[np.float32], bins: Layout) -> float:
    """Find the lattice of frequencies that holds most of a pattern, and say how much."""
    height, width = bins.shape
    # Noise that the halves do not share has no sign.
    products = halves[0] * halves[1]
    energy, counted = np.zeros((2, height * (width // 2 + 1)))
    off = slice(0, bins.cuts[len(RINGS)] // 2)
    energy[bins.order[off]] = (products[:, 0::2] + products[:, 1::2]).sum(0)[off]
    counted[bins.order[off]] = 1
    whole = float(energy.sum())
    energy -= counted * whole / counted.sum()
    energy, counted = energy.reshape(height, -1), counted.reshape(height, -1)

    frequencies = np.arange(  # cycles a pixel
        1 / min(LONGEST_PERIOD, min(bins.shape) // 4),
        1 / SHORTEST_PERIOD,
        1 / (LATTICE_STEPS * max(bins.shape)),
    )
    row_orders, rows = _orders(height, frequencies)
    column_orders, columns = _orders(width, frequencies)
    columns, column_orders = columns[:, : width // 2 + 1], column_orders[:, : width // 2 + 1]
    beyond = rows @ energy @ columns.T
    size = rows @ counted @ columns.T
    # The others' mean is what the rest of a pattern holds anyway.
    elsewhere = whole * (1 - size / counted.sum())
    chance = np.sqrt(np.square(energy).sum() / counted.sum() * size)
    stands_out = np.where(beyond > LATTICE_BEYOND * chance, beyond, 0)
    share = stands_out / np.fmax(elsewhere, beyond + 1e-12)
    i, j = np.unravel_index(np.argmax(share), share.shape)
    if share[i, j] <= 0:
        return 0.0
    held = np.zeros((row_orders[i].max() + 1, column_orders[j].max() + 1))
    on = rows[i][:, None] * energy * columns[j]
    np.add.at(held, (row_orders[i][:, None], column_orders[j]), on)
    few = np.sort(held, axis=None)[-FEW:].sum()
    return float(share[i, j]) if few < MOST_IN_FEW * beyond[i, j] else 0.0


def _orders(
    side: int, frequencies: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Say which multiple of each frequency is nearest to each bin, and whether it is near.

    Parameters
    ----------
    side : of the image, pixels
    frequencies : (f,), cycles a pixel

    Returns
    -------
    orders : (f, side) int
    near : (f, side) float64, 1 within `LATTICE_REACH` bins, else 0
    """
    multiples = np.abs(np.fft.fftfreq(side)) / frequencies[:, None]
    orders = np.rint(multiples)
    near = np.abs(multiples - orders) * frequencies[:, None] * side <= LATTICE_REACH
    return orders.astype(np.intp), near.astype(np.float64)
