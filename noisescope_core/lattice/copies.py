"""Reference images that are copies: of tested ones, or of each other (docs/lattice.md, step 2).

A copy of a tested image would say that its maker's tile is what photographs have, and a picture
saved ten times says no more than once. In come images of any size, out come those that serve.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from noisescope_core.lattice.background import BLOCK, background_of, blocks
from noisescope_core.lattice.tiles import stacked
from noisescope_core.method import LatticeFeature, distinct
from noisescope_core.whitened.planes.duplicates import (
    DUPLICATE_CONTENT,
    contents,
    show_one_picture,
)
from noisescope_core.whitened.robust import median_and_spread

COPIES = "reference images that show a tested picture, or one picture once more: {:,}"
"""What a run says of those that do not count."""

SPREAD_OF = 500
"""Reference images whose pairs say what chance makes of cosines. Chosen: 125,000 pairs."""


def without_copies(
    reference: Sequence[LatticeFeature], tested: Sequence[LatticeFeature]
) -> list[LatticeFeature]:
    """Leave out reference images that are tested, too, or show a tested picture.

    Pictures are one where images of one size are duplicates (`whitened.planes.duplicates`): by
    their sketches, which know no size, and by what their tiles share beyond chance.

    Returns
    -------
    list of LatticeFeature
        In the order of `reference`.
    """
    there = {image.image_id for image in tested}
    known = [image for image in reference if image.image_id not in there]
    copies = set(_one_picture(known, tested)[:, 0].tolist())
    return [image for row, image in enumerate(known) if row not in copies]


def copies_among(images: Sequence[LatticeFeature]) -> set[str]:
    """Name the images that show the picture of one with a lower id; told as in `without_copies`."""
    known = distinct(images)
    pairs = _one_picture(known, known)
    links = coo_array((np.ones(len(pairs), np.int8), tuple(pairs.T)), shape=2 * (len(known),))
    _, group = connected_components(links, directed=False)
    firsts = set(np.unique(group, return_index=True)[1].tolist())
    return {image.image_id for row, image in enumerate(known) if row not in firsts}


def unusable(reference: Sequence[LatticeFeature], tested: Sequence[LatticeFeature]) -> set[str]:
    """Name the reference images that do not count: copies of tested ones, and of each other."""
    known = distinct(reference)
    kept = {image.image_id for image in without_copies(known, tested)}
    return {image.image_id for image in known if image.image_id not in kept} | copies_among(known)


def _one_picture(
    known: Sequence[LatticeFeature], tested: Sequence[LatticeFeature]
) -> NDArray[np.intp]:
    """Pair images, (n, 2) rows, that show one picture."""
    if len(known) < 2 or not tested:
        return np.empty((0, 2), np.intp)
    pairs, whole, inside = _looking_alike(known, tested)
    typical = np.arange(len(known))
    if known is tested:
        earlier = pairs[:, 0] > pairs[:, 1]
        pairs, whole, inside = pairs[earlier], whole[earlier], inside[earlier]
        # Copies by the dozen would press down what they share.
        typical = np.setdiff1d(typical, pairs[:, 0])
    if not len(pairs):
        return pairs
    tiles = stacked([image.tile for image in known])
    background = background_of(tiles[typical])
    sample = background.units(tiles[typical[:SPREAD_OF]])
    _, spread = median_and_spread((sample @ sample.T)[np.tril_indices(len(sample), -1)])
    rows, others = pairs.T
    first = background.units(tiles[rows])
    second = background.units(stacked([tested[row].tile for row in others]))
    noise = np.einsum("ij,ij->i", first, second)
    return pairs[show_one_picture(whole, inside, noise, float(spread))]


def _looking_alike(
    known: Sequence[LatticeFeature], tested: Sequence[LatticeFeature]
) -> tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.float32]]:
    """Pair images by their sketches.

    Returns
    -------
    (n, 2) pairs of rows, and the correlations of their sketches and of the middle halves
    """
    of_known, of_tested = (
        contents(np.stack([image.sketch for image in images])) for images in (known, tested)
    )
    found = []
    for block in blocks(len(tested), BLOCK):
        whole, inside = (
            mine @ theirs[block].T for mine, theirs in zip(of_known, of_tested, strict=True)
        )
        rows, others = np.nonzero(np.maximum(whole, inside) >= DUPLICATE_CONTENT)
        pairs = np.stack([rows, others + block.start], 1)
        found.append((pairs, whole[rows, others], inside[rows, others]))
    pairs, whole, inside = (np.concatenate(part) for part in zip(*found, strict=True))
    return pairs, whole, inside
