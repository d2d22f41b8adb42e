"""Rows that are made outside Spark, with the names of their table's columns (`schemas`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


def cells_by_name(row: Any) -> Mapping[str, Any]:
    """Give the cells of a row: one of the classes of this module, or a mapping already."""
    return row if isinstance(row, Mapping) else vars(row)


@dataclass(frozen=True)
class FileRow:
    """A file that a run answers for; `reason` says why it is not read.

    Attributes
    ----------
    place : the archive in which it lies (`archives`), or itself if Spark's own reader passes over
        such names; else None
    offset, stored, packing : where in the archive and how, as of `archives.Member`
    key : column of the table of which it is a row, which names it; empty if its place does
    """

    role: str
    folder: str
    path: str
    bytes: int | None = None
    reason: str | None = None
    place: str | None = None
    offset: int | None = None
    stored: int | None = None
    packing: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class RouteRow:
    """How a run's pile is searched, `pairs`, `spectral` or `shards`, and of how many files."""

    route: str
    files: int


@dataclass(frozen=True)
class CalibrationRow:
    """What is known of a size before it is searched.

    `reason` says why the size cannot be searched by itself, `unscored` why its images get no score.
    """

    width: int
    height: int
    images: int
    reference: int | None
    t_merge: float | None = None
    reason: str | None = None
    unscored: str | None = None


@dataclass(frozen=True)
class ReferenceFingerprintRow:
    """Texture of a fingerprint of reference images (method `paper`)."""

    width: int
    height: int
    fingerprint: int
    haralick: Sequence[float]


@dataclass(frozen=True)
class SampleRow:
    """An image drawn from a large pile, and how many images of the pile it stands for."""

    width: int
    height: int
    image_id: str
    path: str
    stands_for: float


@dataclass(frozen=True)
class ClusterRow:
    """An image in a set of images, after a round of merging or a step of growth."""

    width: int
    height: int
    round: int
    cluster: int
    image_id: str


@dataclass(frozen=True)
class MergingRow:
    """What merging a size's images took (method `paper`)."""

    width: int
    height: int
    rounds: int
    clusters: int
    compared: int
    refined: int


@dataclass(frozen=True, kw_only=True)
class FingerprintRow:
    """A pattern that images share; columns that its method does not know are None.

    They are described in docs/tables.md.
    """

    fingerprint_id: str
    kind: str | None = None
    width: int
    height: int
    images: int
    flagged: bool
    margin: float | None = None
    haralick: Sequence[float] | None = None
    cohesion: float | None = None
    repeats: Sequence[float] | None = None
    off_grid: bool | None = None
    maker: str | None = None
    strength: float | None = None
    colour: float | None = None
    peak: float | None = None
    grid: float | None = None
    spread: float | None = None
    lattice: float | None = None
    uneven: float | None = None
    scaled: float | None = None
    hue: float | None = None
    clear: float | None = None
    in_reference: float | None = None
    tile_shared: float | None = None
    tile_energy: float | None = None
    tile_single: float | None = None
    tile_dense: float | None = None
    tile_eighths: float | None = None
    tile_points: float | None = None
    tile_sixteenths: float | None = None
    tile_inner: float | None = None
    header: str | None = None
    same_header: float | None = None
    watermark: str | None = None
    watermarked: float | None = None
    weights: Sequence[float] | None = None
    centres: Sequence[float] | None = None
    reference_centre: float | None = None
    reference_spread: float | None = None
    threshold: float | None = None
    member_mean: float | None = None
    member_spread: float | None = None
    prior: float | None = None
    elsewhere_centre: float | None = None
    elsewhere_spread: float | None = None
    members: Sequence[str] = ()
    member_pixels: Sequence[str | None] | None = None
    covered: Sequence[bool] | None = None
    pixels: bytes = b""
    whitened: bytes | None = None
    background: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class VerdictRow:
    """What is said of one file (docs/tables.md)."""

    path: str
    image_id: str | None = None
    width: int | None = None
    height: int | None = None
    status: str
    reason: str | None = None
    score: float | None = None
    threshold: float | None = None
    is_fake: bool | None = None
    fingerprint_id: str | None = None
    confidence: float | None = None
    shift_x: int | None = None
    shift_y: int | None = None
    factor: float | None = None
    claimed_by: str | None = None
    claimed_generator: str | None = None
    camera: str | None = None


@dataclass(frozen=True, kw_only=True)
class SizeRow:
    """What scheduled scans know of a size (docs/scheduled.md, `sizes`)."""

    width: int
    height: int
    waiting: int
    reference: int | None = None
    decided_scan: int | None = None
    searched_scan: int | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class DecisionRow:
    """What an analyst decided of a fingerprint; `before` is None where an import brought it."""

    fingerprint_id: str
    decided: datetime
    before: str | None = None
    before_into: str | None = None
    state: str
    merged_into: str | None = None
    note: str | None = None
    analyst: str
    scan: int | None = None


@dataclass(frozen=True)
class LeaseRow:
    """Who holds the Delta tables, and until when unless it is renewed."""

    name: str
    owner: str
    until: datetime


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """A scan that has ended (docs/scheduled.md, `runs`)."""

    scan: int
    run_id: str
    images: str
    reference: str
    reference_images: int | None
    version: str
    config_hash: str
    started: datetime
    finished: datetime
    arrivals_seconds: float
    search_seconds: float
    tables_seconds: float
    bytes: int
    files: int
    scored: int
    unscored: int
    quarantined: int
    unreadable: int
    fake: int
    rejudged: int
    queued: int
    found: int
    registry_version: int
    real_score: float | None
    alerts: Sequence[str] = ()
