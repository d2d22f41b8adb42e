"""The whole search among the images of one size: the default method's `find`.

Patterns that tested images share and reference images lack (`discovery`) are looked at for what
tells their maker (`evidence`). Where an overlay is found, the search runs again beneath it
(`overlay`). What it looks at is a `Pile`: arrays (`ArrayPile`), or tables that Spark holds, which
do the arithmetic where the images lie. The decisions are here, and the same for both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from noisescope_core import method
from noisescope_core.config import Config
from noisescope_core.fingerprint import fingerprint_id, most_common
from noisescope_core.images import Size
from noisescope_core.method import Feature, Found, Note, distinct, say_nothing
from noisescope_core.tables.rows import ClusterRow, FingerprintRow
from noisescope_core.whitened.discovery.acceptance import acceptance_of
from noisescope_core.whitened.discovery.correlations import arrange_distinct
from noisescope_core.whitened.discovery.patterns import SharedPattern, discover
from noisescope_core.whitened.makers.evidence import Evidence, gather, own_energy
from noisescope_core.whitened.makers.overlay import (
    MOST_COVERED,
    TILED,
    covered_tiles,
    tile_agreement,
    tile_grid,
    without_tiles,
)
from noisescope_core.whitened.planes.bands import PLANES, Layout, compared
from noisescope_core.whitened.planes.pair_correlations import pair_correlations
from noisescope_core.whitened.planes.whitening import spatial, unpacked

Mask = NDArray[np.bool_]
"""Tiles of the compared part of an image, (rows, columns)."""


@dataclass(frozen=True)
class FileFacts:
    """What the file of an image says: compression in words, and a generator's watermark."""

    compression: str
    watermark: str | None


@dataclass(frozen=True)
class MemberTiles:
    """What some members of a pattern show of it, tile by tile.

    Attributes
    ----------
    agreement : (m, rows, columns) float32, from `overlay.tile_agreement`
    energy : (2, H, W) float64, `evidence.own_energy` of every second member, and of the others
    """

    agreement: NDArray[np.float32]
    energy: NDArray[np.float64]


class Pile(method.Pile, Protocol):
    """The images of one size, as this search looks at them.

    Masks say which tiles are taken out of every image before anything is worked out.
    """

    @property
    def bins(self) -> Layout:
        """Layout of the part of the images that is compared."""

    @property
    def stands_for(self) -> NDArray[np.float64] | None:
        """Images of the pile that each tested image stands for; None if they are the pile."""

    def sketches(self) -> NDArray[np.uint8]:
        """Sketches of the tested images, then of the reference images: (n, 1024)."""

    def correlations(self, covered: Mask) -> NDArray[np.float32]:
        """Correlations of all pairs, tested images first: (33, n, n)."""

    def means(self, groups: Sequence[NDArray[np.intp]], covered: Mask) -> NDArray[np.float32]:
        """Mean features of groups of tested images: (k, 3, V)."""

    def member_tiles(
        self, members: Sequence[NDArray[np.intp]], means: NDArray[np.float32], covered: Mask
    ) -> list[MemberTiles]:
        """What the first `overlay.TILED` members of each pattern show, given its mean feature."""

    def files(self) -> Mapping[str, FileFacts]:
        """What the files of the tested images say, by image id."""


@dataclass(frozen=True)
class DescribedPattern:
    """A pattern of one search, and what was learned of its maker.

    Attributes
    ----------
    shared : as discovery found it
    row : its fingerprint with evidence and bar
    agreement : (m, rows, columns) float32, of its members' tiles, as `MemberTiles` has it
    """

    shared: SharedPattern
    row: FingerprintRow
    agreement: NDArray[np.float32]


