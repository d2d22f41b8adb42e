"""Noise residual of one image on one core, against the usual libraries."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from statistics import median
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.rivals import (
    noise_residual_means,
    noise_residual_pywavelets,
    noise_residual_skimage,
)
from noisescope_core.images.decode import decode
from noisescope_core.residual import channel_residuals, noise_residual
from noisescope_core.simulate import build_camera, photograph
from noisescope_core.whitened.planes.whitening import packed, whitened_planes

Row = dict[str, Any]

NOTE = (
    "Processor time; decoding is apart. PyWavelets with OpenCV's box filter is the same filter; "
    "scikit-image's wavelets and OpenCV's non-local means are other filters that take noise out. "
    "The whole feature is what the default method makes of a JPEG file: decoded, three residuals, "
    "whitened, in bytes."
)


def measure(rounds: int = 15) -> list[Row]:
    """Time the ways in turn, `rounds` times each; medians of processor time in milliseconds."""
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
            ways: dict[str, Callable[[], Any]] = {
                "float32": partial(noise_residual, image),
                "float64": partial(noise_residual, image, dtype=np.float64),
                "PyWavelets + OpenCV": partial(noise_residual_pywavelets, image),
                "OpenCV non-local means": partial(noise_residual_means, image),
                "decode JPEG": partial(decode, jpeg),
                "decode PNG": partial(decode, png),
                "whole feature from JPEG": partial(feature, jpeg),
            }
            if find_spec("skimage"):
                ways["scikit-image wavelets"] = partial(noise_residual_skimage, image)
            times = in_turn(ways, rounds, time.process_time)
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


def feature(data: bytes) -> NDArray[np.int8]:
    """Make what the default method stores of an image."""
    pixels = decode(data).pixels
    assert pixels is not None
    return packed(whitened_planes(channel_residuals(pixels)))


REST = 0.5
"""Seconds between two ways."""


def in_turn(
    ways: dict[str, Callable[[], Any]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Run the ways one after the other, again and again: seconds of each run but the first.

    Threads of BLAS go on spinning when a product is done, at the cost of whoever comes next: a
    short rest before each way lets them sleep.
    """
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            time.sleep(REST)
            start = clock()
            way()
            if turn:
                times[name].append(clock() - start)
    return times
