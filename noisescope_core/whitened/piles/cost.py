"""What the stages of the default method cost for the images of one size, by its route."""

from __future__ import annotations

from dataclasses import dataclass

from noisescope_core.config import Config
from noisescope_core.cost import JOB_SECONDS, SKETCH_BYTES, Rates, SizeCounts, SizePlan, Stages
from noisescope_core.whitened.piles.directions import DIRECTIONS_PER_VIEW, POWER_ROUNDS
from noisescope_core.whitened.piles.shards import shard_count
from noisescope_core.whitened.planes.bands import BANDS, PLANES, Layout, compared, parts_of
from noisescope_core.whitened.planes.products import WIDENED

PASS = 4.0
"""Times that a pass over stored features takes of its products alone: reading and converting."""

VIEWS = 1 + len(PLANES)
"""Views in which directions are followed: all planes together, and each by itself."""

COPIES = 4
"""Arrays of the size of the correlations that a search holds at once."""

WHOLE = 4
"""Blocks (`spark.block_bytes`) in which a pile must fit to be searched whole by one task. Chosen:
by default half a gigabyte, less than a shard of 512 x 512 takes, and seconds of a core."""

HEADER_BYTES = 300
"""Bytes that are kept of a file of which only the header is read, about."""

HEADER_SHARE = 0.05
"""Share of an image's extraction that reading its header takes, about."""

VERDICT_BYTES = 200
"""Bytes of a verdict, about."""


def fits_one_task(images: int, bins: Layout, config: Config) -> bool:
    """Whether a pile is so small that one task searches it whole.

    Parameters
    ----------
    images : tested and reference images that are compared
    bins : layout of their size
    config : Config

    Examples
    --------
    >>> from noisescope_core.whitened.planes.bands import layout
    >>> bins = layout(512, 512)
    >>> fits_one_task(300, bins, Config()), fits_one_task(3000, bins, Config())
    (True, False)
    """
    held = images * len(PLANES) * bins.values + COPIES * _correlation_bytes(images)
    return held <= WHOLE * config.spark.block_bytes


@dataclass(frozen=True)
class _Work:
    """Numbers that the stages of one size share.

    Attributes
    ----------
    values : of a feature, which are its bytes too
    searched, known : tested and reference images whose pairs are compared
    shards : that the images are cut in
    whole : whether one task searches them
    extract : seconds of the cluster for an image
    batch : bytes of memory of a task that extracts
    """

    counts: SizeCounts
    config: Config
    rates: Rates
    values: int
    searched: int
    known: int
    shards: int
    whole: bool
    extract: float
    batch: int

    @property
    def rows(self) -> int:
        """Images whose pairs are compared."""
        return self.searched + self.known

    @property
    def files(self) -> float:
        """Bytes of the tested files."""
        return self.counts.images * self.counts.file_bytes

    @property
    def stored(self) -> int:
        """Bytes that are stored of an image."""
        return self.values + SKETCH_BYTES


