"""Whose tile it is: a decoder's, a device's, of processing, or nobody can say (docs/lattice.md, 6).

Phones, cameras and apps leave lattices as strong as any generator's, so strength says nothing. In
come the features of a set's members, out comes `TileEvidence`, which names the maker by shape:

- What is done row by column leaves, off the axes, a product of a row with a column, or two: grid
  lines, resizing, demosaicing. A coefficient that an encoder rounds down leaves a point in each
  block. Neither is dense.
- The tile of a decoder is dense and not very strong. A latent decoder's repeats every 8 pixels and
  not every 4; one of patches every 16; one of few strides every 4.
- A strong tile that one product explains is a *device's*: of its mosaic or its rounding.
- A tile in the colour differences, or along rows and columns alone, is *processing*: subsampling,
  scaling, an app.
- A tile that fits none of these is *undetermined*. It is reported and flags nothing, because a
  false accusation costs more than a miss. Many generators are among them.

The bounds were set on seven sources of photographs and 186 kinds of processing simulated on them,
and were tried with each source left out (docs/lattice.md, step 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from noisescope_core.lattice.background import Background
from noisescope_core.lattice.tiles import DENOISERS, PERIOD
from noisescope_core.whitened.planes.bands import PLANES

LEAST_SHARED = 16.0
"""`TileEvidence.shared` of a decoder's tile, at least. Measured: below it shapes are noise's, and
what rounds coefficients down and is smoothed then passes all else."""

MOST_ENERGY = 400.0
"""`TileEvidence.energy` of a decoder's tile, at most. Measured: generators had 300 at most, phones
and cameras 450 to 1,000, filtered copies of what rounds down more."""

MOST_POINTS = 4.0
"""`TileEvidence.points` of a decoder's tile, at most. Measured: generators had 1.9 to 3.9, phones,
cameras that round down and apps 6 to 26; noise has 3."""

LATENT_ENERGY, LEAST_DENSE, LEAST_EIGHTHS, MOST_SIXTEENTHS = 160.0, 0.10, 0.80, 0.25
"""Bounds of a latent decoder's tile, which repeats every 8 pixels. Measured: SD v1 had 123 at
most, `dense` 0.13 to 0.29 and `eighths` 0.80 to 1 in sets of 24; sources of photographs 0.08 at
most, or half as much in what repeats every 4."""

PATCHED_DENSE, PATCHED_EIGHTHS, PATCHED_POINTS = 0.14, 0.93, 3.3
"""Bounds of a decoder's tile that repeats every 16 pixels, as patches of 2 x 2 latents do.
Measured: DALL-E mini as found had 0.2, 0.97 and 2.7; one phone's smoothed photographs 0.2, 0.88 and
3."""

COARSE_DENSE, COARSE_SINGLE, COARSE_EIGHTHS = 0.07, 0.2, 0.5
COARSE_POINTS, COARSE_SIXTEENTHS = 3.3, 0.35
"""Bounds of a decoder's tile that repeats every 4 pixels. Measured: CycleGAN had `dense` 0.08 to
0.12, `single` 0.23 to 0.44 and `eighths` 0.06 to 0.43 in sets of 40; of photographs at half their
size `dense` was 0.06 at most, but for 2 in 28 sets of one phone's that mix both ways of holding
it."""

DEVICE_SHARED, DEVICE_ENERGY, DEVICE_SINGLE = 12.0, 150.0, 0.20
"""Of a device's tile: `shared` and `energy` at least, `single` at most. Measured on a phone and a
camera that rounds down."""

PROCESSING_INNER = 0.10
"""`TileEvidence.inner` of processing, at most. Measured: an app and a social site had 0.05 and
less."""

MOST_WATERMARKED = 0.5
"""Share of members with one generator's watermark above which it is the maker: most of them."""

LOUDEST = 3.0
"""Median lengths to which a member's tile is cut. Chosen: a few must not outweigh all others."""

