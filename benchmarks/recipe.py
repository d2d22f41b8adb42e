"""The plain recipe that the default method has to beat: one correlation a pair, no band apart.

Colour planes flat in frequency, equal weights, a quantile for a bar, and a set accepted for its
size alone. Pairs and directions to start from are the heart's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.stats import binom

from noisescope_core.config import Config
from noisescope_core.correlation.spectra import half_plane_weights
from noisescope_core.experiments.methods import Answer, Method
from noisescope_core.experiments.pictures import Drawn, Pictures
from noisescope_core.residual import channel_residuals, mixed
from noisescope_core.whitened.discovery.candidates import pair_clusters, spectral_directions
from noisescope_core.whitened.planes.duplicates import DUPLICATE_CORRELATION
from noisescope_core.whitened.planes.whitening import smoothed_power

FALSE_POSITIVES = 0.005
"""Share of the reference that a bar lets through, as by the paper's percentile of 99.5."""

CHANCE = 1e-7
"""Probability of a set of that size by chance, above which it is not accepted; chosen."""

ROUNDS = 30
"""Of growing a set at most; chosen: more cost time."""

LEAST = 3
"""Images of a set; chosen."""

LEAST_SEARCHED = 10
"""Images that are left, up to which the search ends; chosen."""


def feature(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Whiten three planes of a residual and join them.

    Parameters
    ----------
    channels : (3, H, W) float32, from `residual.channel_residuals`

    Returns
    -------
    (3 * H * (W // 2 + 1) * 2,) float32
        Half spectra, scaled so that a dot product is the correlation of two images, -1..1.
    """
    red, green, blue = channels
    weights = np.sqrt(half_plane_weights(channels.shape[2])).astype(np.float32)
    planes = []
    for plane in (mixed(channels), red - green, blue - green):
        spectrum = fft.rfft2(plane)
        spectrum /= np.sqrt(np.maximum(smoothed_power(spectrum), 1e-30))
        spectrum[0, 0] = 0
        values = (spectrum * weights).ravel().view(np.float32)
        planes.append(values / max(float(np.linalg.norm(values)), 1e-12))
    joined = np.concatenate(planes)
    return np.asarray(joined / max(float(np.linalg.norm(joined)), 1e-12), np.float32)


def load(images: Pictures, _: Config) -> Method:
    """Ready the recipe: all pairs by one product."""

    def feature_of(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return feature(channel_residuals(pixels))

    stack = np.stack(images.each(feature_of))
    correlations = stack @ stack.T
    np.fill_diagonal(correlations, 0)

    def answer(drawn: Drawn) -> Answer:
        rows = images.rows(drawn)
        return Answer(find(correlations[np.ix_(rows, rows)], drawn.tested))

    return answer


def find(correlations: NDArray[np.float32], tested: int) -> list[NDArray[np.intp]]:
    """Find sets of images that share a pattern.

    Parameters
    ----------
    correlations : (n, n) float32, 0 on the diagonal; images tested first, then the reference
    tested : int

    Returns
    -------
    list of rows of images tested, in the order that they were accepted
    """
    searching, held_out = np.array_split(np.arange(tested, len(correlations)), 2)
    scale = 0.4549 / float(np.median(correlations[np.ix_(searching, held_out)] ** 2))
    clipped = np.clip(correlations, -DUPLICATE_CORRELATION, DUPLICATE_CORRELATION)
    alive = np.ones(tested, bool)
    accepted: list[NDArray[np.intp]] = []
    while alive.sum() > LEAST_SEARCHED:
        grown = _grown(clipped, _seeds(correlations, clipped, alive, searching, scale), alive)
        if not grown.shape[1]:
            break
        sizes = grown.sum(0)
        chances = binom.logsf(sizes - 1, int(alive.sum()), FALSE_POSITIVES)
        best = int(np.argmin(chances))
        if chances[best] > np.log(CHANCE):
            break
        accepted.append(np.flatnonzero(grown[:, best]))
        alive &= ~grown[:, best]
    return accepted


def _seeds(
    correlations: NDArray[np.float32],
    clipped: NDArray[np.float32],
    alive: NDArray[np.bool_],
    searching: NDArray[np.intp],
    scale: float,
) -> NDArray[np.bool_]:
    """Find sets to start from among the images that are left: (tested, sets)."""
    rows = np.flatnonzero(alive)
    together = correlations[np.ix_(rows, rows)]
    together[together > DUPLICATE_CORRELATION] = 0
    joint = np.concatenate([rows, searching])
    starts: list[Any] = [
        *pair_clusters(together, scale),
        *spectral_directions(clipped[np.ix_(joint, joint)], len(rows)),
    ]
    seeds = np.zeros((len(alive), len(starts)), bool)
    for column, start in enumerate(starts):
        seeds[rows[start], column] = True
    return seeds


def _grown(
    clipped: NDArray[np.float32], members: NDArray[np.bool_], alive: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Let sets grow and shrink until they stay as they are."""
    tested = len(alive)
    held_out = np.array_split(np.arange(tested, len(clipped)), 2)[1]
    for _ in range(ROUNDS):
        members = np.unique(members[:, members.sum(0) >= LEAST], axis=1)
        if not members.shape[1]:
            break
        sums = clipped[:, :tested] @ members.astype(np.float32)
        count = members.sum(0)
        scores = sums[:tested] / np.sqrt(np.maximum(count - members, 1))
        bar = np.quantile(sums[held_out] / np.sqrt(count), 1 - FALSE_POSITIVES, axis=0)
        after = (scores > bar) & alive[:, None]
        if (after == members).all():
            break
        members = after
    return members[:, members.sum(0) >= LEAST]
