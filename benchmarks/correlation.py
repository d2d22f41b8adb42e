"""PCE of all pairs, against the bare matrix products and a Fourier transform per pair."""

from __future__ import annotations

import os
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from threadpoolctl import threadpool_limits

from benchmarks.extraction import in_turn
from benchmarks.rivals import pce_fft
from noisescope_core.correlation.pairs import above_threshold
from noisescope_core.correlation.spectra import spectra

Row = dict[str, Any]
THRESHOLD = 13.0
"""PCE above which a pair is kept, as T_merge; chosen: between unrelated and strong pairs."""

TRANSFORMED = 40
"""Pairs that are timed with transforms of their own; chosen: enough for a mean."""


def measure(images: int = 1000, side: int = 256, rounds: int = 3) -> list[Row]:
    """Time everything in turn in one run, all cores; medians in seconds.

    Three piles: unrelated residuals; 30 % with a common pattern whose pairs have the PCE of a
    CycleGAN's (about 9); 30 % with one that takes every pair far above the threshold.
    """
    piles = {"unrelated": 0.0, "30 % like CycleGAN": 0.108 * 256 / side, "30 % strong": 0.25}
    return [
        {"residuals": f"{images:,} of {side} x {side}, {name}"}
        | _measured(pile(images + 1, side, strength), rounds)
        for name, strength in piles.items()
    ]


def _measured(more: NDArray[np.float32], rounds: int) -> Row:
    """Time all pairs of a pile, of which the last residual is one too many."""
    images, side = len(more) - 1, more.shape[1]
    residuals, flat = more[:-1], more.reshape(len(more), -1)
    outcomes: list[Any] = []

    def all_pairs() -> None:
        with fft.set_workers(os.cpu_count() or 1):
            outcomes.append(above_threshold(spectra(residuals, overwrite=True), None, THRESHOLD))

    def products() -> None:
        # Of one array with itself NumPy would work out one half.
        for columns in (side * side, side * (side // 2 + 1)):
            flat[:-1, :columns] @ flat[1:, :columns].T

    def transforms() -> None:
        with threadpool_limits(1):
            for k in range(TRANSFORMED):
                pce_fft(residuals[k], residuals[-1 - k])

    times = in_turn({"pairs": all_pairs, "bare": products, "fft": transforms}, rounds)
    per_pair = median(times["fft"]) / TRANSFORMED
    pairs = outcomes[-1]
    rate = median(b / a for a, b in zip(times["pairs"], times["bare"], strict=True))
    few = residuals[:: max(1, images * side // 51_200)]
    return {
        "all pairs, s": median(times["pairs"]),
        "bare products, s": median(times["bare"]),
        "rate of bare products": f"{rate:.0%}",
        "FFT per pair on one core, s": per_pair * pairs.compared,
        "times faster": per_pair * pairs.compared / median(times["pairs"]),
        "above T": len(pairs.pce),
        "refined": pairs.refined,
        "median PCE above T": float(np.median(pairs.pce)) if len(pairs.pce) else 0.0,
        "same pairs as exact": "yes" if _same_as_exact(few) else "NO",
    }


def _same_as_exact(residuals: NDArray[np.float32]) -> bool:
    fast = above_threshold(spectra(residuals), None, THRESHOLD)
    exact = above_threshold(spectra(residuals), None, THRESHOLD, exact=True)
    return np.array_equal(fast.first, exact.first) and np.array_equal(fast.second, exact.second)


def pile(images: int, side: int, strength: float) -> NDArray[np.float32]:
    """Draw noise residuals of which the first 30 % share a pattern."""
    rng = np.random.default_rng(0)
    residuals = rng.standard_normal((images, side, side), dtype=np.float32)
    pattern = rng.standard_normal((side, side), dtype=np.float32)
    residuals[: 3 * images // 10] += np.float32(strength) * pattern
    return residuals
