"""A pile in memory, from files to verdicts: the steps that Spark runs on tables, on arrays.

It finds and judges as a run through Spark does, by the same functions in the same order. Spark
alone lists folders, reads files again, draws a sample of a size with more images than all pairs can
serve (`whitened.piles`), and writes tables, summary and report.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from noisescope_core.config import Config
from noisescope_core.extraction import (
    counterparts_in_words,
    header_row,
    placed_image,
    reference_preparations,
    residual_rows,
)
from noisescope_core.fingerprint import member_of_pixels, with_member_pixels
from noisescope_core.images import Size
from noisescope_core.images.compression import Compression
from noisescope_core.images.counterparts import greys_in_words
from noisescope_core.images.reference import Header, Preparation
from noisescope_core.lattice.copies import COPIES, unusable
from noisescope_core.lattice.detector import is_rival
from noisescope_core.lattice.tiles import VALUES
from noisescope_core.method import (
    Feature,
    Found,
    LatticeFeature,
    LatticePile,
    Note,
    Score,
    say_nothing,
)
from noisescope_core.methods import method_of, shortage, test_of, unscored
from noisescope_core.tables.rows import FingerprintRow, VerdictRow
from noisescope_core.tables.schemas import SAYS, names_in

Files = Mapping[str, bytes]
"""Contents of files by path."""

BySize = Mapping[Size, Sequence[Feature]]
"""Images as they are compared, by size."""

PileOf = Callable[[Sequence[Feature], Sequence[Feature], Size, Config], Any]
"""Puts tested and reference images of one size together, as `Method.pile` does."""


@dataclass(frozen=True)
class Judged:
    """What is said of a pile in memory.

    Attributes
    ----------
    verdicts : one a file, by path
    fingerprints : patterns found, of all sizes
    """

    verdicts: Sequence[VerdictRow]
    fingerprints: Sequence[FingerprintRow]


@dataclass(frozen=True)
class Searched:
    """What a search of images of all sizes found, and how each image stands to it.

    Attributes
    ----------
    fingerprints : patterns found, of all sizes
    scores : by image id; None where there is nothing to test with
    unscored : by size of the tested images, why they are not scored; None if they are
    """

    fingerprints: Sequence[FingerprintRow]
    scores: Mapping[str, Score | None]
    unscored: Mapping[Size, str | None]


def detect(images: Files, reference: Files, config: Config, note: Note = say_nothing) -> Judged:
    """Find the generated images among some files, as `noisescope detect` does, without Spark.

    Parameters
    ----------
    images, reference : contents of tested and reference files by path
    config : Config
    note : callable
        Takes a sentence on what is going on.
    """
    tested = [
        {"path": path, **row}
        for path in sorted(images)
        for row in residual_rows(images[path], config, "image", {})
    ]
    headers = _headers(reference, config)
    judged = {row["image_id"] for row in tested if row["status"] == "scored"}
    shared = {header.image_id for header in headers} & judged
    if shared:
        note(f"reference images left out that are tested, too: {len(shared):,}")
    known = {header for header in headers if header.image_id not in shared}
    changed = _preparations(tested, known, config)
    photographs = [
        row
        for path in sorted(reference)
        for row in residual_rows(reference[path], config, "reference", changed, shared)
    ]
    return detect_extracted(tested, photographs, config, note)


def detect_extracted(
    tested: Sequence[Mapping[str, Any]],
    photographs: Sequence[Mapping[str, Any]],
    config: Config,
    note: Note = say_nothing,
) -> Judged:
    """Find the generated images among some that were extracted before.

    Parameters
    ----------
    tested, photographs : rows of `extraction.residual_rows`, the tested ones with their `path`
    config : Config
    note : callable
        Takes a sentence on what is going on.
    """
    for warning in _warnings(tested, photographs):
        note(warning)
    searched = search(_by_size(tested, config), _by_size(photographs, config), config, note)
    verdicts = [
        _verdict(row, searched.scores.get(row["image_id"]), searched.unscored) for row in tested
    ]
    return Judged(sorted(verdicts, key=lambda verdict: verdict.path), searched.fingerprints)


def search(
    tested: BySize,
    reference: BySize,
    config: Config,
    note: Note = say_nothing,
    pile_of: PileOf | None = None,
    threads: int = 1,
) -> Searched:
    """Search images of all sizes, size by size and, if the method does, all together.

    Parameters
    ----------
    tested, reference : images; those without a tile are not looked at together with other sizes
    config : Config
    note : callable
        Takes a sentence on what is going on.
    pile_of : puts images of one size together; None: as the method does
    threads : that test images
    """
    method = method_of(config)
    pile_of = pile_of or method.pile
    everything = {image.image_id for images in reference.values() for image in images}
    different = {size: _distinct(images) for size, images in tested.items()}
    photographs = {size: _distinct(images) for size, images in reference.items()}
    copies = set[str]()
    if method.lattice:
        copies = unusable(_with_tiles(photographs), _with_tiles(different))
    if copies:
        note(COPIES.format(len(copies)))
    reasons: dict[Size, str | None] = {}
    results: list[Found] = []
    for size in sorted(tested):
        counts = [
            len({image.image_id for image in images} - left_out)
            for images, left_out in ((different[size], set()), (photographs.get(size, ()), copies))
        ]
        lacking = shortage(config, size, *counts)
        reasons[size] = unscored(config, lacking, len(everything - copies))
        if lacking is None:
            pile = pile_of(different[size], photographs[size], size, config)
            results.append(method.find(pile, config, note))
    fingerprints = [row for found in results for row in found.fingerprints]
    if method.lattice:
        lattices = LatticePile(_with_tiles(different), _with_tiles(photographs))
        fingerprints += method.lattice.find(lattices, fingerprints, config, note)
    images_of = (image for images in tested.values() for image in images)
    fingerprints = with_member_pixels(
        fingerprints, {image.image_id: image.pixels_id for image in images_of}
    )
    scores: dict[str, Score | None] = {}
    test = Detector(fingerprints, config)
    for size, images in tested.items():
        answers = test.scores(images, reference.get(size, ()), size, threads)
        scores.update(zip((image.image_id for image in images), answers, strict=True))
    return Searched(fingerprints, scores, reasons)


class Detector:
    """The test of images against the generators' fingerprints among some.

    Parameters
    ----------
    fingerprints : rows of all patterns found
    config : Config
    """

    def __init__(self, fingerprints: Iterable[FingerprintRow], config: Config) -> None:
        self._method, self._config = method_of(config), config
        tested = [row for row in fingerprints if row.flagged or is_rival(row)]
        self._test = test_of(tested, config, self._method.everywhere(config))
        self._member_of = member_of_pixels(tested)

    def score(self, image: Feature, size: Size) -> Score | None:
        """Test one image; the threshold is missing where the reference's scores decide it."""
        stored, tile = (
            None if part is None else pa.py_buffer(part.tobytes())
            for part in (image.stored, image.tile)
        )  # fmt: skip
        itself = self._member_of.get(image.pixels_id or "", image.image_id)
        return self._test(itself, size, stored, tile)

    def scores(
        self, images: Sequence[Feature], reference: Sequence[Feature], size: Size, threads: int = 1
    ) -> list[Score | None]:
        """Test images of one size, each with its threshold."""
        scores = self._each(images, size, threads)
        threshold = self._method.threshold
        if threshold is None or not any(scores):
            return scores
        distinct = {image.image_id: image for image in reference}.values()
        of_reference = self._each(list(distinct), size, threads)
        bar = threshold([score.score for score in of_reference if score], self._config)
        return [score and replace(score, threshold=bar) for score in scores]

    def _each(self, images: Sequence[Feature], size: Size, threads: int) -> list[Score | None]:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(lambda image: self.score(image, size), images))