def find(pile: Pile, config: Config, note: Note = say_nothing) -> Found:
    """Find the patterns that tested images of one size share, and say whose each is.

    Parameters
    ----------
    pile : Pile
    config : Config
    note : callable
        Takes a sentence on what is going on.

    Returns
    -------
    Found
        Overlays that hid others come first; `clusters` tells the images of each pattern after
        every step of its growth.
    """
    overlays: list[DescribedPattern] = []
    covered = np.zeros(tile_grid(pile.bins), bool)
    while True:
        patterns = _patterns(pile, covered, config, note)
        reached = covered
        for pattern in patterns:
            if pattern.row.maker == "overlay":
                reached = reached | covered_tiles(pattern.agreement)
        if reached.sum() == covered.sum() or reached.mean() > MOST_COVERED:
            return _found(pile, overlays + patterns)
        overlays += [pattern for pattern in patterns if pattern.row.maker == "overlay"]
        covered = reached


def _found(pile: Pile, patterns: list[DescribedPattern]) -> Found:
    steps = [
        ClusterRow(*pile.size, number, cluster, pile.ids[member])
        for cluster, pattern in enumerate(patterns)
        for number, members in enumerate(pattern.shared.growth, start=1)
        for member in members
    ]
    return Found([pattern.row for pattern in patterns], steps)


def _patterns(pile: Pile, covered: Mask, config: Config, note: Note) -> list[DescribedPattern]:
    """Search once, with some tiles taken out of all images, and describe what is found."""
    correlations = pile.correlations(covered)
    # Hashes sort the images, so their order says nothing of them.
    arranged = arrange_distinct(
        correlations, pile.sketches(), len(pile.ids), pile.bins.shares(), pile.stands_for
    )
    del correlations
    return describe(pile, discover(arranged, acceptance_of(config), note), covered)


def describe(pile: Pile, shared: Sequence[SharedPattern], covered: Mask) -> list[DescribedPattern]:
    """Learn of each pattern of a search whose it is, from its members' tiles and files.

    Parameters
    ----------
    pile : Pile
    shared : patterns found in it
    covered : (rows, columns) bool
        Tiles that were taken out of all images.
    """
    if not shared:
        return []
    groups = [pattern.members[half::2] for pattern in shared for half in (0, 1)]
    halves = pile.means(groups, covered).reshape(len(shared), 2, len(PLANES), -1)
    means = np.stack(
        [
            np.average(half, 0, [len(pattern.members[k::2]) for k in (0, 1)])
            for half, pattern in zip(halves, shared, strict=True)
        ]
    ).astype(np.float32)
    tiles = pile.member_tiles([pattern.members for pattern in shared], means, covered)
    files = pile.files()
    described = []
    for k, pattern in enumerate(shared):
        facts = [files[pile.ids[member]] for member in pattern.members]
        watermark, watermarked = most_common(fact.watermark for fact in facts)
        evidence = gather(
            pattern.agreement,
            pattern.error,
            tiles[k].agreement[:, ~covered],
            halves[k],
            tiles[k].energy,
            pile.bins,
        )
        evidence = replace(evidence, watermarked=watermarked, images=len(pattern.members))
        row = _row(pile, pattern, evidence, means[k], covered)
        compression, same = most_common(fact.compression for fact in facts)
        row = replace(row, header=compression, same_header=same, watermark=watermark)
        described.append(DescribedPattern(pattern, row, tiles[k].agreement))
    return described


def _row(
    pile: Pile,
    pattern: SharedPattern,
    evidence: Evidence,
    mean: NDArray[np.float32],
    covered: Mask,
) -> FingerprintRow:
    width, height = pile.size
    members = [pile.ids[member] for member in pattern.members]
    mask = covered.ravel().tolist() if covered.any() else None
    bar = pattern.bar
    return FingerprintRow(
        # An overlay and what it hides may have the same members.
        fingerprint_id=fingerprint_id(members if mask is None else [*members, str(mask)]),
        width=width,
        height=height,
        flagged=evidence.maker == "generator",
        cohesion=pattern.cohesion,
        repeats=pattern.repeats,
        off_grid=pattern.off_grid,
        maker=evidence.maker,
        **vars(evidence),
        in_reference=pattern.in_reference,
        weights=pattern.weights.tolist(),
        centres=pattern.centre.tolist(),
        **bar.columns(),
        members=members,
        covered=mask,
        pixels=_picture(pattern, mean, pile).tobytes(),
        whitened=mean.tobytes(),
    )