FOLDS = 12
"""Parts of a set, each held against what the others show. Chosen: most of a set shows the shape."""

Maker = Literal["generator", "device", "processing", "undetermined"]

_ROWS, _COLUMNS = np.meshgrid(np.arange(PERIOD), np.arange(PERIOD), indexing="ij")
_AXES = (_ROWS == 0) | (_COLUMNS == 0)
_EVEN = (_ROWS % 2 == 0) & (_COLUMNS % 2 == 0)
EIGHTHS = _EVEN & ~_AXES
"""Harmonics at multiples of 1/8 of a cycle a pixel, off the axes: 49."""

SIXTEENTHS = ~_EVEN & ~_AXES
"""All others off the axes: 176."""

_FOURTHS = (_ROWS % 4 == 0) & (_COLUMNS % 4 == 0)


@dataclass(frozen=True)
class TileEvidence:
    """What the shape of a tile says of its maker; of both residuals the one that says less.

    Attributes
    ----------
    shared : float
        Energy that members share at multiples of 1/8 off the axes, in grey, in standard errors.
    energy : float
        That energy, in units of white noise's in one harmonic.
    single, dense : float
        Share of it that one product of a row with a column leaves, and that two leave, 0..1.
    eighths : float
        Share of it that does not repeat every 4 pixels, 0..1.
    points : float
        Fourth moment over the squared second of the tile: 3 of noise, more of a few points.
    sixteenths : float
        `shared` of the other harmonics off the axes, over it.
    inner : float
        Share of the whole tile, its background pressed down, that lies in grey off the axes, 0..1.
    watermarked : float
        Share of the members that carry the known watermark of one generator, 0..1.
    """

    shared: float
    energy: float
    single: float
    dense: float
    eighths: float
    points: float
    sixteenths: float
    inner: float
    watermarked: float = 0.0

    @property
    def maker(self) -> Maker:
        """Who made the tile, by the rule of this module.

        Examples
        --------
        >>> TileEvidence(30, 100, 0.3, 0.2, 0.9, 2.7, 0.05, 0.2).maker
        'generator'
        >>> TileEvidence(90, 850, 0.06, 0.04, 0.9, 8.0, 1.2, 0.1).maker
        'device'
        """
        if self.watermarked > MOST_WATERMARKED:
            return "generator"
        if self._decoded:
            return "generator"
        strong = self.shared >= DEVICE_SHARED and self.energy >= DEVICE_ENERGY
        if strong and self.single <= DEVICE_SINGLE:
            return "device"
        plain = self.shared < LEAST_SHARED or self.single <= DEVICE_SINGLE
        if self.inner <= PROCESSING_INNER and plain:
            return "processing"
        return "undetermined"

    @property
    def _decoded(self) -> bool:
        """Whether the tile is one that decoders leave, and nothing else that was tried."""
        if self.shared < LEAST_SHARED or self.energy > MOST_ENERGY or self.points > MOST_POINTS:
            return False
        latent = (
            self.energy <= LATENT_ENERGY
            and self.dense >= LEAST_DENSE
            and self.eighths >= LEAST_EIGHTHS
            and self.sixteenths <= MOST_SIXTEENTHS
        )
        patched = (
            self.dense >= PATCHED_DENSE
            and self.eighths >= PATCHED_EIGHTHS
            and self.points <= PATCHED_POINTS
        )
        coarse = (
            self.dense >= COARSE_DENSE
            and self.single >= COARSE_SINGLE
            and self.eighths <= COARSE_EIGHTHS
            and self.points <= COARSE_POINTS
            and self.sixteenths <= COARSE_SIXTEENTHS
        )
        return latent or patched or coarse


