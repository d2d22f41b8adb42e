"""The whole search among the images of one size: the paper's `find` (sections 3.3 and 3.4).

Images are merged into clusters (`clustering`), large clusters are classified by the texture of
their fingerprints (`classifier`). What it looks at is a `Pile`: arrays (`ArrayPile`), or tables
that Spark holds, which do the arithmetic where the images lie. The decisions are here, and the same
for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from noisescope_core import method
from noisescope_core.config import Config
from noisescope_core.correlation.pairs import Pairs
from noisescope_core.fingerprint import fingerprint_id, reference_blocks, sample_members
from noisescope_core.images import Size
from noisescope_core.method import Feature, Found, Note, say_nothing
from noisescope_core.paper.calibration import fingerprint_blocks, merge_threshold
from noisescope_core.paper.classifier import fit_texture, texture_margins
from noisescope_core.paper.clustering import (
    Clusters,
    Members,
    Merging,
    ResidualStack,
    fast_merging,
)
from noisescope_core.tables.rows import ClusterRow, FingerprintRow, MergingRow
from noisescope_core.texture import haralick_features

Groups = Sequence[Sequence[int]]
"""Groups of images by their numbers; an image may be in several."""


class Averages(Protocol):
    """Images of one size whose residuals can be averaged where they lie."""

    def __len__(self) -> int:
        """Count the images."""

    def means(self, groups: Groups) -> NDArray[np.float32]:
        """Mean residual of every group: (k, H, W)."""

    def textures(self, groups: Groups) -> NDArray[np.float64]:
        """Haralick features of the mean residual of every group: (k, 13)."""


@dataclass(frozen=True)
class Calibration:
    """What reference images say of a size.

    Attributes
    ----------
    t_merge : PCE above which two clusters may be merged
    textures : (k, 13) float64, Haralick features of reference fingerprints
    """

    t_merge: float
    textures: NDArray[np.float64]


class Pile(method.Pile, Protocol):
    """The images of one size, as this search looks at them."""

    @property
    def images(self) -> Averages:
        """The tested images."""

    @property
    def calibration(self) -> Calibration:
        """What the reference images say."""

    def pairs(self, t_merge: float) -> Pairs:
        """Pairs of images above T_merge."""

    def pairs_of_merged(self, new: Clusters, old: Clusters, t_merge: float) -> Pairs:
        """Pairs of clusters above T_merge in which a new one takes part."""


def calibrate(reference: Averages, config: Config) -> Calibration:
    """Calibrate T_merge and the classifier on the reference images of a size.

    Raises
    ------
    ValueError
        If there are too few of them.
    """
    limits, texture = config.calibration, config.texture
    t_merge = limits.t_merge
    if t_merge is None:
        blocks = fingerprint_blocks(len(reference), limits.fingerprints, limits.images)
        order = np.random.default_rng(config.seed).permutation(len(reference))
        fingerprints = reference.means(order[blocks].tolist())
        t_merge = merge_threshold(fingerprints, limits.percentile)
    blocks = reference_blocks(len(reference), texture.images, texture.shuffles, config.seed)
    return Calibration(t_merge, reference.textures(blocks.tolist()))


@dataclass
class _Classifier:
    """Tells generators' clusters, and keeps what it saw of those that it was asked about last."""

    pile: Pile
    config: Config

    def __post_init__(self) -> None:
        texture = self.config.texture
        self.model = fit_texture(
            self.pile.calibration.textures, texture.neighbours, texture.contamination
        )
        self.number_of = {image_id: number for number, image_id in enumerate(self.pile.ids)}
        self.clusters: Sequence[Members] = ()
        self.margins: Sequence[float] = ()
        self.textures: Sequence[Sequence[float]] = ()

    def __call__(self, clusters: Sequence[Members]) -> list[bool]:
        samples = [self._sample(members) for members in clusters]
        textures = self.pile.images.textures(samples)
        self.clusters = clusters
        self.margins = texture_margins(self.model, textures).tolist()
        self.textures = textures.tolist()
        return [margin < 0 for margin in self.margins]

    def _sample(self, members: Members) -> list[int]:
        ids = [self.pile.ids[member] for member in members]
        drawn = sample_members(ids, self.config.texture.images, self.config.seed)
        return [self.number_of[image_id] for image_id in drawn]


