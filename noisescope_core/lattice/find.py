"""The search among images of all sizes at once: the lattice way's `find` (docs/lattice.md)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from noisescope_core.config import Config
from noisescope_core.fingerprint import fingerprint_id, most_common
from noisescope_core.lattice.background import Views, views_of
from noisescope_core.lattice.copies import copies_among, without_copies
from noisescope_core.lattice.detector import packed_background
from noisescope_core.lattice.discovery import SharedTile, shared_tiles
from noisescope_core.lattice.evidence import evidence_of
from noisescope_core.lattice.growth import LEAST
from noisescope_core.lattice.tiles import DENOISERS, PERIOD, stacked
from noisescope_core.method import LatticeFeature, LatticePile, Note, distinct, say_nothing
from noisescope_core.tables.rows import FingerprintRow
from noisescope_core.whitened.planes.bands import PLANES

FLAGS = {"report": ("generator",), "flag": ("generator", "undetermined")}
"""Makers whose fingerprints flag images, by the key `lattice.undetermined`."""

OF_SHAPE = ("shared", "energy", "single", "dense", "eighths", "points", "sixteenths", "inner")
"""Attributes of `TileEvidence` that are kept with a fingerprint, as `tile_shared` and so on."""


def find(
    pile: LatticePile,
    in_place: Sequence[FingerprintRow],
    config: Config,
    note: Note = say_nothing,
) -> list[FingerprintRow]:
    """Find the tiles that tested images share, and say whose each is.

    Parameters
    ----------
    pile : images of all sizes
    in_place : patterns found among images of one size
    config : Config
    note : takes a sentence on what is going on

    Returns
    -------
    list of FingerprintRow
        Of the kind `lattice`, the least probable set first. What flags nothing and is mostly of
        images that share a pattern in place, too, is that pattern's and left out.
    """
    tested = distinct(pile.tested)
    if len(tested) < LEAST:
        return []
    known = distinct(pile.reference)[: config.lattice.reference]
    twice = copies_among(known)
    known = [image for image in known if image.image_id not in twice]
    # An image cannot be held against itself.
    reference = without_copies(known, tested)
    if copies := len(known) - len(reference):
        note(f"lattices: copies of tested images left out of the reference: {copies:,}")
    if len(reference) < config.discovery.least_reference:
        return []
    photographs = stacked([image.tile for image in reference])
    views = views_of(np.stack([image.tile for image in tested]), photographs)
    sketches = np.stack([image.sketch for image in tested])
    tiles = shared_tiles(views, sketches, config.seed, note)
    rows = [_row(tested, views, tile, config) for tile in tiles]
    return [row for row in rows if row.flagged or not _explained(row, in_place)]


def _explained(row: FingerprintRow, in_place: Sequence[FingerprintRow]) -> bool:
    """Whether most members of a lattice share one pattern in place, too."""
    members = set(row.members)
    return any(len(members.intersection(other.members)) * 2 > len(members) for other in in_place)


def _row(
    tested: Sequence[LatticeFeature],
    views: Views,
    tile: SharedTile,
    config: Config,
) -> FingerprintRow:
    images = [tested[row] for row in tile.members]
    members = [image.image_id for image in images]
    features = stacked([image.tile for image in images])
    compression, same = most_common(image.compression for image in images)
    watermark, watermarked = most_common(image.watermark for image in images)
    evidence = evidence_of(features, views.whole, watermarked)
    maker = evidence.maker
    unit = views.tested[tile.members].mean(0, dtype=np.float64)
    return FingerprintRow(
        fingerprint_id=fingerprint_id([*members, "lattice"]),
        kind="lattice",
        width=PERIOD,
        height=PERIOD,
        images=len(members),
        flagged=maker in FLAGS[config.lattice.undetermined],
        cohesion=tile.cohesion,
        maker=maker,
        **{f"tile_{name}": value for name, value in vars(evidence).items() if name in OF_SHAPE},
        header=compression,
        same_header=same,
        watermark=watermark,
        watermarked=watermarked,
        **tile.bar.columns(),
        elsewhere_centre=tile.elsewhere[0],
        elsewhere_spread=tile.elsewhere[1],
        members=members,
        pixels=_picture(features, unit).tobytes(),
        whitened=np.asarray(unit, np.float32).tobytes(),
        background=packed_background(views.whole),
    )


def _picture(features: NDArray[np.float32], unit: NDArray[np.float64]) -> NDArray[np.float32]:
    """Show the plane that says most as the eye sees it, its background not pressed down."""
    says = np.square(unit.reshape(len(DENOISERS), len(PLANES), -1)[0]).sum(1)
    planes = features.mean(0, dtype=np.float64).reshape(len(DENOISERS), len(PLANES), -1)[0]
    return np.asarray(planes[int(np.argmax(says))], np.float32)
