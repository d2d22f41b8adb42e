"""The methods there are, and the one door to them: a method is chosen by its name here alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from noisescope_core.config import Config
from noisescope_core.cost import Rates, SizeCounts, SizePlan
from noisescope_core.errors import UsageError
from noisescope_core.images import Size
from noisescope_core.method import Method, Test
from noisescope_core.paper.method import METHOD as PAPER
from noisescope_core.whitened.method import METHOD as WHITENED

METHODS = {method.name: method for method in (WHITENED, PAPER)}
"""Methods by name; the default one comes first."""


def method_of(config: Config) -> Method:
    """Give the method that a configuration names.

    Examples
    --------
    >>> method_of(Config(method="paper")).least_images(Config(method="paper"))
    51
    """
    return METHODS[config.method]


def test_of(fingerprints: Iterable[Any], config: Config, everywhere: bool) -> Test:
    """Make the test of images against fingerprints, given by their rows in any order.

    Parameters
    ----------
    fingerprints : rows of `fingerprints`
    config : Config
    everywhere : bool
        Whether they are looked for at other alignments and sizes too.
    """
    by_size: dict[Size, list[Any]] = {}
    for row in sorted(fingerprints, key=lambda row: str(row.fingerprint_id)):
        by_size.setdefault((row.width, row.height), []).append(row)
    return method_of(config).test(by_size, config, everywhere)


def check_for_scans(config: Config) -> None:
    """Raise UsageError for what scheduled scans do not know."""
    if not method_of(config).scans:
        known = ", ".join(method.name for method in METHODS.values() if method.scans)
        raise UsageError(f"method: scan knows the method {known} alone")
    # The tables outlive a configuration, and residuals of two denoisers do not compare.
    if config.residual.denoiser != "wavelet":
        raise UsageError("residual.denoiser: scan knows the denoiser wavelet alone")


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
