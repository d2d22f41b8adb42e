"""Reference images that are copies of tested ones (docs/lattice.md, step 2).

A copy would say that its maker's tile is what photographs have. In come images of any size, out
come those that serve as the reference.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from noisescope_core.lattice.background import BLOCK, background_of, blocks
from noisescope_core.lattice.tiles import stacked
from noisescope_core.method import LatticeFeature
from noisescope_core.whitened.planes.duplicates import (
    DUPLICATE_CONTENT,
    contents,
    show_one_picture,
)
from noisescope_core.whitened.robust import median_and_spread

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
    if len(known) < 2:
        return known
    pairs, whole, inside = _looking_alike(known, tested)
    if not len(pairs):
        return known
    tiles = stacked([image.tile for image in known])
    background = background_of(tiles)
    sample = background.units(tiles[:SPREAD_OF])
    _, spread = median_and_spread((sample @ sample.T)[np.tril_indices(len(sample), -1)])
    rows, others = pairs.T
    first = background.units(tiles[rows])
    second = background.units(stacked([tested[row].tile for row in others]))
    noise = np.einsum("ij,ij->i", first, second)
    copies = set(rows[show_one_picture(whole, inside, noise, float(spread))].tolist())
    return [image for row, image in enumerate(known) if row not in copies]


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
