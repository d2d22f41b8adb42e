"""What a run will do and cost, worked out before it begins.

Counts and bytes follow from the numbers of images and the configuration. Seconds are counts times
what the same cluster was measured to do a moment before (`Rates`), plus what Spark itself takes.
Each method works out its own stages (`Method.plan`) from what is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from noisescope_core.config import Route
from noisescope_core.images import Size

JOB_SECONDS = 2.0
"""Seconds that Spark takes for a stage beside the work: planning, starting tasks, writing markers;
measured in local mode on two cores."""

SKETCH_BYTES = 8192
"""Bytes of thumbnail, sketch and header of a stored image, about."""


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
class SizeCounts:
    """How many images of one size there are.

    Attributes
    ----------
    size : (width, height), pixels
    images, reference : tested and reference images
    file_bytes : bytes of an image file, mean
    route : of the whole run
    """

    size: Size
    images: int
    reference: int
    file_bytes: float
    route: Route


@dataclass(frozen=True)
class StageCost:
    """One stage of one size: bytes, the memory of a task, and about how long it takes."""

    stage: str
    size: Size
    read: int
    shuffled: int
    written: int
    memory: int
    seconds: float


@dataclass
class Stages:
    """The stages of one size, as they are added up in order."""

    size: Size
    costs: list[StageCost] = field(default_factory=list)

    def add(
        self, stage: str, *, read: float = 0, shuffled: float = 0, written: float = 0,
        memory: float, seconds: float,
    ) -> None:  # fmt: skip
        """Add a stage: bytes, bytes of memory of a task, and seconds of the work alone."""
        self.costs.append(
            StageCost(
                stage, self.size, int(read), int(shuffled), int(written), int(memory),
                round(JOB_SECONDS + seconds, 1),
            )
        )  # fmt: skip


@dataclass(frozen=True)
class SizePlan:
    """How the images of one size are searched.

    Attributes
    ----------
    size : (width, height), pixels
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
    stages: list[StageCost]
