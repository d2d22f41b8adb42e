"""Noise residual of one image on one core, against PyWavelets with OpenCV's box filter."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.rivals import noise_residual_pywavelets
from noisescope_core.decode import decode
from noisescope_core.residual import noise_residual
from noisescope_core.simulate import build_camera, photograph

Row = dict[str, Any]


def measure(rounds: int = 15) -> list[Row]:
    """Time the ways in turn, `rounds` times each; medians in milliseconds."""
    rows: list[Row] = []
    rng = np.random.default_rng(0)
    cv2.setNumThreads(1)
    with threadpool_limits(1):
        for side in (256, 512, 1024):
            camera = build_camera(rng, side, side)
            image = np.ascontiguousarray(photograph(camera, rng, side, side))
            bgr = np.ascontiguousarray(image[:, :, ::-1])
            jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
            png = cv2.imencode(".png", bgr)[1].tobytes()
            times = in_turn(
                {
                    "float32": partial(noise_residual, image),
                    "float64": partial(noise_residual, image, dtype=np.float64),
                    "PyWavelets + OpenCV": partial(noise_residual_pywavelets, image),
                    "decode JPEG": partial(decode, jpeg),
                    "decode PNG": partial(decode, png),
                },
                rounds,
            )
            rows.append(
                {
                    "image": f"{side} x {side} x 3",
                    **{f"{name}, ms": 1e3 * median(values) for name, values in times.items()},
                    "times faster": median(
                        a / b
                        for a, b in zip(times["PyWavelets + OpenCV"], times["float32"], strict=True)
                    ),
                }
            )
    return rows


def in_turn(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Run the ways one after the other, again and again: seconds of each run but the first."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if turn:
                times[name].append(time.perf_counter() - start)
    return times
