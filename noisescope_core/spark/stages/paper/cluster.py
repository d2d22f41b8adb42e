"""Stage 4: merge on the driver, recompute merged clusters on the executors, classify them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from noisescope_core.app.progress import Stage
from noisescope_core.config import Config
from noisescope_core.correlation.pairs import Pairs
from noisescope_core.fingerprint import fingerprint_id, sample_members
from noisescope_core.paper.classifier import fit_texture, texture_margins
from noisescope_core.paper.clustering import Clusters, Members, Merging, fast_merging
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.stages.means import fingerprints_of, haralick_of, summed_residuals
from noisescope_core.spark.stages.paper.correlate import (
    correlated_pairs,
    decidable_sizes,
    gather_pairs,
)
from noisescope_core.spark.stages.sets import ImageSet
from noisescope_core.spark.stages.whitened.cluster import discover_patterns
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.schemas import columns


def cluster(run: Run, config: Config, progress: Progress) -> None:
    """Read the correlations, write `clusters`, `fingerprints` and, by the paper, `merging`."""
    if config.method == "whitened":
        discover_patterns(run, config, progress)
        return
    rounds: list[tuple[Any, ...]] = []
    merged: list[tuple[Any, ...]] = []
    fingerprints: list[tuple[Any, ...]] = []
    with progress.stage("cluster") as stage:
        sizes = decidable_sizes(run)
        for number, (images, t_merge) in enumerate(sizes):
            stage.part(number, len(sizes))
            merging, margins = _merge(run, config, stage, images, t_merge)
            size = (images.width, images.height)
            rounds += [
                (*size, number, k, images.ids[member])
                for number, clusters in enumerate(merging.rounds, start=1)
                for k, members in enumerate(clusters)
                for member in members
            ]
            merged.append(
                (*size, len(merging.rounds), len(merging.clusters), merging.compared,
                 merging.refined)
            )  # fmt: skip
            fingerprints += _fingerprints(run, config, images, margins)
        run.write_rows(
            "clusters", [dict(zip(columns("clusters"), row, strict=True)) for row in rounds]
        )
        run.write_rows(
            "merging", [dict(zip(columns("merging"), row, strict=True)) for row in merged]
        )
        run.write_rows(
            "fingerprints",
            [dict(zip(columns("fingerprints"), row, strict=True)) for row in fingerprints],
        )
        stage.done(
            f"{sum(row[3] for row in merged):,} clusters after {max([0, *[r[2] for r in merged]])} "
            f"rounds, {sum(row[4] for row in fingerprints)} of {len(fingerprints)} "
            "large ones a generator's"
        )


def _merge(
    run: Run, config: Config, stage: Stage, images: ImageSet, t_merge: float
) -> tuple[Merging, dict[Members, tuple[float, list[float]]]]:
    """Run the rounds of one size; also the margin and features of the clusters last classified."""
    size = f"width = {images.width} and height = {images.height}"
    pairs = gather_pairs(run.read("correlations").where(size).collect())
    training = run.read("reference_fingerprints").where(size).collect()
    training.sort(key=lambda row: row.fingerprint)
    model = fit_texture(
        [row.haralick for row in training], config.texture.neighbours, config.texture.contamination
    )
    shape = (images.height, images.width)
    margins: dict[Members, tuple[float, list[float]]] = {}
    number_of = {image_id: number for number, image_id in enumerate(images.ids)}

    def classify(clusters: Sequence[Members]) -> list[bool]:
        samples = {
            k: [
                number_of[image_id]
                for image_id in sample_members(
                    [images.ids[m] for m in members], config.texture.images, config.seed
                )
            ]
            for k, members in enumerate(clusters)
        }
        features = haralick_of(summed_residuals(run, config, images, samples), shape)
        found = texture_margins(model, features)
        margins.clear()
        margins.update(
            {
                members: (float(margin), row.tolist())
                for members, margin, row in zip(clusters, found, features, strict=True)
            }
        )
        return [margin < 0 for margin in found]

    def recompute(new: Clusters, old: Clusters) -> Pairs:
        stage.note(f"{images.width} x {images.height}: {len(new)} merged, {len(old)} others")
        return gather_pairs(correlated_pairs(run, config, images, new, old, t_merge).collect())

    merging = fast_merging(
        len(images), pairs, recompute, classify,
        check_above=config.clustering.check_above, classify_above=config.clustering.classify_above,
    )  # fmt: skip
    return merging, margins


def _fingerprints(
    run: Run,
    config: Config,
    images: ImageSet,
    margins: dict[Members, tuple[float, list[float]]],
) -> list[tuple[Any, ...]]:
    """Make a row for every cluster that was classified last: the mean over all its images."""
    if not margins:
        return []
    sums = summed_residuals(run, config, images, dict(enumerate(margins)))
    means = fingerprints_of(sums, (images.height, images.width))
    rows = []
    for members, pixels in zip(margins, means, strict=True):
        margin, haralick = margins[members]
        ids = [images.ids[member] for member in members]
        rows.append(
            (fingerprint_id(ids), images.width, images.height, len(ids), margin < 0, margin,
             haralick, *[None] * 24, ids, None, bytearray(pixels.tobytes()), None)
        )  # fmt: skip
    return rows


def _named(table: str, rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [dict(zip(columns(table), row, strict=True)) for row in rows]
