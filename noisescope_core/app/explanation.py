"""Why one image got its verdict: what it was compared with, and what would change the answer."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from numpy.typing import NDArray
from pyarrow import fs

from noisescope_core.attacks import attack
from noisescope_core.config import Config
from noisescope_core.correlation import surface as pixel_surface
from noisescope_core.errors import UsageError, first_line
from noisescope_core.extraction import noise_of, too_small
from noisescope_core.images import Size
from noisescope_core.images.decode import decode, refused_size
from noisescope_core.method import Test
from noisescope_core.paper.detector import detection_threshold, pce_test
from noisescope_core.tables.results import Results, Scores
from noisescope_core.tables.storage import content, file_system
from noisescope_core.whitened import alignment
from noisescope_core.whitened.alignment import pattern_of
from noisescope_core.whitened.detector import contributions, fingerprint_of, match_test
from noisescope_core.whitened.overlay import TILE, uncovered
from noisescope_core.whitened.planes.bands import compared
from noisescope_core.whitened.planes.whitening import unpacked

PROCESSED = (
    ("saved as JPEG of quality 90", "jpeg", 90),
    ("saved as JPEG of quality 70", "jpeg", 70),
    ("saved as JPEG of quality 50", "jpeg", 50),
    ("noise of 5 grey levels added", "noise", 5),
    ("blurred by 1 pixel", "blur", 1),
    ("median of 3 x 3 pixels", "median", 3),
    ("halved in size and enlarged again", "resize", 0.5),
    ("a tenth of each side cut off, enlarged again", "crop", 0.9),
)
"""What a picture may go through, by `attacks.attack`: in words, name, strength."""


@dataclass(frozen=True)
class Change:
    """What the verdict would be of the same picture otherwise processed.

    Attributes
    ----------
    what : was done, in words
    score, threshold : as in `verdicts`
    is_fake : whether it would be flagged
    """

    what: str
    score: float
    threshold: float
    is_fake: bool


@dataclass(frozen=True)
class Match:
    """An image held against the fingerprint that it fits best.

    Attributes
    ----------
    score, threshold, confidence : as in `verdicts`
    shift : (x, y) where the image lies on the fingerprint's images; None in place
    fingerprint : row of `fingerprints`
    is_member : whether the image is one of those that the fingerprint was made from
    surface : (H, W) float32
        Correlation with the fingerprint at all shifts, the shift (x, y) at
        [H // 2 + y, W // 2 + x], in units of its spread.
    bands : (33,) float64 or None
        What each band of `whitening.BANDS` adds to the standardised score; None by the paper's
        method, and where the image was matched elsewhere.
    scores : of others, of the fingerprint's size
    changes : what would change the verdict
    """

    score: float
    threshold: float
    confidence: float | None
    shift: tuple[int, int] | None
    fingerprint: Mapping[str, Any]
    is_member: bool
    surface: NDArray[np.float32]
    bands: NDArray[np.float64] | None
    scores: Scores
    changes: Sequence[Change]

    @property
    def is_fake(self) -> bool:
        """Whether the score is above the threshold."""
        return self.score > self.threshold

    @property
    def peak(self) -> tuple[int, int]:
        """Shift (x, y) where the surface is highest."""
        return pixel_surface.peak_shift(self.surface)


@dataclass(frozen=True)
class Explanation:
    """All that speaks for and against an image.

    Attributes
    ----------
    path : str
    image_id : sha256 of the file
    of_run : whether the file, or one of the same bytes, is among those that the run tested
    status, reason : `scored`, or why there is no verdict
    pixels : (H, W) or (H, W, 3) uint8, None if the file is no readable image
    residual : (H, W) float32, noise residual in grey levels; None of an image too small for it
    match : None if there is no fingerprint that the image could be held against
    """

    path: str
    image_id: str
    of_run: bool
    status: str
    reason: str | None
    pixels: NDArray[np.uint8] | None = None
    residual: NDArray[np.float32] | None = None
    match: Match | None = None


def explain(file: str, run: Results) -> Explanation:
    """Explain the verdict of one image; an image that the run did not test is tested now.

    Parameters
    ----------
    file : path or URI of an image
    run : whose fingerprints it is held against

    Raises
    ------
    UsageError
        If the file cannot be read, or the run has no fingerprints of its own.
    """
    config = run.config
    path = file if "://" in file else os.path.abspath(file)
    data = _read(path, config)
    image_id = hashlib.sha256(data).hexdigest()
    verdict = _verdict(run, path, image_id)
    of_run = verdict is not None
    image = decode(data, config.decode.max_pixels, config.decode.max_bytes)
    if image.pixels is None:
        return Explanation(path, image_id, of_run, "quarantined", image.reason)
    if why := too_small(image.height, image.width, config):
        return Explanation(path, image_id, of_run, "unscored", why, image.pixels)
    residual, cell = noise_of(image.pixels, config)
    known = run.table("fingerprints", where=ds.field("flagged")).to_pylist()
    known.sort(key=lambda row: str(row["fingerprint_id"]))
    match = _match(run, known, image_id, image.pixels, cell)
    if verdict is not None:
        status, reason = verdict["status"], verdict["reason"]
    elif match is None:
        size = f"{image.width} x {image.height}"
        status, reason = "unscored", f"the run has no fingerprint to hold {size} against"
    else:
        status, reason = "scored", None
    return Explanation(path, image_id, of_run, status, reason, image.pixels, residual, match)


def _match(
    run: Results,
    known: Sequence[Mapping[str, Any]],
    image_id: str,
    pixels: NDArray[np.uint8],
    cell: NDArray[Any],
) -> Match | None:
    config = run.config
    size = pixels.shape[1], pixels.shape[0]
    found = _test(known, config)(image_id, size, pa.py_buffer(cell.tobytes()))
    if found is None:
        return None
    (row,) = (row for row in known if row["fingerprint_id"] == found.fingerprint_id)
    scores = run.scores(row)
    threshold = found.threshold
    if threshold is None:
        threshold = detection_threshold(scores.reference, config.detection.percentile)
    in_place = found.shift_x is None
    rest = [_without(one, image_id, cell, config) for one in known]
    return Match(
        score=found.score,
        threshold=threshold,
        confidence=found.confidence,
        shift=None if in_place else (int(found.shift_x or 0), int(found.shift_y or 0)),
        fingerprint=row,
        is_member=image_id in (row["members"] or ()),
        surface=_surface(cell, size, row, config),
        bands=_bands(cell, image_id, size, row, config) if in_place else None,
        scores=scores,
        changes=list(_changes(pixels, _test(rest, config), threshold, config)),
    )


def _read(path: str, config: Config) -> bytes:
    try:
        system, within = file_system(path)
        info = system.get_file_info(within)
        if info.type != fs.FileType.File:
            raise UsageError(f"{path}: no such file")
        if why := refused_size(info.size, config.decode.max_bytes):
            raise UsageError(f"{path}: {why}")
        return content(system, within)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({first_line(error)})") from error


def _verdict(run: Results, path: str, image_id: str) -> dict[str, Any] | None:
    """Find the verdict of the file, or of one of the same bytes."""
    where = (ds.field("path") == path) | (ds.field("image_id") == image_id)
    rows = run.table("verdicts", where=where).to_pylist()
    rows.sort(key=lambda row: (row["image_id"] != image_id, row["path"] != path, row["path"]))
    return rows[0] if rows and rows[0]["image_id"] == image_id else None


def _test(rows: Sequence[Mapping[str, Any]], config: Config) -> Test:
    by_size: dict[Size, list[Any]] = {}
    for row in rows:
        by_size.setdefault((row["width"], row["height"]), []).append(SimpleNamespace(**row))
    if config.method == "paper":
        test = pce_test(by_size)
        return lambda image_id, size, cell: test(image_id, size, cell) if size in by_size else None
    return match_test(by_size, config, config.detection.alignments == "all")


def _surface(
    cell: NDArray[Any], size: Size, row: Mapping[str, Any], config: Config
) -> NDArray[np.float32]:
    of = row["width"], row["height"]
    if config.method == "paper":
        pixels = np.frombuffer(row["pixels"], np.float32).reshape(of[::-1])
        return pixel_surface.correlation_surface(cell, pixels)
    side = config.whitening.side
    known = fingerprint_of(SimpleNamespace(**row), side)
    pattern = pattern_of(known.fingerprint_id, of, known.mean, known.weights, side)
    return alignment.correlation_surface(unpacked(cell), size, pattern, side)


def _bands(
    cell: NDArray[Any],
    image_id: str,
    size: Size,
    row: Mapping[str, Any],
    config: Config,
) -> NDArray[np.float64] | None:
    if config.method == "paper":
        return None
    side = config.whitening.side
    known = fingerprint_of(SimpleNamespace(**row), side)
    return contributions(_looked_at(cell, row, side), image_id, known, compared(*size[::-1], side))


def _looked_at(cell: NDArray[Any], row: Mapping[str, Any], side: int) -> NDArray[np.float32]:
    """Take from an image what its fingerprint was made without: the tiles of an overlay."""
    feature = unpacked(cell)
    if not row["covered"]:
        return feature
    bins = compared(row["height"], row["width"], side)
    tiles = [length // TILE for length in bins.shape]
    return uncovered(feature, np.reshape(row["covered"], tiles), bins)


def _without(
    row: Mapping[str, Any], image_id: str, cell: NDArray[Any], config: Config
) -> dict[str, Any]:
    """Take an image out of the fingerprint that it is a member of."""
    if config.method == "paper" or image_id not in row["members"]:
        return dict(row)
    side = config.whitening.side
    count = len(row["members"])
    mean = np.frombuffer(row["whitened"], np.float32)
    rest = (count * mean - _looked_at(cell, row, side).ravel()) / (count - 1)
    left = [member for member in row["members"] if member != image_id]
    return {**row, "members": left, "whitened": np.asarray(rest, np.float32).tobytes()}


def _changes(
    pixels: NDArray[np.uint8], test: Test, threshold: float, config: Config
) -> Iterator[Change]:
    colour = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, 2)
    size = pixels.shape[1], pixels.shape[0]
    for what, name, strength in PROCESSED:
        changed = attack(name, strength, colour, np.random.default_rng(config.seed))
        _, cell = noise_of(changed, config)
        found = test("", size, pa.py_buffer(cell.tobytes()))
        if found is not None:
            bar = threshold if found.threshold is None else found.threshold
            yield Change(what, found.score, bar, found.score > bar)
