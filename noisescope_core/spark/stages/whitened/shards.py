"""Stage 3 of large piles: search shard by shard, and draw the sample that is searched for good.

Each shard is one task: its images' features and some of the reference's meet there, and nothing but
the sets found leaves it. Images go to shards by their ids, which are hashes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from noisescope_core.app.progress import Stage
from noisescope_core.config import Config
from noisescope_core.images import Size
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.session.workers import one_task
from noisescope_core.spark.stages.extract import residuals
from noisescope_core.spark.stages.listing import read_again
from noisescope_core.spark.stages.sets import image_sets, tested_images
from noisescope_core.spark.tables.cells import cells_of, collected
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.rows import SampleRow
from noisescope_core.tables.schemas import SCHEMAS, arrow_schema
from noisescope_core.whitened.discovery.acceptance import acceptance_of, shared_sets
from noisescope_core.whitened.discovery.correlations import arrange_distinct
from noisescope_core.whitened.piles.shards import (
    Candidate,
    credible,
    drawn,
    same_pattern,
    shard_count,
)
from noisescope_core.whitened.planes.bands import PLANES, compared
from noisescope_core.whitened.planes.products import band_correlations
from noisescope_core.whitened.planes.whitening import STORED_STEPS, packed

_TOGETHER = ("width", "height", "shard", "tested", "image_id", "sketch", "residual")

_CANDIDATES = arrow_schema(SCHEMAS["candidates"])


@dataclass(frozen=True)
class _Search:
    """What the search of one pile goes by.

    Attributes
    ----------
    distinct : a row per distinct image of the sizes searched: size, `image_id`, `path`, `shard`
    candidates : rows of `candidates`, what the shards found
    """

    run: Run
    config: Config
    distinct: DataFrame
    candidates: list[Row]


def search_shards(run: Run, config: Config, progress: Progress) -> None:
    """Read `headers`, `calibration`, the reference; write `candidates`, `sample`, `residuals`."""
    limits = config.discovery
    decided = run.read("calibration").where("reason is null").collect()
    shards = {
        (row.width, row.height): shard_count(row.images, limits.images, limits.shard_images)
        for row in decided
    }
    cut = {size: count for size, count in shards.items() if count > 1}
    searched = sum(min(count, limits.shards) for count in cut.values())
    images = sum(row.images for row in decided)
    with progress.stage("shards", images, "images", shuffled=True) as stage:
        stage.note(
            f"{images:,} images are more than all pairs can serve: {searched:,} shards of about "
            f"{limits.shard_images:,}, each beside {limits.shard_reference:,} reference images"
        )
        distinct = _distinct(run, shards)
        candidates = _candidates(run, config, distinct, cut) if cut else []
        run.write_rows("candidates", (row.asDict() for row in candidates))
        search = _Search(run, config, distinct, candidates)
        drawn_images = _sample(search, shards, stage)
        run.write_rows("sample", drawn_images)
        content = read_again(run, config, [row.path for row in drawn_images])
        run.write("residuals", residuals(content, "image", config, {}))
        accepted = sum(row.accepted for row in candidates)
        stage.done(
            f"{searched:,} shards, {accepted:,} candidates, {len(drawn_images):,} images drawn"
        )


def _distinct(run: Run, shards: dict[Size, int]) -> DataFrame:
    """One row per distinct image of the sizes searched: size, `image_id`, `path`, `shard`."""
    counts = run.spark.createDataFrame(
        [(*size, count) for size, count in shards.items()], "width int, height int, shards int"
    )
    return (
        tested_images(run)
        .groupBy("width", "height", "image_id")
        .agg(F.min("path").alias("path"))
        .join(F.broadcast(counts), ["width", "height"])
        .withColumn("shard", _shard(F.col("image_id"), F.col("shards")))
    )


def _shard(image_id: Column, shards: Column) -> Column:
    return (F.conv(F.substring(image_id, 1, 12), 16, 10).cast("long") % shards).cast("int")


def _candidates(run: Run, config: Config, distinct: DataFrame, cut: dict[Size, int]) -> list[Row]:
    """Search every shard by itself: rows of `candidates`."""
    most = config.discovery.shards
    sampled = any(count > most for count in cut.values())
    chosen = distinct.where((F.col("shards") > 1) & (F.col("shard") < most)).select("path", "shard")
    paths = [row.path for row in chosen.select("path").collect()] if sampled else None
    tested = (
        residuals(read_again(run, config, paths), "image", config, {})
        .where("status = 'scored'")
        .join(F.broadcast(chosen), "path")
        .withColumn("tested", F.lit(True))
    )
    together = tested.select(*_TOGETHER).unionByName(_reference(run, config, cut))
    return (
        together.groupBy("width", "height", "shard")
        .applyInArrow(_searcher(config), SCHEMAS["candidates"])
        .collect()
    )


def _reference(run: Run, config: Config, cut: dict[Size, int]) -> DataFrame:
    """The first reference images of every size, once for each shard."""
    reference = image_sets(run, "reference_residuals")
    rows = [
        (path, *size, min(count, config.discovery.shards))
        for size, count in cut.items()
        for path in reference[size].paths[: config.discovery.shard_reference]
    ]
    lookup = run.spark.createDataFrame(rows, "path string, width int, height int, shards int")
    return (
        run.read("reference_residuals")
        .where("status = 'scored'")
        .join(F.broadcast(lookup), ["path", "width", "height"])
        .withColumn("shard", F.explode(F.sequence(F.lit(0), F.col("shards") - 1)))
        .withColumn("tested", F.lit(False))
        .select(*_TOGETHER)
    )


def _searcher(config: Config) -> Callable[[pa.Table], pa.Table]:
    bars = acceptance_of(config)

    def search_shard(table: pa.Table) -> pa.Table:
        width, height, shard = (table[name][0].as_py() for name in ("width", "height", "shard"))
        bins = compared(height, width, config.whitening.side)
        with one_task():
            table = table.sort_by([("tested", "descending"), ("image_id", "ascending")])
            tested = pc.sum(table["tested"]).as_py()
            ids = table["image_id"].to_pylist()
            sketches = np.stack(cells_of(table["sketch"]))
            features = np.stack(cells_of(table["residual"])).view(np.int8)
            features = features.reshape(len(ids), len(PLANES), -1)
            del table
            correlations = band_correlations(features, features, bins)
            correlations /= np.float32(STORED_STEPS**2)
            sets = shared_sets(
                arrange_distinct(correlations, sketches, tested, bins.shares()),
                bars,
            )
            rows = [
                {
                    "width": width,
                    "height": height,
                    "shard": shard,
                    "images": tested,
                    "off_grid": shared.off_grid,
                    "accepted": shared.accepted,
                    "cohesion": shared.cohesion,
                    "repeats": shared.repeats,
                    "members": [ids[k] for k in np.flatnonzero(shared.members)],
                    "total": _total(features[:tested][shared.members]) if shared.accepted else None,
                }
                for shared in sets
            ]
        return pa.Table.from_pylist(rows, _CANDIDATES)

    return search_shard


def _total(features: NDArray[np.int8]) -> bytes:
    total = features.sum(0, dtype=np.float32) / np.float32(STORED_STEPS * np.sqrt(len(features)))
    return packed(total).tobytes()


def _sample(search: _Search, shards: Mapping[Size, int], stage: Stage) -> list[SampleRow]:
    """Draw the images of all sizes that are searched for good: rows of `sample`."""
    limits, distinct = search.config.discovery, search.distinct
    by_size: dict[Size, list[Row]] = {}
    for row in search.candidates:
        by_size.setdefault((row.width, row.height), []).append(row)
    groups: dict[Size, list[list[str]]] = {}
    for size, rows in sorted(by_size.items()):
        groups[size], candidates = _patterns(rows, size, search.config)
        stage.note(
            f"{size[0]} x {size[1]}: {len(groups[size])} patterns in {candidates} candidates of "
            f"{sum(map(len, groups[size])):,} images"
        )
    members = [(*size, name) for size, of_size in groups.items() for own in of_size for name in own]
    keys = ["width", "height", "image_id"]
    claimed = search.run.spark.createDataFrame(members, "width int, height int, image_id string")
    # So many of each size that enough are left when the members are taken out.
    most = limits.images + max(Counter(member[:2] for member in members).values(), default=0)
    place = F.row_number().over(Window.partitionBy("width", "height").orderBy("image_id"))
    others = distinct.withColumn("place", place).where(F.col("place") <= most).drop("place")
    counted = distinct.groupBy("width", "height").agg(
        F.count("*").alias("images"), F.count_if(F.col("shard") < limits.shards).alias("searched")
    )
    of_members, of_others, counts = collected(
        distinct.join(F.broadcast(claimed), keys, "left_semi"), others, counted
    )
    path_of: dict[Size, dict[str, str]] = {size: {} for size in shards}
    first: dict[Size, list[str]] = {size: [] for size in shards}
    for row in (*of_members, *of_others):
        path_of[row.width, row.height][row.image_id] = row.path
    for row in of_others:
        first[row.width, row.height].append(row.image_id)
    sample = []
    for row in sorted(counts):
        size = row.width, row.height
        weights = drawn(groups.get(size, []), first[size], row.images, row.searched, limits.images)
        sample += [
            SampleRow(*size, name, path_of[size][name], weights[name]) for name in sorted(weights)
        ]
    return sample


def _patterns(rows: list[Row], size: Size, config: Config) -> tuple[list[list[str]], int]:
    """Put the members of the candidates that chance does not explain together, by pattern.

    Returns the ids of each pattern's images, and the number of these candidates.
    """
    places = credible(
        [
            Candidate(row.members, row.cohesion, row.repeats, row.off_grid, row.accepted)
            for row in rows
        ],
        config.discovery.margin,
    )
    if not places:
        return [], 0
    bins = compared(size[1], size[0], config.whitening.side)
    totals = np.stack([np.frombuffer(rows[k].total, np.int8) for k in places])
    counts = np.array([len(rows[k].members) for k in places])
    pattern_of = same_pattern(totals.reshape(len(places), len(PLANES), -1), counts, bins)
    groups: dict[int, list[str]] = {}
    for place, pattern in zip(places, pattern_of.tolist(), strict=True):
        groups.setdefault(pattern, []).extend(rows[place].members)
    return list(groups.values()), len(places)