def _by_size(rows: Iterable[Mapping[str, Any]], config: Config) -> dict[Size, list[Feature]]:
    features: dict[Size, list[Feature]] = defaultdict(list)
    for row in rows:
        if row["status"] == "scored":
            features[row["width"], row["height"]].append(placed_image(row, config))
    return features


def _distinct(images: Iterable[Feature]) -> list[Feature]:
    """Keep one image of the same pixels, the first by its id."""
    by_pixels: dict[str, Feature] = {}
    for image in sorted(images, key=lambda image: image.image_id, reverse=True):
        by_pixels[image.pixels_id or image.image_id] = image
    return sorted(by_pixels.values(), key=lambda image: image.image_id)


def _with_tiles(images: BySize) -> list[LatticeFeature]:
    """Put images of all sizes together, as far as they have tiles; the first tile is native."""
    return [
        LatticeFeature(
            image.image_id, image.tile[:VALUES], image.sketch, image.compression, image.watermark
        )
        for of_size in images.values()
        for image in of_size
        if image.tile is not None
    ]


def _warnings(
    tested: Iterable[Mapping[str, Any]], reference: Iterable[Mapping[str, Any]]
) -> list[str]:
    """Warn of tested images that the reference has no counterpart of."""
    images = {row["image_id"]: row for row in tested if row["status"] == "scored"}
    photographs = {
        (row["image_id"], row.get("prepared")): row
        for row in reference
        if row["status"] == "scored"
    }
    counts = Counter(Compression.of_row(row) for row in images.values())
    greys = [
        Counter(grey for grey in of_images.values() if grey is not None)
        for of_images in (
            {row["image_id"]: row.get("grey") for row in rows.values()}
            for rows in (images, photographs)
        )
    ]
    return [
        *counterparts_in_words(counts, ((row, 1) for row in photographs.values())),
        *greys_in_words(*greys),
    ]


