"""The methods there are, and the one door to them: a method is chosen by its name here alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from noisescope_core.config import Config
from noisescope_core.cost import Rates, SizeCounts, SizePlan
from noisescope_core.errors import UsageError
from noisescope_core.images import Size
from noisescope_core.lattice.method import LATTICE
from noisescope_core.method import Extracted, Method, Score, Test
from noisescope_core.paper.method import METHOD as PAPER
from noisescope_core.whitened.method import METHOD as WHITENED

METHODS = {method.name: method for method in (replace(WHITENED, lattice=LATTICE), PAPER)}
"""Methods by name; the default one comes first."""


def method_of(config: Config) -> Method:
    """Give the method that a configuration names.

    Examples
    --------
    >>> method_of(Config(method="paper")).least_images(Config(method="paper"))
    51
    """
    return METHODS[config.method]


def extracted(pixels: NDArray[np.uint8], config: Config) -> Extracted:
    """Take from an image, (H, W) or (H, W, 3) uint8, all that a run stores of it."""
    method = method_of(config)
    in_place = method.extract(pixels, config)
    if method.lattice is None:
        return in_place
    return replace(in_place, tile=method.lattice.extract(pixels, in_place, config))


def test_of(fingerprints: Iterable[Any], config: Config, everywhere: bool) -> Test:
    """Make the test of images against fingerprints, given by their rows in any order.

    Parameters
    ----------
    fingerprints : rows of `fingerprints`
    config : Config
    everywhere : bool
        Whether they are looked for at other alignments and sizes too.
    """
    method = method_of(config)
    by_size: dict[Size, list[Any]] = {}
    lattices: list[Any] = []
    for row in sorted(fingerprints, key=lambda row: str(row.fingerprint_id)):
        if row.kind == "lattice":
            lattices.append(row)
        else:
            by_size.setdefault((row.width, row.height), []).append(row)
    in_place = method.test(by_size, config, everywhere)
    of_lattices = method.lattice.test(lattices, config) if method.lattice and lattices else None

    def test(
        image_id: str, size: Size, cell: pa.Buffer | None, tile: pa.Buffer | None
    ) -> Score | None:
        scores = [] if cell is None else [in_place(image_id, size, cell)]
        if of_lattices and tile is not None:
            scores.append(of_lattices(image_id, size, tile))
        return max((score for score in scores if score), key=over_its_bar, default=None)

    return test


def over_its_bar(score: Score) -> float:
    """Compare scores against different fingerprints, each by its own bar."""
    return score.score / score.threshold if score.threshold else score.score


def check_for_scans(config: Config) -> None:
    """Raise UsageError for what scheduled scans do not know."""
    if not method_of(config).scans:
        known = ", ".join(method.name for method in METHODS.values() if method.scans)
        raise UsageError(f"method: scan knows the method {known} alone")
    # The tables outlive a configuration, and residuals of two denoisers do not compare.
    if config.residual.denoiser != "wavelet":
        raise UsageError("residual.denoiser: scan knows the denoiser wavelet alone")


def unscored(config: Config, reason: str | None, reference: int) -> str | None:
    """Say why images of a size are not scored; None if they are.

    Parameters
    ----------
    reason : why the size cannot be searched by itself, from `shortage`; None if it can
    reference : distinct reference images of all sizes
    """
    if reason is None or method_of(config).lattice is None:
        return reason
    return uncalibrated(config, reference)


def uncalibrated(config: Config, reference: int) -> str | None:
    """Say why images of no size are scored by what all sizes share; None if they are.

    Parameters
    ----------
    config : Config
    reference : distinct reference images of all sizes
    """
    if reference >= (least := method_of(config).least_reference(config)):
        return None
    return f"too few reference images to calibrate: {reference:,} of all sizes, needed {least:,}"


def shortage(config: Config, size: Size, images: int, reference: int) -> str | None:
    """Say why a size cannot be decided; None if it can."""
    method = method_of(config)
    name = f"{size[0]} x {size[1]}"
    if images < (least := method.least_images(config)):
        return f"too few images of {name} to decide: {images:,}, needed {least:,}"
    if reference < (least := method.least_reference(config)):
        return f"too few reference images of {name} to calibrate: {reference:,}, needed {least:,}"
    return None


def plan_size(counts: SizeCounts, config: Config, rates: Rates) -> SizePlan:
    """Plan the stages of one size, or say why it cannot be decided."""
    method = method_of(config)
    for what, count, least in (
        ("images", counts.images, method.least_images(config)),
        ("reference images", counts.reference, method.least_reference(config)),
    ):
        if count < least:
            reason = f"{count:,} {what}, needed {least:,}"
            return SizePlan(
                counts.size, counts.images, counts.reference, "none", reason, 0, 0, 0, []
            )
    return method.plan(counts, config, rates)
