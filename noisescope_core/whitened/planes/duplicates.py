"""Duplicates: images that show one picture, and so share more noise than any fingerprint gives.

This is step 2 of docs/method.md. In come small sketches of the images and the correlations of
their noise, out comes for every image the first of its duplicates.

Copies saved again, burst shots, frames of a film and slightly resized copies share the details of
one picture. Counted one by one they would be a cluster of their own. Two images are duplicates if
both their noise and their content say so: strong fingerprints alone correlate too, and so do
skies. The more their noise agrees, the less alike they need to look.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from noisescope_core.images.sketch import SKETCH_SIDE
from noisescope_core.whitened.robust import median_and_spread

DUPLICATE_CONTENT = 0.95
"""Correlation of two sketches from which they show one picture, if their noise correlates above
`DUPLICATE_CORRELATION`. Chosen."""


DUPLICATE_CORRELATION = 0.1
"""Correlation of whitened noise, -1..1, that no fingerprint needs. Chosen, well above generators'
(0.04 and less, docs/method.md, step 10). Beyond it the middle half may say that pictures are alike:
copies that were framed or letterboxed since."""


SAME_CONTENT = 0.97
"""Correlation of two sketches from which they show one picture, if their noise merely stands out of
chance. Measured: faces that a generator aligns reach it in one pair of two thousand."""


BEYOND_CHANCE = 4.0
"""Spreads of all pairs' correlations from which two images share more than chance gives. Chosen."""


PAIRS = 4096
"""Pairs of sketches compared at once. Chosen: 32 MB."""


def first_of_group(
    sketches: NDArray[np.uint8], correlations: NDArray[np.float32]
) -> NDArray[np.intp]:
    """Find for every image the first of its duplicates.

    Parameters
    ----------
    sketches : (n, 1024) uint8, from `sketch`
    correlations : (n, n) float
        Of whitened noise, all planes and bands, -1..1.

    Returns
    -------
    (n,) int64
        Row numbers; an image without duplicates has its own. Duplicates of duplicates are
        duplicates.
    """
    # Of all pairs, a third is enough to know their spread.
    _, spread = median_and_spread(correlations[::3].ravel())
    first, second = np.nonzero(
        np.tril(correlations >= min(DUPLICATE_CORRELATION, BEYOND_CHANCE * float(spread)), -1)
    )
    whole, inside = (_products(part, first, second) for part in contents(sketches))
    same = show_one_picture(whole, inside, correlations[first, second], float(spread))
    links = coo_array(
        (np.ones(int(same.sum()), np.int8), (first[same], second[same])),
        shape=correlations.shape,
    )
    _, group = connected_components(links, directed=False)
    _, start = np.unique(group, return_index=True)
    return np.asarray(start[group], np.intp)


def contents(sketches: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Bring sketches, (n, 1024), and their middle halves to length 1: products are correlations."""
    middle = slice(SKETCH_SIDE // 4, -(SKETCH_SIDE // 4))
    inside = sketches.reshape(-1, SKETCH_SIDE, SKETCH_SIDE)[:, middle, middle]
    return _standardised(sketches), _standardised(inside)


def show_one_picture(
    whole: NDArray[np.float32],
    inside: NDArray[np.float32],
    noise: NDArray[np.float32],
    spread: float,
) -> NDArray[np.bool_]:
    """Say which pairs of images are duplicates.

    Parameters
    ----------
    whole, inside : (n,) float, correlations of their sketches, and of the middle halves
    noise : (n,) float, correlations of their noise
    spread : of the correlations of all images' noise
    """
    beyond = noise >= min(DUPLICATE_CORRELATION, BEYOND_CHANCE * spread)
    strong = noise >= DUPLICATE_CORRELATION
    return (beyond & (whole >= SAME_CONTENT)) | (
        strong & (np.maximum(whole, inside) >= DUPLICATE_CONTENT)
    )


def _products(
    content: NDArray[np.float32], first: NDArray[np.intp], second: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Products of pairs of rows, some pairs at a time: a large set of one maker is all pairs."""
    products = np.empty(len(first), np.float32)
    for start in range(0, len(first), PAIRS):
        some = slice(start, start + PAIRS)
        products[some] = np.einsum("ij,ij->i", content[first[some]], content[second[some]])
    return products


def _standardised(sketches: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Bring sketches to mean 0 and length 1, so that products are correlations."""
    content = sketches.reshape(len(sketches), -1).astype(np.float32)
    content -= content.mean(1, keepdims=True)
    content /= np.linalg.norm(content, axis=1, keepdims=True) + 1e-6
    return content
