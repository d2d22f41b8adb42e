"""Stage 4: merge on the driver, recompute merged clusters on the executors, classify them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from noisescope_core.clustering import Clusters, Members, Merging, fast_merging
from noisescope_core.config import Config
from noisescope_core.correlation import Pairs
from noisescope_core.fingerprint import fingerprint_id, sample_members
from noisescope_core.spark.correlate import correlated_pairs, gather_pairs
from noisescope_core.spark.means import collect_residuals, haralick_of, mean_residuals
from noisescope_core.spark.progress import Progress, Stage
from noisescope_core.spark.sets import ImageSet, image_sets
from noisescope_core.spark.tables import Run
from noisescope_core.texture import fit_texture, texture_margins


def cluster(run: Run, config: Config, progress: Progress) -> None:
    """Read `correlations`, write `clusters`, `merging` and `fingerprints`."""
    sets = image_sets(run, "image")
    sizes = run.read("calibration").where("reason is null").orderBy("width", "height").collect()
    rounds: list[tuple[Any, ...]] = []
    merged: list[tuple[Any, ...]] = []
    fingerprints: list[tuple[Any, ...]] = []
    with progress.stage("cluster") as stage:
        for size in sizes:
            images = sets[size.width, size.height]
            merging, margins = _merge(run, config, stage, images, size.t_merge)
            sizes_and = (size.width, size.height)
            rounds += [
                (*sizes_and, number, k, images.ids[member])
                for number, clusters in enumerate(merging.rounds, start=1)
                for k, members in enumerate(clusters)
                for member in members
            ]
            merged.append(
                (*sizes_and, len(merging.rounds), len(merging.clusters), merging.compared,
                 merging.refined)
            )  # fmt: skip
            fingerprints += _fingerprints(run, config, images, margins)
        run.write_rows("clusters", rounds)
        run.write_rows("merging", merged)
        run.write_rows("fingerprints", fingerprints)
        stage.note(
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
    training = run.read("reference_fingerprints").where(size).orderBy("fingerprint").collect()
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
        rows = haralick_of(mean_residuals(run, config, images, samples), shape).collect()
        features = [list(row.haralick) for row in sorted(rows, key=lambda row: row.group)]
        found = texture_margins(model, features)
        margins.clear()
        margins.update(
            {c: (float(m), f) for c, m, f in zip(clusters, found, features, strict=True)}
        )
        return [margin < 0 for margin in found]

    def recompute(new: Clusters, old: Clusters) -> Pairs:
        stage.note(f"{images.width} x {images.height}: {len(new)} merged, {len(old)} others")
        keys = [*new, *old]
        members = [new.get(key) or old[key] for key in keys]
        groups = {i: m for i, m in enumerate(members) if len(m) > 1}
        single = [(i, m[0]) for i, m in enumerate(members) if len(m) == 1]
        items = mean_residuals(run, config, images, groups).selectExpr(
            "group as number", "residual"
        )
        if single:
            lookup = pa.table({"item": [i for i, _ in single], "number": [n for _, n in single]})
            items = items.unionByName(
                images.residuals(run, lookup).selectExpr("item as number", "residual")
            )
        found = gather_pairs(
            correlated_pairs(run, config, items, images, len(new), len(old), t_merge).collect()
        )
        numbers = np.array(keys)
        return Pairs(
            numbers[found.first], numbers[found.second], found.pce, found.compared, found.refined
        )

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
    groups = dict(enumerate(margins))
    means = collect_residuals(
        mean_residuals(run, config, images, groups), (images.height, images.width)
    )
    rows = []
    for members, pixels in zip(margins, means, strict=True):
        margin, haralick = margins[members]
        ids = [images.ids[member] for member in members]
        rows.append(
            (fingerprint_id(ids), images.width, images.height, len(ids), margin < 0, margin,
             haralick, ids, bytearray(pixels.tobytes()))
        )  # fmt: skip
    return rows
