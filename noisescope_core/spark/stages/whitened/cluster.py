"""Stage 4 of the whitened method: discovery on the driver, from the correlations of all pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import functions as F

from noisescope_core.app.progress import Stage
from noisescope_core.config import Config
from noisescope_core.fingerprint import fingerprint_id
from noisescope_core.images.compression import Compression
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.session.workers import shipped
from noisescope_core.spark.stages.means import fingerprints_of, summed_residuals
from noisescope_core.spark.stages.sets import ImageSet
from noisescope_core.spark.stages.whitened.correlate import Searched, gathered, searched_sizes
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.schemas import columns
from noisescope_core.whitened.acceptance import acceptance_of
from noisescope_core.whitened.correlations import arrange_distinct
from noisescope_core.whitened.discovery import SharedPattern, discover
from noisescope_core.whitened.evidence import gather, own_energy
from noisescope_core.whitened.overlay import (
    MOST_COVERED,
    TILE,
    TILED,
    covered_tiles,
    tile_agreement,
)
from noisescope_core.whitened.planes.bands import PLANES
from noisescope_core.whitened.planes.whitening import spatial, unpacked

MAKER = columns("fingerprints").index("maker")

Found = tuple[tuple[Any, ...], list[list[str]]]
"""Row of `fingerprints`, and the images after every step of `discovery.GROWTH_STEPS`."""


def discover_patterns(run: Run, config: Config, progress: Progress) -> None:
    """Read `band_correlations`, write `clusters` and `fingerprints`."""
    clusters: list[tuple[Any, ...]] = []
    fingerprints: list[tuple[Any, ...]] = []
    with progress.stage("cluster") as stage:
        sizes = searched_sizes(run, config)
        for number, searched in enumerate(sizes):
            stage.part(number, len(sizes))
            found = _found(run, config, searched, stage)
            clusters += [
                (*searched.size, number, k, member)
                for k, (_, growth) in enumerate(found)
                for number, step in enumerate(growth, start=1)
                for member in step
            ]
            fingerprints += [row for row, _ in found]
        run.write_rows(
            "clusters", [dict(zip(columns("clusters"), row, strict=True)) for row in clusters]
        )
        run.write_rows(
            "fingerprints",
            [dict(zip(columns("fingerprints"), row, strict=True)) for row in fingerprints],
        )
        makers = Counter(row[MAKER] for row in fingerprints)
        stage.done(
            "shared patterns by maker: "
            + (", ".join(f"{maker} {count}" for maker, count in sorted(makers.items())) or "none")
        )


def _found(run: Run, config: Config, searched: Searched, stage: Stage) -> list[Found]:
    """Find the patterns of a size, and beneath overlays what these hide."""
    overlays: list[Found] = []
    while True:
        patterns = _discover(run, config, searched, stage)
        if not patterns:
            return overlays
        halves = _halves(run, config, searched, patterns)
        means = [
            np.average(half, 0, [len(pattern.members[k::2]) for k in (0, 1)]).astype(np.float32)
            for half, pattern in zip(halves, patterns, strict=True)
        ]
        looked = _members(run, searched, patterns, means)
        rows = _fingerprints(run, searched, patterns, means, halves, looked)
        ids = searched.tested.ids
        found = [
            (row, [[ids[member] for member in step] for step in pattern.growth])
            for row, pattern in zip(rows, patterns, strict=True)
        ]
        covered = searched.covered
        for row, (agreement, _) in zip(rows, looked, strict=True):
            if row[MAKER] == "overlay":
                covered = covered | covered_tiles(agreement)
        if covered.sum() == searched.covered.sum() or covered.mean() > MOST_COVERED:
            return overlays + found
        overlays += [one for one in found if one[0][MAKER] == "overlay"]
        searched = searched.beneath(covered)


def _discover(run: Run, config: Config, searched: Searched, stage: Stage) -> list[SharedPattern]:
    width, height = searched.size
    beneath = ", beneath an overlay" if searched.covered.any() else ""
    stage.note(f"{width} x {height}: {searched.rows:,} images{beneath}")
    with ThreadPoolExecutor() as pool:
        asked = [
            pool.submit(_sketches, run, images, count)
            for images, count in (
                (searched.tested, searched.images), (searched.known, searched.reference)
            )
        ]  # fmt: skip
        correlations = gathered(run, config, searched)
        sketches = np.concatenate([answer.result() for answer in asked])
    # Hashes sort the images, so their order says nothing of them.
    prepared = arrange_distinct(
        correlations,
        sketches,
        searched.images,
        searched.bins.shares(),
        _stands_for(run, searched),
    )
    del correlations
    return discover(
        prepared,
        acceptance_of(config),
        note=lambda text: stage.note(f"{width} x {height}: {text}"),
    )


def _stands_for(run: Run, searched: Searched) -> NDArray[np.float64] | None:
    """Images of the pile that each image searched stands for, None if they are the pile."""
    if not run.finished("sample"):
        return None
    width, height = searched.size
    rows = run.read("sample").where((F.col("width") == width) & (F.col("height") == height))
    weights = {row.image_id: row.stands_for for row in rows.collect()}
    return np.array([weights[i] for i in searched.tested.ids[: searched.images]])


def _sketches(run: Run, images: ImageSet, count: int) -> NDArray[np.uint8]:
    numbers = pa.table({"number": pa.array(range(count), pa.int64())})
    rows = sorted(images.residuals(run, numbers, "sketch").collect())
    return np.stack([np.frombuffer(row.sketch, np.uint8) for row in rows])


def _halves(
    run: Run, config: Config, searched: Searched, patterns: list[SharedPattern]
) -> NDArray[np.float32]:
    """Average every second member of each pattern, and the others: (k, 2, 3, V)."""
    groups = {
        2 * k + half: pattern.members[half::2].tolist()
        for k, pattern in enumerate(patterns)
        for half in (0, 1)
    }
    sums = summed_residuals(run, config, searched.tested, groups)
    means = fingerprints_of(sums, (len(PLANES), searched.bins.values))
    return means.reshape(len(patterns), 2, *means.shape[1:])


def _fingerprints(
    run: Run,
    searched: Searched,
    patterns: list[SharedPattern],
    means: list[NDArray[np.float32]],
    halves: NDArray[np.float32],
    looked: list[tuple[NDArray[np.float32], NDArray[np.float64]]],
) -> list[tuple[Any, ...]]:
    width, height = searched.size
    bins = searched.bins
    covered = searched.covered.ravel().tolist() if searched.covered.any() else None
    facts = _headers(run, searched)
    rows = []
    for k, (pattern, mean) in enumerate(zip(patterns, means, strict=True)):
        ids = [searched.tested.ids[member] for member in pattern.members]
        (header, same), (watermark, marked) = (
            _most_common(fact[image_id] for image_id in ids) for fact in facts
        )
        # The picture shows the plane that says most.
        plane = int(np.argmax((pattern.weights * bins.shares()).reshape(len(PLANES), -1).sum(1)))
        picture = np.zeros((height, width), np.float32)
        tall, wide = bins.shape
        top, left = (height - tall) // 2, (width - wide) // 2
        picture[top : top + tall, left : left + wide] = spatial(mean[plane], bins)
        tiles, energy = looked[k]
        found = gather(
            pattern.agreement,
            pattern.error,
            tiles[:, ~searched.covered],
            halves[k],
            energy,
            bins,
        )
        found = replace(found, watermarked=marked)
        bar = pattern.bar
        # An overlay and what it hides may have the same members.
        name = fingerprint_id(ids if covered is None else [*ids, str(covered)])
        rows.append(
            (name, width, height, len(ids), found.maker == "generator", None, None,
             pattern.cohesion, pattern.repeats, pattern.off_grid, found.maker, found.strength,
             found.colour, found.peak, found.grid, found.spread, found.lattice,
             found.uneven, pattern.in_reference, header, same, watermark, marked,
             pattern.weights.tolist(), pattern.centre.tolist(),
             bar.centre, bar.spread, bar.threshold, bar.mean, bar.deviation, bar.prior, ids,
             covered, bytearray(picture.tobytes()), bytearray(mean.tobytes()))
        )  # fmt: skip
    return rows


def _members(
    run: Run, searched: Searched, patterns: list[SharedPattern], means: list[NDArray[np.float32]]
) -> list[tuple[NDArray[np.float32], NDArray[np.float64]]]:
    """Agreement tile by tile of some members of every pattern, and the energy of halves of them."""
    bins = searched.bins
    sizes = [len(pattern.members) for pattern in patterns]
    chosen = [
        (k, number, place % 2)
        for k, pattern in enumerate(patterns)
        for place, number in enumerate(pattern.members[:TILED].tolist())
    ]
    numbers = pa.table(
        {
            "pattern": pa.array([k for k, *_ in chosen], pa.int64()),
            "number": pa.array([number for _, number, _ in chosen], pa.int64()),
            "half": pa.array([half for *_, half in chosen], pa.int64()),
        }
    )
    ready = shipped(run.spark, means)

    def looked_at(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        means = ready()
        for batch in batches:
            of = 2 * batch["pattern"].to_numpy() + batch["half"].to_numpy()
            cells = [unpacked(cell.as_buffer()) for cell in batch["residual"]]
            for half in np.unique(of):
                k = half // 2
                features = np.stack([cells[row] for row in np.flatnonzero(of == half)])
                found = tile_agreement(features, means[k], sizes[k], bins)
                energy = own_energy(features, bins)
                yield pa.record_batch(
                    [pa.array([half]), pa.array([found.tobytes()]), pa.array([energy.tobytes()])],
                    ["half", "tiles", "energy"],
                )

    residuals = searched.tested.residuals(run, numbers).select("pattern", "half", "residual")
    rows = residuals.mapInArrow(looked_at, "half long, tiles binary, energy binary").collect()
    found = []
    for k in range(len(patterns)):
        tiles = b"".join(row.tiles for row in rows if row.half // 2 == k)
        energy = np.zeros((2, *bins.shape))
        for row in rows:
            if row.half // 2 == k:
                energy[row.half % 2] += np.frombuffer(row.energy).reshape(bins.shape)
        shape = (-1, *(side // TILE for side in bins.shape))
        found.append((np.frombuffer(tiles, np.float32).reshape(shape), energy))
    return found


def _headers(run: Run, searched: Searched) -> tuple[dict[str, str], dict[str, str | None]]:
    """What the files of a size say of themselves: compression and watermark by image id."""
    width, height = searched.size
    rows = (
        run.read("residuals")
        .where(
            (F.col("width") == width) & (F.col("height") == height) & (F.col("status") == "scored")
        )
        .select("image_id", "format", "quantization", "watermark")
        .distinct()
        .collect()
    )
    headers = {row.image_id: str(Compression(row.format, bytes(row.quantization))) for row in rows}
    return headers, {row.image_id: row.watermark for row in rows}


def _most_common(values: Iterable[str | None]) -> tuple[str | None, float]:
    """Find the most common value other than None, and its share of all."""
    counts = Counter(values)
    total = counts.total()
    del counts[None]
    if not counts:
        return None, 0.0
    value = min(counts, key=lambda value: (-counts[value], str(value)))
    return value, counts[value] / total


def _named(table: str, rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [dict(zip(columns(table), row, strict=True)) for row in rows]
