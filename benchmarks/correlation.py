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


def measure(images: int = 1000, side: int = 256, rounds: int = 3) -> list[Row]:
    """Time everything in turn in one run, all cores; medians in seconds.

    Three piles: unrelated residuals; 30 % with a common pattern whose pairs have the PCE of a
    CycleGAN's (about 9); 30 % with one that takes every pair far above the threshold.
    """
    rows: list[Row] = []
    for name, strength in (
        ("unrelated", 0.0),
        ("30 % like CycleGAN", 0.108 * 256 / side),
        ("30 % strong", 0.25),
    ):
        more = pile(images + 1, side, strength)
        residuals, flat = more[:-1], more.reshape(images + 1, -1)
        found: list[Any] = []

        def all_pairs(residuals: Any = residuals, found: list[Any] = found) -> None:
            with fft.set_workers(os.cpu_count() or 1):
                found.append(above_threshold(spectra(residuals, overwrite=True), None, THRESHOLD))

        def products(flat: Any = flat) -> None:
            # Of one array with itself NumPy would work out one half.
            for columns in (side * side, side * (side // 2 + 1)):
                flat[:-1, :columns] @ flat[1:, :columns].T

        def transforms(residuals: Any = residuals) -> None:
            with threadpool_limits(1):
                for k in range(40):
                    pce_fft(residuals[k], residuals[-1 - k])

        times = in_turn({"pairs": all_pairs, "bare": products, "fft": transforms}, rounds)
        per_pair = median(times["fft"]) / 40
        pairs = found[-1]
        few = residuals[:: max(1, images * side // 51_200)]
        fast = above_threshold(spectra(few), None, THRESHOLD)
        exact = above_threshold(spectra(few), None, THRESHOLD, exact=True)
        same = np.array_equal(fast.first, exact.first) and np.array_equal(fast.second, exact.second)
        rate = median(b / a for a, b in zip(times["pairs"], times["bare"], strict=True))
        rows.append(
            {
                "residuals": f"{images:,} of {side} x {side}, {name}",
                "all pairs, s": median(times["pairs"]),
                "bare products, s": median(times["bare"]),
                "rate of bare products": f"{rate:.0%}",
                "FFT per pair on one core, s": per_pair * pairs.compared,
                "times faster": per_pair * pairs.compared / median(times["pairs"]),
                "above T": len(pairs.pce),
                "refined": pairs.refined,
                "median PCE above T": float(np.median(pairs.pce)) if len(pairs.pce) else 0.0,
                "same pairs as exact": "yes" if same else "NO",
            }
        )
    return rows


def pile(images: int, side: int, strength: float) -> NDArray[np.float32]:
    """Noise residuals of which the first 30 % share a pattern."""
    rng = np.random.default_rng(0)
    residuals = rng.standard_normal((images, side, side), dtype=np.float32)
    pattern = rng.standard_normal((side, side), dtype=np.float32)
    residuals[: 3 * images // 10] += np.float32(strength) * pattern
    return residuals