def find(pile: Pile, config: Config, note: Note = say_nothing) -> Found:
    """Merge the images of one size, and classify the large clusters.

    Parameters
    ----------
    pile : Pile
    config : Config
    note : callable
        Takes a sentence on what is going on.

    Returns
    -------
    Found
        A fingerprint for every cluster that was classified last; `clusters` tells the clusters
        after every round.
    """
    t_merge = pile.calibration.t_merge
    classify = _Classifier(pile, config)

    def recompute(new: Clusters, old: Clusters) -> Pairs:
        note(f"{len(new)} merged, {len(old)} others")
        return pile.pairs_of_merged(new, old, t_merge)

    merging = fast_merging(
        len(pile.ids), pile.pairs(t_merge), recompute, classify,
        check_above=config.clustering.check_above, classify_above=config.clustering.classify_above,
    )  # fmt: skip
    return Found(_fingerprints(pile, classify), _clusters(pile, merging), _counts(pile, merging))


def _clusters(pile: Pile, merging: Merging) -> list[ClusterRow]:
    return [
        ClusterRow(*pile.size, number, cluster, pile.ids[member])
        for number, clusters in enumerate(merging.rounds, start=1)
        for cluster, members in enumerate(clusters)
        for member in members
    ]


def _counts(pile: Pile, merging: Merging) -> MergingRow:
    return MergingRow(
        *pile.size, len(merging.rounds), len(merging.clusters), merging.compared, merging.refined
    )


def _fingerprints(pile: Pile, classified: _Classifier) -> list[FingerprintRow]:
    """Make a row for every cluster that was classified last: the mean over all its images."""
    if not classified.clusters:
        return []
    means = pile.images.means(classified.clusters)
    rows = []
    for members, margin, texture, pixels in zip(
        classified.clusters, classified.margins, classified.textures, means, strict=True
    ):
        ids = [pile.ids[member] for member in members]
        rows.append(
            FingerprintRow(
                fingerprint_id=fingerprint_id(ids),
                width=pile.size[0],
                height=pile.size[1],
                images=len(ids),
                flagged=margin < 0,
                margin=margin,
                haralick=texture,
                members=ids,
                pixels=pixels.tobytes(),
            )
        )
    return rows


@dataclass(frozen=True)
class ArrayAverages:
    """Residuals in memory, (n, H, W) float32, as `Averages`."""

    residuals: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.residuals)

    def means(self, groups: Groups) -> NDArray[np.float32]:
        """As `Averages` has it."""
        return np.stack(
            [
                np.asarray(self.residuals[list(group)].mean(0, dtype=np.float64), np.float32)
                for group in groups
            ]
        )

    def textures(self, groups: Groups) -> NDArray[np.float64]:
        """As `Averages` has it."""
        return np.stack([haralick_features(mean) for mean in self.means(groups)])


@dataclass(frozen=True)
class ArrayPile:
    """A pile in memory, made by `array_pile`; residuals are (n, H, W) float32, as `ids` say."""

    size: Size
    ids: Sequence[str]
    residuals: NDArray[np.float32]
    reference: NDArray[np.float32]
    config: Config

    @property
    def images(self) -> ArrayAverages:
        """As `Pile` has it."""
        return ArrayAverages(self.residuals)

    @cached_property
    def calibration(self) -> Calibration:
        """As `Pile` has it."""
        return calibrate(ArrayAverages(self.reference), self.config)

    @cached_property
    def _stack(self) -> ResidualStack:
        return ResidualStack(self.residuals, self.config.clustering.exact)

    def pairs(self, t_merge: float) -> Pairs:
        """As `Pile` has it."""
        return self._stack.pairs(t_merge)

    def pairs_of_merged(self, new: Clusters, old: Clusters, t_merge: float) -> Pairs:
        """As `Pile` has it."""
        return self._stack.pairs_of_merged(new, old, t_merge)


def array_pile(
    tested: Sequence[Feature], reference: Sequence[Feature], size: Size, config: Config
) -> ArrayPile:
    """Put the distinct images of one size together, by ascending id."""
    images, photographs = (
        {image.image_id: image.stored for image in some} for some in (tested, reference)
    )
    return ArrayPile(
        size,
        sorted(images),
        np.stack([images[image_id] for image_id in sorted(images)]),
        np.stack([photographs[image_id] for image_id in sorted(photographs)]),
        config,
    )
