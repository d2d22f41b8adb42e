"""The search among images of all sizes at once: the lattice way's `find` (docs/lattice.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from noisescope_core.config import Config
from noisescope_core.fingerprint import fingerprint_id
from noisescope_core.lattice.background import Background, Views, views_of
from noisescope_core.lattice.detector import packed_background
from noisescope_core.lattice.discovery import SharedTile, shared_tiles
from noisescope_core.lattice.evidence import evidence_of
from noisescope_core.lattice.growth import LEAST
from noisescope_core.lattice.tiles import DENOISERS, PERIOD, PLANES, stacked
from noisescope_core.method import LatticeFeature, LatticePile, Note, say_nothing
from noisescope_core.tables.rows import FingerprintRow

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
    tested = _distinct(pile.tested)
    there = {image.image_id for image in tested}
    # An image cannot be held against itself.
    reference = [image for image in _distinct(pile.reference) if image.image_id not in there]
    if len(tested) < LEAST or len(reference) < config.discovery.least_reference:
        return []
    photographs = stacked([image.tile for image in reference])
    background, views = views_of(stacked([image.tile for image in tested]), photographs)
    sketches = np.stack([image.sketch for image in tested])
    tiles = shared_tiles(views, sketches, config.seed, note)
    rows = [_row(tested, background, views, tile, config) for tile in tiles]
    return [row for row in rows if row.flagged or not _explained(row, in_place)]


def _explained(row: FingerprintRow, in_place: Sequence[FingerprintRow]) -> bool:
    """Whether most members of a lattice share one pattern in place, too."""
    members = set(row.members)
    return any(len(members.intersection(other.members)) * 2 > len(members) for other in in_place)


def _distinct(images: Sequence[LatticeFeature]) -> list[LatticeFeature]:
    by_id = {image.image_id: image for image in images}
    return [by_id[image_id] for image_id in sorted(by_id)]


def _row(
    tested: Sequence[LatticeFeature],
    background: Background,
    views: Views,
    tile: SharedTile,
    config: Config,
) -> FingerprintRow:
    images = [tested[row] for row in tile.members]
    members = [image.image_id for image in images]
    features = stacked([image.tile for image in images])
    compression, same = _most_common([image.compression for image in images])
    watermark, watermarked = _most_common([image.watermark for image in images])
    evidence = evidence_of(features, background, watermarked)
    maker = evidence.maker
    flags = FLAGS[config.lattice.undetermined]
    unit = views.tested[tile.members].mean(0, dtype=np.float64)
    bar = tile.bar
    return FingerprintRow(
        fingerprint_id=fingerprint_id([*members, "lattice"]),
        kind="lattice",
        width=PERIOD,
        height=PERIOD,
        images=len(members),
        flagged=maker in flags,
        cohesion=tile.cohesion,
        maker=maker,
        **{f"tile_{name}": value for name, value in vars(evidence).items() if name in OF_SHAPE},
        header=compression,
        same_header=same,
        watermark=watermark,
        watermarked=watermarked,
        reference_centre=bar.centre,
        reference_spread=bar.spread,
        threshold=bar.threshold,
        member_mean=bar.mean,
        member_spread=bar.deviation,
        prior=bar.prior,
        members=members,
        pixels=_picture(features, unit).tobytes(),
        whitened=np.asarray(unit, np.float32).tobytes(),
        background=packed_background(background),
    )


def _picture(features: NDArray[np.float32], unit: NDArray[np.float64]) -> NDArray[np.float32]:
    """Show the plane that says most as the eye sees it, its background not pressed down."""
    says = np.square(unit.reshape(len(DENOISERS), len(PLANES), -1)[0]).sum(1)
    planes = features.mean(0, dtype=np.float64).reshape(len(DENOISERS), len(PLANES), -1)[0]
    return np.asarray(planes[int(np.argmax(says))], np.float32)


def _most_common(values: Sequence[str | None]) -> tuple[str | None, float]:
    """Find the most common value other than None, and its share of all."""
    counts = Counter(value for value in values if value)
    if not counts:
        return None, 0.0
    value = min(counts, key=lambda value: (-counts[value], value))
    return value, counts[value] / len(values)