def plan(counts: SizeCounts, config: Config, rates: Rates) -> SizePlan:
    """Plan the stages of one size that has enough images."""
    limits = config.discovery
    width, height = counts.size
    bins = compared(height, width, config.whitening.side)
    by_shards = counts.route == "shards"
    searched, known = min(counts.images, limits.images), min(counts.reference, limits.reference)
    shards = shard_count(counts.images, limits.images, limits.shard_images) if by_shards else 1
    work = _Work(
        counts, config, rates,
        values=len(PLANES) * bins.values,
        searched=searched,
        known=known,
        shards=shards,
        whole=fits_one_task(searched + known, bins, config),
        extract=rates.extract[counts.size] / rates.cores,
        batch=2 * config.spark.batch_bytes,
    )  # fmt: skip
    stages = Stages(counts.size)
    _add_extraction(stages, work)
    if shards > 1:
        _add_shards(stages, work)
    spectral = counts.route == "spectral" and counts.images > limits.images
    if spectral:
        _add_directions(stages, work)
    _add_search(stages, work)
    _add_scores(stages, work)
    reason = f"{work.rows:,} images: all pairs"
    if shards > 1 or spectral:
        reason = f"{counts.images:,} images, more than all pairs can serve ({limits.images:,})"
        if shards > limits.shards:
            reason += f"; {limits.shards:,} of {shards:,} shards searched, all images tested"
    elif counts.images > work.searched:
        reason += f", drawn from {counts.images:,}; all are tested"
    return SizePlan(
        counts.size, counts.images, counts.reference,
        counts.route if shards > 1 or spectral else "pairs", reason,
        blocks=len(parts_of(bins, max(1, config.spark.block_bytes // work.rows))),
        pairs=work.rows * (work.rows - 1) // 2,
        shards=shards if shards > 1 else 0,
        stages=stages.costs,
    )  # fmt: skip


def _add_extraction(stages: Stages, work: _Work) -> None:
    images, reference = work.counts.images, work.counts.reference
    if work.counts.route == "shards":
        stages.add(
            "headers", read=work.files, written=HEADER_BYTES * images, memory=work.batch,
            seconds=HEADER_SHARE * images * work.extract,
        )  # fmt: skip
    else:
        stages.add(
            "extract", read=work.files, written=images * work.stored, memory=work.batch,
            seconds=images * work.extract,
        )  # fmt: skip
    stages.add(
        "reference", read=reference * work.counts.file_bytes, written=reference * work.stored,
        memory=work.batch, seconds=reference * work.extract,
    )  # fmt: skip


def _add_shards(stages: Stages, work: _Work) -> None:
    limits, rates = work.config.discovery, work.rates
    used = min(work.shards, limits.shards)
    tested = min(work.counts.images, used * limits.shard_images)
    beside = min(limits.shard_reference, work.known)
    together = limits.shard_images + beside
    products = used * 2.0 * together**2 * work.values / rates.flops
    seconds = (products + used * _search_seconds(together, rates)) / rates.cores
    stages.add(
        "shards",
        read=work.files + work.searched * work.counts.file_bytes,
        shuffled=(tested + used * beside) * work.values,
        written=work.searched * work.stored,
        memory=2 * together * work.values + COPIES * _correlation_bytes(together),
        seconds=seconds + (tested + work.searched) * work.extract,
    )


def _add_directions(stages: Stages, work: _Work) -> None:
    rates, images = work.rates, work.counts.images + work.known
    block = DIRECTIONS_PER_VIEW * VIEWS * work.values
    products = 4.0 * images * block * POWER_ROUNDS / rates.flops
    stages.add(
        "directions",
        read=POWER_ROUNDS * images * work.values,
        shuffled=POWER_ROUNDS * rates.cores * 8 * block,
        memory=16 * block + 5 * work.config.spark.batch_bytes,
        seconds=POWER_ROUNDS * JOB_SECONDS + PASS * products / rates.cores,
    )


def _add_search(stages: Stages, work: _Work) -> None:
    rows, rates = work.rows, work.rates
    bytes_of_rows = rows * work.values
    pairs = rows * (rows - 1) // 2
    products = 2.0 * rows**2 * work.values / rates.flops
    # Every byte travels once; a task holds its part twice, some of it widened, two results.
    held = 2 * min(bytes_of_rows, work.config.spark.block_bytes) + 4 * rows * (WIDENED + 2 * rows)
    in_halves = pairs * len(BANDS) * 2
    if work.whole:
        stages.add(
            "cluster", read=bytes_of_rows, shuffled=bytes_of_rows,
            memory=bytes_of_rows + COPIES * _correlation_bytes(rows),
            seconds=(products + _search_seconds(rows, rates)) / rates.cores,
        )  # fmt: skip
        return
    stages.add(
        "correlate", read=bytes_of_rows, shuffled=bytes_of_rows, written=in_halves, memory=held,
        seconds=products / rates.cores,
    )  # fmt: skip
    stages.add(
        "cluster", read=in_halves, memory=COPIES * _correlation_bytes(rows),
        seconds=_search_seconds(rows, rates) / rates.cores,
    )  # fmt: skip


def _add_scores(stages: Stages, work: _Work) -> None:
    images, reference = work.counts.images, work.counts.reference
    everywhere = work.config.detection.alignments == "all"
    # Rates are of 256 x 256 pixels; a plane has as many values as pixels.
    align = everywhere * work.rates.align * work.values / len(PLANES) / 256**2
    seconds = (images + reference) * align / work.rates.cores
    if work.counts.route == "shards":
        seconds += images * work.extract
        read = work.files + reference * work.values
    else:
        read = (images + reference) * work.values
    stages.add(
        "score", read=read, written=VERDICT_BYTES * images, memory=work.batch, seconds=seconds
    )


def _correlation_bytes(rows: int) -> int:
    return len(BANDS) * rows * rows * 4


def _search_seconds(rows: int, rates: Rates) -> float:
    return rates.search * rows * rows / 1e6
