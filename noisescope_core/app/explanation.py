"""Why one image got its verdict: what it was compared with, and what would change the answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.dataset as ds
from numpy.typing import NDArray

from noisescope_core.app.original import listed_as, read_original
from noisescope_core.app.places import absolute
from noisescope_core.attacks import attack
from noisescope_core.config import Config
from noisescope_core.correlation.surface import peak_shift
from noisescope_core.errors import UsageError
from noisescope_core.extraction import pixels_id, too_small
from noisescope_core.fingerprint import member_of_pixels
from noisescope_core.images.decode import decode
from noisescope_core.lattice.detector import is_rival
from noisescope_core.method import Explaining, Extracted, Test
from noisescope_core.methods import extracted, method_of, test_of
from noisescope_core.tables.results import Results, Scores
from noisescope_core.tables.rows import FingerprintRow

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
    factor : by which the image was rescaled since it was generated; None if it was not
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
    factor: float | None = None

    @property
    def is_fake(self) -> bool:
        """Whether the score is above the threshold."""
        return self.score > self.threshold

    @property
    def peak(self) -> tuple[int, int]:
        """Shift (x, y) where the surface is highest."""
        return peak_shift(self.surface)


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
    file : path or URI of an image, ``ARCHIVE!/MEMBER``, or the name of a table's row
    run : whose fingerprints it is held against

    Raises
    ------
    UsageError
        If the file cannot be read, or the run has no fingerprints of its own.
    """
    config = run.config
    path = located(file, run)
    data = read_original(path, listed_as(run, path), config)
    image_id = hashlib.sha256(data).hexdigest()
    verdict = _verdict(run, path, image_id)
    of_run = verdict is not None
    image = decode(data, config.decode.max_pixels, config.decode.max_bytes)
    if image.pixels is None:
        return Explanation(path, image_id, of_run, "quarantined", image.reason)
    if why := too_small(image.height, image.width, config):
        return Explanation(path, image_id, of_run, "unscored", why, image.pixels)
    noise = extracted(image.pixels, config)
    generators = _generators(run)
    itself = member_of_pixels(generators).get(pixels_id(image.pixels), image_id)
    match = _match(run, generators, itself, image.pixels, noise)
    if verdict is not None:
        status, reason = verdict["status"], verdict["reason"]
    elif match is None:
        size = f"{image.width} x {image.height}"
        status, reason = "unscored", f"the run has no fingerprint to hold {size} against"
    else:
        status, reason = "scored", None
    return Explanation(path, image_id, of_run, status, reason, image.pixels, noise.residual, match)


def of_a_file_that_is_gone(verdict: Mapping[str, Any]) -> Explanation:
    """Say what is left to say of a file that cannot be read any more.

    Parameters
    ----------
    verdict : its row of `verdicts` that holds
    """
    why = "the file cannot be read any more, so that only its verdicts are left"
    return Explanation(verdict["path"], verdict["image_id"] or "", True, "unscored", why)


def located(file: str, run: Results) -> str:
    """Name an image as the run does: by its absolute path, or by its name in a table."""
    path = absolute(file)
    return file if listed_as(run, path) is None and listed_as(run, file) else path


def _generators(run: Results) -> list[FingerprintRow]:
    """Read the run's generators' fingerprints and their rivals; raises UsageError as `explain`."""
    # Others are as large, and not asked for.
    wanted = ds.field("flagged") | (ds.field("kind") == "lattice")
    rows = run.table("fingerprints", where=wanted).to_pylist()
    try:
        fingerprints = [
            fingerprint
            for fingerprint in (FingerprintRow(**row) for row in rows)
            if fingerprint.flagged or is_rival(fingerprint)
        ]
    except TypeError as error:
        raise UsageError(
            f"{run.location}: made by another version, whose fingerprints this one does not know; "
            "run it again"
        ) from error
    return sorted(fingerprints, key=lambda fingerprint: fingerprint.fingerprint_id)


def _match(
    run: Results,
    generators: Sequence[FingerprintRow],
    image_id: str,
    pixels: NDArray[np.uint8],
    noise: Extracted,
) -> Match | None:
    config = run.config
    method = method_of(config)
    size = pixels.shape[1], pixels.shape[0]
    everywhere = method.everywhere(config)
    score = test_of(generators, config, everywhere)(image_id, size, *noise.cells)
    if score is None:
        return None
    (best,) = (row for row in generators if row.fingerprint_id == score.fingerprint_id)
    scores = run.scores(vars(best))
    threshold = score.threshold or 0.0
    if score.threshold is None and method.threshold is not None:
        threshold = float(method.threshold(scores.reference.tolist(), config))
    in_place = score.shift_x is None

    def seen(row: FingerprintRow) -> tuple[Explaining, NDArray[Any]]:
        """How a fingerprint of this kind is explained, and what of the image is held against it."""
        if row.kind == "lattice" and method.lattice and noise.tile is not None:
            return method.lattice.explaining, noise.tile
        return method.explaining, noise.stored

    others = []
    for row in generators:
        explaining, feature = seen(row)
        others.append(explaining.without(row, image_id, feature, config))
    explaining, feature = seen(best)
    bands = explaining.bands if in_place else None
    return Match(
        score=score.score,
        threshold=threshold,
        confidence=score.confidence,
        shift=None if in_place else (int(score.shift_x or 0), int(score.shift_y or 0)),
        fingerprint=vars(best),
        is_member=image_id in best.members,
        surface=explaining.surface(feature, size, best, config),
        bands=bands(feature, image_id, best, config) if bands else None,
        scores=scores,
        changes=list(_changes(pixels, test_of(others, config, everywhere), threshold, config)),
        factor=score.factor,
    )


def _verdict(run: Results, path: str, image_id: str) -> dict[str, Any] | None:
    """Find the verdict of the file, or of one of the same bytes."""
    where = (ds.field("path") == path) | (ds.field("image_id") == image_id)
    rows = run.table("verdicts", where=where).to_pylist()
    rows.sort(key=lambda row: (row["image_id"] != image_id, row["path"] != path, row["path"]))
    return rows[0] if rows and rows[0]["image_id"] == image_id else None


def _changes(
    pixels: NDArray[np.uint8], test: Test, threshold: float, config: Config
) -> Iterator[Change]:
    colour = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, 2)
    size = pixels.shape[1], pixels.shape[0]
    for what, name, strength in PROCESSED:
        changed = attack(name, strength, colour, np.random.default_rng(config.seed))
        score = test("", size, *extracted(changed, config).cells)
        if score is not None:
            bar = threshold if score.threshold is None else score.threshold
            yield Change(what, score.score, bar, score.score > bar)
