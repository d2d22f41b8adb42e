"""Leading directions of a pile by block power iteration: linear in its images.

This is the spectral route of docs/method.md, *More images than all pairs can serve*. In come stored
features of all images, out come groups of tested images to be drawn from.

A pattern that many images share is a direction in which their features lie together, far weaker
than any pair of images shows. A block of directions is multiplied by all features again and again:
every image adds its feature, times its entries along the directions, to a new block. Directions
travel to the images and sums travel back, so the pile can lie anywhere.

Tested and reference images stand in one matrix, so photographs like the reference can gather in no
direction but by chance. What tested images gather beyond the reference is a group to be searched
pair by pair (`shards.drawn`): growth, acceptance and evidence are those of a small pile.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noisescope_core.whitened.planes.bands import OFF_GRID, PLANES, Layout
from noisescope_core.whitened.planes.whitening import STORED_STEPS
from noisescope_core.whitened.robust import median_and_spread

DIRECTIONS_PER_VIEW = 6
"""Directions of every view: all planes together, and each by itself. Chosen, as for small piles
(`candidates.LEADING_DIRECTIONS`)."""

POWER_ROUNDS = 10
"""Times that the directions travel to all images. Chosen: every round reads all features anew."""

LARGEST_ENTRY = 6.0
"""Entries are cut at so many standard deviations of unrelated images (which is 1). Chosen
(docs/decisions, 8): a dozen copies of one picture would outweigh hundreds of a generator's
images."""

ENTRY_STEPS = 64
"""Steps of an entry to one standard deviation. Chosen: sums of whole numbers are exact."""

PRODUCT_ROWS = 64
"""Images of a product with the directions. Chosen: a product's rounding may depend on its shape, so
it is always the same."""

EXACT_ROWS = 256
"""Images added up at a time in single precision, which counts in ones up to 2^24: 256 entries of at
most 6 * 64 times features of at most 127 stay below."""

ENTRY_STANDS_OUT = 4.0
"""Spreads of the reference from which a tested image stands out along a direction. Chosen."""

ONE_GROUP = 0.25
"""Share, 0..1, of the images of two groups together that are in both, from which they are one
group. Chosen."""

MOST_GROUPS = 12
"""Groups that a sample is drawn from, the largest. Chosen: each needs its place in the sample."""

LEAST_GATHERED = 10
"""Images in the smallest group. Chosen: fewer stand out by chance."""


def views(bins: Layout) -> NDArray[np.bool_]:
    """Say which values of a feature each view holds, off the grid: (4, 3 * V) bool."""
    planes = np.zeros((1 + len(PLANES), len(PLANES), bins.values), bool)
    for (plane, part), off_grid in zip(bins.slices(), OFF_GRID, strict=True):
        planes[[0, 1 + plane], plane, part] = off_grid
    return planes.reshape(len(planes), -1)


def first_block(bins: Layout, seed: int) -> NDArray[np.float32]:
    """Draw the directions to start from: (4 * 6, 3 * V) float32, orthonormal in every view."""
    rng = np.random.default_rng(seed)
    masks = views(bins)
    return _orthonormal(
        [rng.standard_normal((DIRECTIONS_PER_VIEW, mask.size), np.float32) for mask in masks], masks
    )


def entries(features: NDArray[np.int8], block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Project stored features on directions.

    Parameters
    ----------
    features : (n, 3 * V) int8, from `whitening.packed`
    block : (k, 3 * V) float32

    Returns
    -------
    (n, k) float32
    """
    along = np.empty((len(features), len(block)), np.float32)
    for start in range(0, len(features), PRODUCT_ROWS):
        # Always as many rows: a product's rounding may depend on its shape.
        part = np.zeros((PRODUCT_ROWS, features.shape[1]), np.float32)
        rows = features[start : start + PRODUCT_ROWS]
        part[: len(rows)] = rows
        along[start : start + PRODUCT_ROWS] = (part @ block.T)[: len(rows)]
    return along / np.float32(STORED_STEPS)


def contribution(features: NDArray[np.int8], block: NDArray[np.float32]) -> NDArray[np.float64]:
    """Work out what some images add to the next block, in whole numbers: their sum has no rounding.

    Parameters
    ----------
    features : (n, 3 * V) int8, from `whitening.packed`
    block : (k, 3 * V) float32

    Returns
    -------
    (k, 3 * V) float64, in units of 1 / (`ENTRY_STEPS` * `whitening.STORED_STEPS`)
    """
    steps = np.rint(np.clip(entries(features, block), -LARGEST_ENTRY, LARGEST_ENTRY) * ENTRY_STEPS)
    total = np.zeros(block.shape)
    # Sums of so few stay below 2^24, where single precision still counts in ones.
    for start in range(0, len(features), EXACT_ROWS):
        part = slice(start, start + EXACT_ROWS)
        total += steps[part].T @ features[part].astype(np.float32)
    return total


def next_block(
    total: NDArray[np.float64], block: NDArray[np.float32], bins: Layout
) -> NDArray[np.float32]:
    """Make the next directions of what all images add up to.

    Parameters
    ----------
    total : (k, 3 * V) float, sum of `contribution`
    block : (k, 3 * V) float32, that it was made with
    bins : layout of the size

    Returns
    -------
    (k, 3 * V) float32, orthonormal in every view
    """
    masks = views(bins)
    parts = []
    for mask, sums, before in zip(
        masks, np.split(total, len(masks)), np.split(block, len(masks)), strict=True
    ):
        # Every image meets itself; without that the bulk of the spectrum is nearer to 0.
        parts.append(sums / (ENTRY_STEPS * STORED_STEPS) - mask.sum() * before)
    return _orthonormal(parts, masks)


def _orthonormal(
    parts: list[NDArray[np.floating]], masks: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Make the directions of every view orthonormal, 0 outside it."""
    block = np.zeros((sum(map(len, parts)), masks.shape[1]), np.float32)
    for k, (part, mask) in enumerate(zip(parts, masks, strict=True)):
        directions, _ = np.linalg.qr(part[:, mask].T)
        block[k * DIRECTIONS_PER_VIEW : (k + 1) * DIRECTIONS_PER_VIEW, mask] = directions.T
    return block


def gathered(tested: NDArray[np.float32], reference: NDArray[np.float32]) -> list[NDArray[np.intp]]:
    """Group the tested images that stand out of the reference in some direction.

    Parameters
    ----------
    tested : (n, k) float32, entries
    reference : (r, k) float32

    Returns
    -------
    list of int arrays
        Row numbers, the largest group first; groups that share much are one.
    """
    centre, spread = median_and_spread(reference)
    groups: list[NDArray[np.bool_]] = []
    for sign in (1, -1):
        z, chance = sign * (tested - centre) / spread, sign * (reference - centre) / spread
        bars = np.maximum(ENTRY_STANDS_OUT, np.quantile(chance, 1 - 1 / len(chance), axis=0))
        groups += list((z > bars).T)
    merged: list[NDArray[np.bool_]] = []
    for group in sorted(groups, key=lambda group: -int(group.sum())):
        for k, other in enumerate(merged):
            if (group & other).sum() > ONE_GROUP * (group | other).sum():
                merged[k] = other | group
                break
        else:
            merged.append(group)
    return [np.flatnonzero(group) for group in merged if group.sum() >= LEAST_GATHERED][
        :MOST_GROUPS
    ]
