"""What Spark does otherwise for each method: one record each, beside `noisescope_core.methods`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from noisescope_core.config import Config
from noisescope_core.images import Size
from noisescope_core.method import Found, Note
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.stages.paper.cluster import (
    calibrated,
    count_pairs,
    merging_in_words,
    stored_piles,
)
from noisescope_core.spark.stages.paper.correlate import correlate as correlate_residuals
from noisescope_core.spark.stages.sets import ImageSet
from noisescope_core.spark.stages.whitened import pile as whitened_pile
from noisescope_core.spark.stages.whitened.correlate import correlate_bands
from noisescope_core.spark.stages.whitened.whole import search_whole
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.rows import ReferenceFingerprintRow

Stage = Callable[[Run, Config, Progress], None]


@dataclass(frozen=True)
class MethodStages:
    """The stages of one method on Spark.

    Attributes
    ----------
    calibrate : of a size's reference images: T_merge and the textures of reference fingerprints;
        None by methods that calibrate nothing beforehand
    correlate : the stage that compares all pairs
    correlations : the table that it writes
    merges : whether the search merges, so that the table `merging` is written
    piles : what `Method.find` takes, of every size that can be decided, in order
    whole : searches those of these piles that one task can hold, writes `searched`: what was found
        and the piles left; None by methods that search every size from the driver
    in_words : what was found, for the stage's line
    pairs : by size, counts of the pairs that were compared
    """

    calibrate: Callable[[Run, Config, ImageSet], tuple[float, list[ReferenceFingerprintRow]]] | None
    correlate: Stage
    correlations: str
    merges: bool
    piles: Callable[[Run, Config], Sequence[Any]]
    whole: Callable[[Run, Config, Sequence[Any], Note], tuple[Found, Sequence[Any]]] | None
    in_words: Callable[[Sequence[Found]], str]
    pairs: Callable[[Run], Iterator[tuple[Size, dict[str, int]]]]


STAGES = {
    "whitened": MethodStages(
        calibrate=None,
        correlate=correlate_bands,
        correlations="band_correlations",
        merges=False,
        piles=whitened_pile.stored_piles,
        whole=search_whole,
        in_words=whitened_pile.makers_in_words,
        pairs=whitened_pile.count_pairs,
    ),
    "paper": MethodStages(
        calibrate=calibrated,
        correlate=correlate_residuals,
        correlations="correlations",
        merges=True,
        piles=stored_piles,
        whole=None,
        in_words=merging_in_words,
        pairs=count_pairs,
    ),
}
"""Stages by the method's name."""


def stages_of(config: Config) -> MethodStages:
    """Give the stages of the method that a configuration names."""
    return STAGES[config.method]


def correlate(run: Run, config: Config, progress: Progress) -> None:
    """Read `residuals` and `calibration`, write `correlations` or `band_correlations`."""
    stages_of(config).correlate(run, config, progress)
