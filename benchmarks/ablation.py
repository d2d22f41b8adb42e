"""What each ingredient of the default method is worth: one removed at a time, on the same draws."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks import trials
from benchmarks.trials import Row
from noisescope_core.config import Config
from noisescope_core.experiments.methods import Answer, Method
from noisescope_core.experiments.pictures import Drawn, Pictures, Pixels
from noisescope_core.images.sketch import sketch
from noisescope_core.residual import channel_residuals
from noisescope_core.whitened.discovery import acceptance, growth
from noisescope_core.whitened.discovery import correlations as search
from noisescope_core.whitened.discovery import patterns as discovery
from noisescope_core.whitened.discovery.confidence import Bar, fit_bar
from noisescope_core.whitened.makers.evidence import gather, own_energy
from noisescope_core.whitened.makers.overlay import TILED, tile_agreement
from noisescope_core.whitened.planes import bands, whitening
from noisescope_core.whitened.planes.bands import Layout, layout
from noisescope_core.whitened.planes.products import band_correlations
from noisescope_core.whitened.planes.whitening import packed, unpacked, whitened_planes

NAMES = (
    "CycleGAN, 50 + 300",
    "CycleGAN, 20 + 300",
    "faces at 512, 50 + 200",
    "diffusion at 512, 50 + 200",
    "all three, 100 each + 500",
    "both sources mixed",
    "resized against crops",
    "crops against resized",
    "crops at 512",
)
"""Trials that are tried, of the development files."""

GREY = len(bands.BANDS) // len(bands.PLANES)
"""Bands of the first plane."""


@dataclass(frozen=True)
class Variant:
    """The default method less one ingredient.

    Attributes
    ----------
    changes : module, name and value of what stands in during extraction and search
    extracts : whether features are not the default method's
    bands : correlations used, the first so many
    repeats : with drawn signs
    """

    changes: tuple[tuple[ModuleType, str, Any], ...] = ()
    extracts: bool = False
    bands: int = len(bands.BANDS)
    repeats: int = 3


def _unflattened(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    return plane


def _equal_weights(
    scores: NDArray[np.float32], members: NDArray[np.bool_], shares: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    centre = np.median(scores[:, len(members) :], axis=1).astype(np.float64)
    return np.ones_like(centre), centre


def _quantile_bar(scores: ArrayLike, reference: ArrayLike, members: NDArray[np.bool_]) -> Bar:
    bar = fit_bar(scores, reference, members)
    z = bar.standardised(reference)
    return replace(bar, threshold=float(growth.reference_bar(z[:, None])[0]))


def _nothing(*search: object) -> None:
    return None


def _wherever(name: str, value: object) -> tuple[tuple[ModuleType, str, object], ...]:
    """Let a value stand in for a name in every module of the search that has it."""
    modules = (search, growth, acceptance, discovery)
    return tuple((module, name, value) for module in modules if hasattr(module, name))


VARIANTS = {
    "nothing": Variant(),
    "colour planes": Variant(
        (
            *_wherever("PLANES", bands.PLANES[:1]),
            *_wherever("BANDS", bands.BANDS[:GREY]),
            *_wherever("OFF_GRID", bands.OFF_GRID[:GREY]),
        ),
        bands=GREY,
    ),
    "local normalisation": Variant(((whitening, "_flatten", _unflattened),), extracts=True),
    "learned weights": Variant(_wherever("learned_weights", _equal_weights)),
    "search off the grid": Variant(
        (
            *_wherever("OFF_GRID", np.ones(len(bands.BANDS), bool)),
            (acceptance, "_search_on_grid", _nothing),
        )
    ),
    "search on the grid": Variant(((acceptance, "_search_on_grid", _nothing),)),
    "drawn signs": Variant(repeats=0),
    "bar in the gap": Variant(((discovery, "fit_bar", _quantile_bar),)),
}
"""By what is removed."""


@dataclass(frozen=True)
class Features:
    """What the default method compares, of all images of a condition.

    Attributes
    ----------
    planes : (n, 3, V) float16, `whitening.whitened_planes` as they are stored
    correlations : (33, n, n) float32
    sketches : (n, 1024) uint8
    bins : their layout
    """

    planes: NDArray[np.float16]
    correlations: NDArray[np.float32]
    sketches: NDArray[np.uint8]
    bins: Layout

    def between(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Copy the correlations of some rows: (33, m, m) float32."""
        return np.ascontiguousarray(self.correlations[:, rows][:, :, rows])