def evidence_of(
    features: NDArray[np.float32], background: Background, watermarked: float
) -> TileEvidence:
    """Gather the evidence on a tile.

    Parameters
    ----------
    features : (m, 1536) float32, of the members, in an order that says nothing of them
    background : of the reference
    watermarked : share of the members with one generator's watermark, 0..1
    """
    tiles = features.astype(np.float64).reshape(-1, len(DENOISERS), len(PLANES), PERIOD, PERIOD)
    grey = [_shape(tiles[:, denoiser, 0]) for denoiser in range(len(DENOISERS))]
    least = {
        name: min(shape[name] for shape in grey)
        for name in ("shared", "single", "dense", "eighths")
    }
    most = {name: max(shape[name] for shape in grey) for name in ("energy", "points", "sixteenths")}
    inner = _inner(background.whitened(features))
    return TileEvidence(**least, **most, inner=inner, watermarked=watermarked)


def _shape(tiles: NDArray[np.float64]) -> dict[str, float]:
    """Measure the shape of one plane's tiles, (m, 16, 16)."""
    eighths = _bounded(_kept(tiles, EIGHTHS))
    others = _bounded(_kept(tiles, SIXTEENTHS))
    energy, shared = _shared(eighths, EIGHTHS)
    mean = eighths.mean(0)
    return {
        "shared": shared,
        "energy": energy,
        "single": _left(eighths, 1),
        "dense": _left(eighths, 2),
        "eighths": _shared(_kept(eighths, ~_FOURTHS), EIGHTHS)[0] / _positive(energy),
        "points": float((mean**4).mean() / _positive((mean**2).mean() ** 2)),
        "sixteenths": _shared(others, SIXTEENTHS)[1] / _positive(shared),
    }


def _positive(value: float) -> float:
    return max(float(value), 1e-12)


def _kept(tiles: NDArray[np.float64], harmonics: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Keep some harmonics of tiles."""
    return np.asarray(np.fft.ifft2(np.fft.fft2(tiles) * harmonics).real)


def _bounded(tiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shorten the few tiles that would outweigh all others."""
    lengths = np.sqrt((tiles**2).sum((1, 2), keepdims=True))
    return np.asarray(tiles * np.minimum(1, LOUDEST * np.median(lengths) / (lengths + 1e-12)))


def _shared(tiles: NDArray[np.float64], harmonics: NDArray[np.bool_]) -> tuple[float, float]:
    """Energy that tiles share, free of their own noise, and the same in standard errors."""
    count = len(tiles)
    own = (tiles**2).sum((1, 2))
    energy = ((tiles.sum(0) ** 2).sum() - own.sum()) / (count * (count - 1))
    errors = count * energy / _positive(own.mean()) * np.sqrt(harmonics.sum() / 2)
    return float(energy), float(errors)


def _left(tiles: NDArray[np.float64], products: int) -> float:
    """Share of what tiles share that products of a row with a column leave, cross-validated."""
    total, left, whole = tiles.sum(0), 0.0, 0.0
    for fold in range(min(FOLDS, len(tiles))):
        held_out = tiles[fold::FOLDS]
        mean = (total - held_out.sum(0)) / (len(tiles) - len(held_out))
        rows, scales, columns = np.linalg.svd(mean)
        rows, scales, columns = rows[:, :products], scales[:products], columns[:products]
        other = held_out.sum(0)
        explained = rows @ (rows.T @ other @ columns.T) @ columns
        left += float(((mean - (rows * scales) @ columns) * (other - explained)).sum())
        whole += float((mean * other).sum())
    return left / whole if whole > 0 else 0.0


def _inner(whitened: NDArray[np.float32]) -> float:
    """Share of the whitened tile of the blur that is grey and off the axes, free of noise."""
    tiles = whitened.astype(np.float64).reshape(-1, len(DENOISERS), len(PLANES), PERIOD, PERIOD)
    spectra = np.fft.fft2(tiles[:, 0])
    energy = np.abs(spectra.sum(0)) ** 2 - (np.abs(spectra) ** 2).sum(0)
    return float(energy[0][~_AXES].sum() / _positive(energy.sum()))
