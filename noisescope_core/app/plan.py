"""What a run will do and cost, worked out before it begins.

Counts and bytes follow from the numbers of images and the configuration. Seconds are counts times
what the same cluster was measured to do a moment before (`Rates`), plus what Spark itself takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from noisescope_core.config import Config
from noisescope_core.images import Size
from noisescope_core.whitened.piles.directions import DIRECTIONS_PER_VIEW, POWER_ROUNDS
from noisescope_core.whitened.piles.shards import shard_count
from noisescope_core.whitened.planes.bands import BANDS, PLANES, compared, parts_of
from noisescope_core.whitened.planes.products import WIDENED

JOB_SECONDS = 2.0
"""What Spark takes for a stage beside the work: planning, starting tasks, writing markers."""

MERGING = 2.3
"""Rounds of merging together take so many times the first comparison (benchmarks/results.md)."""

PASS = 4.0
"""A pass over stored features takes so many times what its products do: reading and converting."""

VIEWS = 1 + len(PLANES)

COPIES = 4
"""Arrays of the size of the correlations that a search holds at once."""

SKETCH_BYTES = 8192
"""Thumbnail, sketch and header of a stored image, about."""


@dataclass(frozen=True)
class Rates:
    """What a cluster does, measured.

    Attributes
    ----------
    cores : tasks at once
    extract : by size, seconds of a core to decode an image and extract what is compared
    flops : multiplications and additions per second and core in a product of features
    search : seconds of a core for a search over one million pairs of images
    align : seconds of a core to search an image of 256 x 256 at all shifts of one fingerprint
    """

    cores: int
    extract: Mapping[Size, float]
    flops: float
    search: float
    align: float


@dataclass(frozen=True)
class Stage:
    """One stage of one size: bytes, the memory of a task, and about how long it takes."""

    stage: str
    size: Size
    read: int
    shuffled: int
    written: int
    memory: int
    seconds: float


@dataclass(frozen=True)
class SizePlan:
    """How the images of one size are searched.

    Attributes
    ----------
    images, reference : found
    route : `pairs`, `spectral`, `shards` or `none`, with the `reason`
    blocks, pairs : of the comparison that decides; blocks of images, or by frequency (whitened)
    shards : searched before it
    stages : in order
    """

    size: Size
    images: int
    reference: int
    route: str
    reason: str
    blocks: int
    pairs: int
    shards: int
    stages: list[Stage]


def plan_size(
    size: Size, images: int, reference: int, file_bytes: float, config: Config, rates: Rates,
    route: str,
) -> SizePlan:  # fmt: skip
    """Plan the stages of one size.

    Parameters
    ----------
    size : (width, height), pixels
    images, reference : int
    file_bytes : float, of an image file, mean
    route : of the run, from `Config.route`
    """
    width, height = size
    for what, count, least in (
        ("images", images, config.least_images()),
        ("reference images", reference, config.least_reference()),
    ):
        if count < least:
            reason = f"{count:,} {what}, needed {least:,}"
            return SizePlan(size, images, reference, "none", reason, 0, 0, 0, [])
    limits = config.discovery
    whitened = config.method == "whitened"
    values = width * height
    cell = 4 * values
    if whitened:
        values = cell = len(PLANES) * compared(height, width, config.whitening.side).values
    by_shards = route == "shards"
    shards = shard_count(images, limits.images, limits.shard_images) if by_shards else 1
    searched = min(images, limits.images) if whitened else images
    known = min(reference, limits.reference) if whitened else 0
    rows = searched + known
    limit = config.spark.block_bytes
    if whitened:
        bins = compared(height, width, config.whitening.side)
        blocks = len(parts_of(bins, max(1, limit // rows)))
    else:
        blocks = max(1, -(-rows * cell // limit))
    pairs = rows * (rows - 1) // 2
    extract = rates.extract[size] / rates.cores
    batch = 2 * config.spark.batch_bytes
    stages = []

    def stage(
        name: str, read: float, shuffled: float, written: float, memory: float, seconds: float
    ) -> None:
        stages.append(
            Stage(name, size, int(read), int(shuffled), int(written), int(memory),
                  round(JOB_SECONDS + seconds, 1))
        )  # fmt: skip

    stored = cell + SKETCH_BYTES
    files = images * file_bytes
    if by_shards:
        stage("headers", files, 0, 300 * images, batch, 0.05 * images * extract)
    else:
        stage("extract", files, 0, images * stored, batch, images * extract)
    stage("reference", reference * file_bytes, 0, reference * stored, batch, reference * extract)
    if shards > 1:
        used = min(shards, limits.shards)
        tested = min(images, used * limits.shard_images)
        beside = min(limits.shard_reference, known)
        together = limits.shard_images + beside
        shipped = (tested + used * beside) * cell
        memory = 2 * together * cell + COPIES * _correlations(together)
        products = used * 2.0 * together**2 * values / rates.flops
        seconds = (products + used * _search(together, rates)) / rates.cores
        seconds += (tested + searched) * extract
        stage("shards", files + searched * file_bytes, shipped, searched * stored, memory, seconds)
    spectral = route == "spectral" and images > limits.images
    if spectral:
        block = DIRECTIONS_PER_VIEW * VIEWS * values
        along = 4.0 * (images + known) * block * POWER_ROUNDS / rates.flops
        memory = 16 * block + 5 * config.spark.batch_bytes
        shipped = POWER_ROUNDS * rates.cores * 8 * block
        stage("directions", POWER_ROUNDS * (images + known) * cell, shipped, 0, memory,
              POWER_ROUNDS * JOB_SECONDS + PASS * along / rates.cores)  # fmt: skip
    # The paper's energies come from power added up over groups of frequencies.
    products = (1 if whitened else 1.25) * 2.0 * rows**2 * values / rates.flops
    if whitened:
        # Every byte travels once; a task holds its part twice, some of it widened, two results.
        memory = 2 * min(rows * cell, limit) + 4 * rows * (WIDENED + 2 * rows)
        stage("correlate", rows * cell, rows * cell, pairs * len(BANDS) * 2, memory,
              products / rates.cores)  # fmt: skip
    else:
        # A block meets every block, and its rows travel once for each meeting.
        products *= (blocks + 1) / (2 * blocks)
        block = min(rows * cell, limit)
        memory = ((1 + (blocks > 1)) + (5 + (blocks > 1))) * block
        stage("correlate", rows * cell, rows * cell * blocks, 0, memory, products / rates.cores)
    if whitened:
        memory = COPIES * _correlations(rows)
        stage("cluster", pairs * len(BANDS) * 2, 0, 0, memory, _search(rows, rates) / rates.cores)
    else:
        stage("cluster", rows * cell, MERGING * rows * cell * blocks, 0, memory,
              MERGING * products / rates.cores)  # fmt: skip
    everywhere = whitened and config.detection.alignments == "all"
    score = (images + reference) * (everywhere * rates.align * values / len(PLANES) / 256**2)
    score = score / rates.cores + (images * extract if by_shards else 0)
    read = files + reference * cell if by_shards else (images + reference) * cell
    stage("score", read, 0, 200 * images, batch, score)
    taken, reason = "pairs", f"{rows:,} images: all pairs"
    if shards > 1 or spectral:
        taken = route
        reason = f"{images:,} images, more than all pairs can serve ({limits.images:,})"
        if shards > limits.shards:
            reason += f"; {limits.shards:,} of {shards:,} shards searched, all images tested"
    elif images > searched:
        reason += f", drawn from {images:,}; all are tested"
    return SizePlan(size, images, reference, taken, reason, blocks, pairs,
                    shards if shards > 1 else 0, stages)  # fmt: skip


def _correlations(rows: int) -> int:
    return len(BANDS) * rows * rows * 4


def _search(rows: int, rates: Rates) -> float:
    return rates.search * rows * rows / 1e6
