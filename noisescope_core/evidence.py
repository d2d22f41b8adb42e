"""Whose pattern is it: a generator's, a device's, of processing, or laid over the pictures.

Shared patterns have other makers than generators. What tells them apart, and the rule:

- *overlay*: a caption, a logo, a frame, a tiled watermark is in some places only. A generator's
  pattern is all over the image, so in the median tile the images agree as in the mean tile.
- *device*: a camera's sensor varies in sensitivity from photosite to photosite. That is in the
  brightness more than in the colours, which the camera interpolates, it is smooth in frequency,
  for each photosite varies by itself, and it is weak. A generator's pattern is in the colours as
  well, or has its energy where its upsampling puts it, or is strong. In doubt it is a device's.
- *processing*: nearly all of it lies on the JPEG grid and on lines. (A pattern is only found if it
  stands without them, but what leaks from them can.)
- else a *generator*. A pattern of images most of which carry a generator's known watermark is a
  generator's in any case.

The bounds were set on the simulator's cameras, generators and overlays and on three generators
of real images; docs/method.md shows how far each lies from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from noisescope_core.whitening import OFF_GRID, PLANES, RINGS, Layout

LEAST_SPREAD = 0.38
MOST_GRID = 0.7
LEAST_COLOUR = 0.35
LEAST_PEAK = 1.75
LEAST_STRENGTH = 0.025
"""Correlation of two images that a sensor does not reach: its photosites differ by a hundredth."""

Maker = Literal["generator", "device", "overlay", "processing"]


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
        of its neighbours.
    grid : float
        Share of the whole strength that lies on the JPEG grid and on lines, 0..1.
    spread : float
        Agreement of the members in the median tile of the image over that in the mean tile,
        about 1 if it is everywhere.
    watermarked : float
        Share of the members that carry the known watermark of one generator, 0..1.
    """

    strength: float
    colour: float
    peak: float
    grid: float
    spread: float
    watermarked: float = 0.0

    @property
    def maker(self) -> Maker:
        """Who made the pattern, by the rule of this module."""
        if self.watermarked > 0.5:
            return "generator"
        if self.spread < LEAST_SPREAD:
            return "overlay"
        if self.grid > MOST_GRID:
            return "processing"
        smooth = self.colour < LEAST_COLOUR and self.peak < LEAST_PEAK
        if smooth and self.strength < LEAST_STRENGTH:
            return "device"
        return "generator"


def gather(
    agreement: NDArray[np.float64],
    error: NDArray[np.float64],
    tiles: NDArray[np.float32],
    bins: Layout,
) -> Evidence:
    """Gather the evidence on a pattern.

    Parameters
    ----------
    agreement, error : (33,) float
        Mean correlation of two members, by band, and its standard error.
    tiles : (m, k) float, from `overlay.tile_agreement`
        Of members, in the tiles that lie open; `overlay.TILED` members are enough.
    bins : layout of their size
    """
    off = np.where(OFF_GRID, agreement, 0).reshape(len(PLANES), -1).sum(1)
    off_error = np.sqrt(np.where(OFF_GRID, error**2, 0).reshape(len(PLANES), -1).sum(1))
    grey = max(off[0], off_error[0])
    rings = agreement[: len(RINGS)] / bins.shares()[: len(RINGS)]
    doubt = 2 * error[: len(RINGS)] / bins.shares()[: len(RINGS)]
    # The lowest frequencies are the picture's, the highest have no neighbour.
    around = np.maximum((rings[:-2] + rings[2:]) / 2, 0.1 * max(rings.max(), doubt.max()))
    whole = float(np.maximum(agreement, 0).sum())
    return Evidence(
        strength=float(off[0]),
        colour=float((off[1:].mean() - 2 * off_error[1:].mean()) / grey),
        peak=float(((rings - doubt)[1:-1] / around).max()),
        grid=float(np.maximum(agreement[~OFF_GRID], 0).sum() / max(whole, 1e-12)),
        spread=_spread(tiles),
    )


def _spread(tiles: NDArray[np.float32]) -> float:
    # By the median member: two images that share more than the pattern must not decide.
    typical = np.median(tiles, axis=0)
    average = float(typical.mean())
    return float(np.median(typical) / average) if average > 0 else 0.0