def _headers(reference: Files, config: Config) -> set[Header]:
    """Read what the reference files say of themselves, as far as the method asks for it."""
    if not method_of(config).adapts_reference:
        return set()
    rows = (header_row(content, config) for content in reference.values())
    return {Header.of_row(row) for row in rows if row["reason"] is None}


def _preparations(
    tested: Iterable[Mapping[str, Any]], headers: Iterable[Header], config: Config
) -> dict[str, list[Preparation]]:
    if not method_of(config).adapts_reference:
        return {}
    images = {Header.of_row(row) for row in tested if row["status"] == "scored"}
    counts = Counter((image.size, image.compression) for image in images)
    return reference_preparations(counts, counts, headers, config)


def _verdict(
    row: Mapping[str, Any], score: Score | None, undecided: Mapping[Size, str | None]
) -> VerdictRow:
    """Make the verdict of one file, as `spark.stages.verdicts` makes those of a table."""
    size = row.get("width"), row.get("height")
    verdict = VerdictRow(
        path=row["path"],
        image_id=row["image_id"],
        width=size[0],
        height=size[1],
        status=row["status"],
        reason=row.get("reason"),
        **{name: row.get(name) for name in names_in(SAYS)},
    )
    # A size that cannot be decided by itself may lie on another size's fingerprint.
    is_fake = score is not None and score.is_fake
    reason = undecided.get((row.get("width") or 0, row.get("height") or 0))
    if row["status"] != "scored":
        return verdict
    if reason is not None and not is_fake:
        return replace(verdict, status="unscored", reason=reason)
    if score is None:
        return replace(verdict, is_fake=False)
    verdict = replace(
        verdict,
        is_fake=is_fake,
        score=score.score,
        threshold=score.threshold,
        confidence=score.confidence,
    )
    if not is_fake:
        return verdict
    return replace(
        verdict,
        fingerprint_id=score.fingerprint_id,
        shift_x=score.shift_x,
        shift_y=score.shift_y,
        factor=score.factor,
    )
