"""Image detector: every image tested against the fingerprints found (paper, section 3.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from noisescope_core.config import Config
from noisescope_core.images import Size
from noisescope_core.method import Score, Test
from noisescope_core.whitened.alignment import Pattern, best_alignment, pattern_of
from noisescope_core.whitened.confidence import Bar
from noisescope_core.whitened.overlay import TILE, uncovered
from noisescope_core.whitened.planes.bands import PLANES, Layout, compared
from noisescope_core.whitened.planes.whitening import unpacked

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Fingerprint:
    """A fingerprint of the whitened method, ready to be matched.

    Attributes
    ----------
    fingerprint_id : str
    mean : (3, V) float32
        Of the members' whitened planes.
    members : image ids
    weights, centre : (33,) float, of the bands
    bar : how scores are read
    """

    fingerprint_id: str
    mean: NDArray[np.float32]
    members: frozenset[str]
    weights: NDArray[np.float64]
    centre: NDArray[np.float64]
    bar: Bar


def match(
    feature: NDArray[Any], image_id: str, fingerprints: Sequence[Fingerprint], bins: Layout
) -> tuple[float, float, float, str, bool]:
    """Test an image against the fingerprints of its size, a member without itself.

    Parameters
    ----------
    feature : (3 * V,) float, from `whitening.whitened_planes`
    image_id : str
        Tells a member.
    fingerprints : at least one
    bins : the layout of the size

    Returns
    -------
    score : signed square of the standardised score, on the scale of PCE: unrelated images have
        about a chi-square with one degree of freedom
    threshold : of the fingerprint, on the same scale
    confidence : probability, 0..1, that the image carries the fingerprint
    fingerprint_id : the one that fits best, of those above their threshold if there are any
    typical : whether the score is as its members' are, no more than one of their spreads below
    """
    image = np.asarray(feature, np.float32).reshape(len(fingerprints[0].mean), -1)
    own = _products(image, image, bins)
    graded = []
    for fingerprint in fingerprints:
        bar = fingerprint.bar
        bands = _bands(image, own, image_id, fingerprint, bins)
        z = bar.standardised(fingerprint.weights @ (bands - fingerprint.centre))
        graded.append(
            (
                float(bar.fit(z)),
                float(z * abs(z)),
                bar.threshold**2,
                float(bar.confidence(z)),
                fingerprint.fingerprint_id,
                bool(z >= bar.mean - bar.deviation),
            )
        )
    return max(graded)[1:]


def contributions(
    feature: NDArray[Any], image_id: str, fingerprint: Fingerprint, bins: Layout
) -> NDArray[np.float64]:
    """Say what each band adds to the standardised score of an image.

    Parameters
    ----------
    feature, image_id, bins : as for `match`

    Returns
    -------
    (33,) float64
        In the order of `whitening.BANDS`. Their sum less `bar.centre / bar.spread` is the
        standardised score, whose signed square `match` returns.
    """
    image = np.asarray(feature, np.float32).reshape(len(fingerprint.mean), -1)
    bands = _bands(image, _products(image, image, bins), image_id, fingerprint, bins)
    weighed = fingerprint.weights * (bands - fingerprint.centre) / fingerprint.bar.spread
    return np.asarray(weighed, np.float64)


def _bands(
    image: NDArray[np.float32],
    own: NDArray[np.float64],
    image_id: str,
    fingerprint: Fingerprint,
    bins: Layout,
) -> NDArray[np.float64]:
    """Correlate an image with the sum of the members, without itself, band by band."""
    count = len(fingerprint.members)
    products = count * _products(image, fingerprint.mean, bins)
    if image_id in fingerprint.members:
        count -= 1
        products = products - own
    return np.asarray(products / bins.values / np.sqrt(max(count, 1)), np.float64)


def _products(
    one: NDArray[np.float32], other: NDArray[np.float32], bins: Layout
) -> NDArray[np.float64]:
    return np.array([np.vdot(one[p, part], other[p, part]) for p, part in bins.slices()])


def match_test(by_size: dict[Size, list[Any]], config: Config, everywhere: bool) -> Test:
    """Make the test of images against the fingerprints, from the rows of these.

    Images are tested in place against the fingerprints of their own size, and, `everywhere`, where
    that finds nothing at all alignments against all fingerprints.
    """
    side = config.whitening.side
    fingerprints: dict[Size, list[tuple[Mask | None, list[Fingerprint]]]] = {}
    patterns: list[Pattern] = []
    for size, rows in by_size.items():
        # What lies beneath an overlay was found without the tiles that it covers.
        beneath: dict[tuple[bool, ...], list[Fingerprint]] = {}
        for row in rows:
            beneath.setdefault(tuple(row.covered or ()), []).append(fingerprint_of(row, side))
        tiles = [length // TILE for length in compared(*size[::-1], side).shape]
        fingerprints[size] = [
            (np.reshape(covered, tiles) if covered else None, known)
            for covered, known in beneath.items()
        ]
        if everywhere:
            patterns += [
                pattern_of(one.fingerprint_id, size, one.mean, one.weights, side)
                for _, known in fingerprints[size]
                for one in known
            ]

    def test(image_id: str, size: Size, cell: pa.Buffer) -> Score | None:
        if size not in fingerprints and not patterns:
            return None
        width, height = size
        feature = unpacked(cell)
        in_place = None
        if size in fingerprints:
            bins = compared(height, width, side)
            answers = []
            for covered, known in fingerprints[size]:
                looked_at = feature if covered is None else uncovered(feature, covered, bins)
                score, threshold, confidence, name, typical = match(
                    looked_at, image_id, known, bins
                )
                answers.append(Score(score, name, threshold, confidence, typical=typical))
            in_place = max(answers, key=lambda one: (one.is_fake, one.confidence, one.score))
            if in_place.is_fake or not patterns:
                return in_place
        found = best_alignment(feature, size, patterns, side)
        if in_place and found.pce <= found.threshold:
            return in_place
        return Score(
            found.pce, found.fingerprint_id, found.threshold, found.confidence, *found.shift
        )

    return test


def fingerprint_of(row: Any, side: int) -> Fingerprint:
    """Ready a row of `fingerprints` of the default method, of images compared up to `side`."""
    bins = compared(row.height, row.width, side)
    return Fingerprint(
        row.fingerprint_id,
        np.frombuffer(row.whitened, np.float32).reshape(len(PLANES), bins.values),
        frozenset(row.members),
        np.array(row.weights),
        np.array(row.centres),
        Bar(row.reference_centre, row.reference_spread, row.threshold, row.member_mean,
            row.member_spread, row.prior),
    )  # fmt: skip
