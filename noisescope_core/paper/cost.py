"""What the stages of the paper's method cost for the images of one size."""

from __future__ import annotations

from noisescope_core.config import Config
from noisescope_core.cost import SKETCH_BYTES, Rates, SizeCounts, SizePlan, Stages

MERGING = 2.3
"""Times that all rounds of merging take of the first comparison (benchmarks/results.md)."""

ENERGIES = 1.25
"""Times that a comparison takes of the product of pixels alone: its energies come from power added
up over groups of frequencies (`correlation.kernels.GROUP`)."""


def plan(counts: SizeCounts, config: Config, rates: Rates) -> SizePlan:
    """Plan the stages of one size that has enough images."""
    width, height = counts.size
    images, reference = counts.images, counts.reference
    values = width * height
    cell = 4 * values
    stored = cell + SKETCH_BYTES
    limit = config.spark.block_bytes
    blocks = max(1, -(-images * cell // limit))
    pairs = images * (images - 1) // 2
    extract = rates.extract[counts.size] / rates.cores
    batch = 2 * config.spark.batch_bytes
    files = images * counts.file_bytes
    # A block meets every block, and its rows travel once for each meeting.
    products = ENERGIES * 2.0 * images**2 * values / rates.flops * (blocks + 1) / (2 * blocks)
    block = min(images * cell, limit)
    memory = ((1 + (blocks > 1)) + (5 + (blocks > 1))) * block
    travels = images * cell * blocks
    stages = Stages(counts.size)
    stages.add(
        "extract", read=files, written=images * stored, memory=batch, seconds=images * extract
    )
    stages.add(
        "reference", read=reference * counts.file_bytes, written=reference * stored, memory=batch,
        seconds=reference * extract,
    )  # fmt: skip
    stages.add(
        "correlate", read=images * cell, shuffled=travels, memory=memory,
        seconds=products / rates.cores,
    )  # fmt: skip
    stages.add(
        "cluster", read=images * cell, shuffled=MERGING * travels, memory=memory,
        seconds=MERGING * products / rates.cores,
    )  # fmt: skip
    stages.add(
        "score", read=(images + reference) * cell, written=200 * images, memory=batch, seconds=0
    )
    reason = f"{images:,} images: all pairs"
    return SizePlan(counts.size, images, reference, "pairs", reason, blocks, pairs, 0, stages.costs)