def features(listed: Pictures, config: Config) -> Features:
    """Extract and correlate the features of all images."""
    how = config.residual

    def one(pixels: Pixels) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
        channels = channel_residuals(pixels, how.sigma, how.levels, denoiser=how.denoiser)
        feature = unpacked(packed(whitened_planes(channels)))
        return feature.astype(np.float16), sketch(pixels)

    made = listed.each(one)
    planes = np.stack([feature for feature, _ in made])
    bins = layout(listed.side, listed.side)
    correlations = band_correlations(planes, planes, bins)
    return Features(planes, correlations, np.stack([small for _, small in made]), bins)


def made_by_generator(
    pattern: discovery.SharedPattern,
    agreement: NDArray[np.float64],
    error: NDArray[np.float64],
    known: Features,
    rows: NDArray[np.intp],
) -> bool:
    """Say whether the evidence speaks for a generator.

    Parameters
    ----------
    agreement, error : (33,) float, of the pattern
    rows : of the images tested, and more
    """
    planes = known.planes[rows[pattern.members]]
    mean = planes.mean(0, dtype=np.float32)
    halves = np.stack([planes[k::2].mean(0, dtype=np.float32) for k in (0, 1)])
    tiles = tile_agreement(planes[:TILED], mean, len(planes), known.bins)
    energy = np.stack([own_energy(planes[:TILED][k::2], known.bins) for k in (0, 1)])
    evidence = gather(agreement, error, tiles.reshape(len(tiles), -1), halves, energy, known.bins)
    return evidence.maker == "generator"


def ready(variant: Variant, images: Pictures, of_all: Features) -> Method:
    """Ready a variant for the features of one side."""

    def answer(drawn: Drawn) -> Answer:
        rows = images.rows(drawn)
        part = of_all.between(rows)
        shares = of_all.bins.shares()[: variant.bands]
        with _changed(variant):
            prepared = search.arrange_distinct(
                part[: variant.bands],
                of_all.sketches[rows],
                drawn.tested,
                shares / shares.sum(),
            )
            patterns = discovery.discover(prepared, acceptance.Acceptance(repeats=variant.repeats))
        sets = [
            pattern.members
            for pattern in patterns
            if made_by_generator(
                pattern, *_agreement(part, pattern.members, drawn.tested), of_all, rows
            )
        ]
        return Answer(sets, other=len(patterns) - len(sets))

    return answer


def measure(draws: int = 3, without: int = 5) -> Iterator[Row]:
    """Yield a row per variant and trial, of files saved again.

    Parameters
    ----------
    draws, without : draws of trials with generated images, and of those without
    """
    for part in trials.ready(NAMES, draws, without, "saved again"):
        config = part.experiment.configs["whitened"]
        unchanged = features(part.images, config)
        for removed, variant in VARIANTS.items():
            own = unchanged
            if variant.extracts:
                with _changed(variant):
                    own = features(part.images, config)
            for results in part.results(ready(variant, part.images, own)):
                line: Row = {"removed": removed} | trials.row(part.condition, results)
                others = [result.answer.other for result in results]
                line["not a generator's"] = float(np.mean(others))
                yield line


@contextmanager
def _changed(variant: Variant) -> Iterator[None]:
    with ExitStack() as stack:
        for module, name, value in variant.changes:
            stack.enter_context(patch.object(module, name, value))
        stack.enter_context(patch.object(search, "VIEW_BANDS", search.view_bands()))
        yield


def _agreement(
    part: NDArray[np.float32], members: NDArray[np.intp], tested: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Work out a pattern's agreement and error over all bands, also those not searched."""
    count = len(members)
    within = part[:, members][:, :, members]
    diagonal = np.arange(count)
    within[:, diagonal, diagonal] = 0
    agreement = within.sum((1, 2), dtype=np.float64) / (count * (count - 1))
    unrelated = part[:, tested:, :tested].std((1, 2), dtype=np.float64)
    return agreement, unrelated / np.sqrt(count * (count - 1) / 2)
