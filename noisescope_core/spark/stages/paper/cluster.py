"""What the paper's `find` looks at, where the residuals are tables: averages and pairs by Spark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from noisescope_core.config import Config
from noisescope_core.correlation.pairs import Pairs
from noisescope_core.images import Size
from noisescope_core.method import Found
from noisescope_core.paper.clustering import Clusters
from noisescope_core.paper.find import Calibration, Groups, calibrate
from noisescope_core.spark.stages.means import fingerprints_of, haralick_of, summed_residuals
from noisescope_core.spark.stages.paper.correlate import (
    correlated_pairs,
    decidable_sizes,
    gather_pairs,
)
from noisescope_core.spark.stages.sets import ImageSet
from noisescope_core.spark.tables.run import Run
from noisescope_core.spark.tables.sizes import of_size
from noisescope_core.tables.rows import ReferenceFingerprintRow


@dataclass(frozen=True)
class StoredAverages:
    """Images of one size in a table of residuals, as `paper.find.Averages`."""

    run: Run
    config: Config
    images: ImageSet

    def __len__(self) -> int:
        return len(self.images)

    def means(self, groups: Groups) -> NDArray[np.float32]:
        """As `Averages` has it."""
        sums = summed_residuals(self.run, self.config, self.images, _numbered(groups))
        return fingerprints_of(sums, (self.images.height, self.images.width))

    def textures(self, groups: Groups) -> NDArray[np.float64]:
        """As `Averages` has it."""
        sums = summed_residuals(self.run, self.config, self.images, _numbered(groups))
        return haralick_of(sums, (self.images.height, self.images.width))


def _numbered(groups: Groups) -> dict[int, list[int]]:
    return {number: list(members) for number, members in enumerate(groups)}


@dataclass(frozen=True)
class StoredPile:
    """The images of one size in the tables of a run, as `paper.find.Pile`."""

    run: Run
    config: Config
    tested: ImageSet
    t_merge: float

    @property
    def size(self) -> Size:
        """As `Pile` has it."""
        return self.tested.size

    @property
    def ids(self) -> Sequence[str]:
        """As `Pile` has it."""
        return self.tested.ids

    @property
    def images(self) -> StoredAverages:
        """As `Pile` has it."""
        return StoredAverages(self.run, self.config, self.tested)

    @cached_property
    def calibration(self) -> Calibration:
        """As `Pile` has it, from what the stage `calibrate` wrote."""
        rows = self.run.read("reference_fingerprints").where(of_size(self.size)).collect()
        rows.sort(key=lambda row: row.fingerprint)
        return Calibration(self.t_merge, np.array([row.haralick for row in rows]))

    def pairs(self, t_merge: float) -> Pairs:
        """As `Pile` has it, from what the stage `correlate` wrote."""
        return gather_pairs(self.run.read("correlations").where(of_size(self.size)).collect())

    def pairs_of_merged(self, new: Clusters, old: Clusters, t_merge: float) -> Pairs:
        """As `Pile` has it."""
        pairs = correlated_pairs(self.run, self.config, self.tested, new, old, t_merge)
        return gather_pairs(pairs.collect())


def calibrated(
    run: Run, config: Config, reference: ImageSet
) -> tuple[float, list[ReferenceFingerprintRow]]:
    """Calibrate a size on its reference images: T_merge, and textures as they are stored."""
    calibration = calibrate(StoredAverages(run, config, reference), config)
    rows = [
        ReferenceFingerprintRow(*reference.size, number, texture)
        for number, texture in enumerate(calibration.textures.tolist())
    ]
    return calibration.t_merge, rows


def stored_piles(run: Run, config: Config) -> list[StoredPile]:
    """List the images of every size that was calibrated."""
    return [StoredPile(run, config, images, t_merge) for images, t_merge in decidable_sizes(run)]


def merging_in_words(results: Sequence[Found]) -> str:
    """Say what merging made of all sizes."""
    merging = [found.merging for found in results if found.merging]
    large = [row for found in results for row in found.fingerprints]
    return (
        f"{sum(row.clusters for row in merging):,} clusters after "
        f"{max([0, *[row.rounds for row in merging]])} rounds, "
        f"{sum(row.flagged for row in large)} of {len(large)} large ones a generator's"
    )


def count_pairs(run: Run) -> Iterator[tuple[Size, dict[str, int]]]:
    """Count what was compared, refined and merged of each size, table by table."""
    for row in run.rows("correlations", "width", "height", "compared", "refined"):
        size = row["width"], row["height"]
        yield size, {"pairs": row["compared"], "refined": row["refined"]}
    for row in run.rows("merging"):
        counts = {name: row[name] for name in ("refined", "rounds", "clusters")}
        yield (row["width"], row["height"]), {"pairs": row["compared"], **counts}