def _picture(pattern: SharedPattern, mean: NDArray[np.float32], pile: Pile) -> NDArray[np.float32]:
    """Show the plane that says most, in the middle of a picture of the images' size."""
    width, height = pile.size
    bins = pile.bins
    plane = int(np.argmax((pattern.weights * bins.shares()).reshape(len(PLANES), -1).sum(1)))
    picture = np.zeros((height, width), np.float32)
    tall, wide = bins.shape
    top, left = (height - tall) // 2, (width - wide) // 2
    picture[top : top + tall, left : left + wide] = spatial(mean[plane], bins)
    return picture


@dataclass(frozen=True)
class ArrayPile:
    """A pile in memory, made by `array_pile`.

    Attributes
    ----------
    size : (width, height), pixels
    tested, reference : features that are searched, by ascending id
    bins : layout of the part that is compared
    block_bytes : features multiplied at once, bytes
    known : (33, n, n) float32, correlations of all pairs with no tile taken out, if they are known
    stands_for : as `Pile` has it
    """

    size: Size
    tested: Sequence[Feature]
    reference: Sequence[Feature]
    bins: Layout
    block_bytes: int
    known: NDArray[np.float32] | None = None
    stands_for: NDArray[np.float64] | None = None

    @property
    def ids(self) -> Sequence[str]:
        """As `Pile` has it."""
        return [image.image_id for image in self.tested]

    def sketches(self) -> NDArray[np.uint8]:
        """As `Pile` has it."""
        return np.stack([image.sketch for image in (*self.tested, *self.reference)])

    def correlations(self, covered: Mask) -> NDArray[np.float32]:
        """As `Pile` has it."""
        if self.known is not None and not covered.any():
            return self.known.copy()
        images = [*self.tested, *self.reference]
        features = [self._stored(image, covered).reshape(-1) for image in images]
        return pair_correlations(features, self.bins, self.block_bytes)

    def means(self, groups: Sequence[NDArray[np.intp]], covered: Mask) -> NDArray[np.float32]:
        """As `Pile` has it."""
        return np.stack([self._mean(group, covered) for group in groups])

    def _mean(self, group: NDArray[np.intp], covered: Mask) -> NDArray[np.float32]:
        total = np.zeros((len(PLANES), self.bins.values))
        for member in group:
            total += unpacked(self._stored(self.tested[member], covered))
        return np.asarray(total / len(group), np.float32)

    def member_tiles(
        self, members: Sequence[NDArray[np.intp]], means: NDArray[np.float32], covered: Mask
    ) -> list[MemberTiles]:
        """As `Pile` has it."""
        shown = []
        for group, mean in zip(members, means, strict=True):
            features = [
                unpacked(self._stored(self.tested[member], covered)) for member in group[:TILED]
            ]
            agreement = tile_agreement(np.stack(features), mean, len(group), self.bins)
            energy = np.stack([own_energy(features[half::2], self.bins) for half in (0, 1)])
            shown.append(MemberTiles(agreement, energy))
        return shown

    def files(self) -> Mapping[str, FileFacts]:
        """As `Pile` has it."""
        return {
            image.image_id: FileFacts(image.compression, image.watermark) for image in self.tested
        }

    def _stored(self, image: Feature, covered: Mask) -> NDArray[np.int8]:
        return without_tiles(image.stored, covered, self.bins) if covered.any() else image.stored


def array_pile(
    tested: Sequence[Feature], reference: Sequence[Feature], size: Size, config: Config
) -> ArrayPile:
    """Put the distinct images of one size together, as many as the configuration searches."""
    limits = config.discovery
    return ArrayPile(
        size,
        distinct(tested)[: limits.images],
        distinct(reference)[: limits.reference],
        compared(size[1], size[0], config.whitening.side),
        config.spark.block_bytes,
    )
