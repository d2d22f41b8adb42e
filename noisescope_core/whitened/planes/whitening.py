"""Whitened colour planes: the feature of the default method.

A generator leaves more in the differences of colours than in their mix, unequally over frequency.
So a residual is kept as three planes (grey, R - G, B - G), each made flat in space (divided by
its local standard deviation) and in frequency (divided by its own smoothed spectrum). After that
unrelated images correlate like white noise, and the correlation of two images is a sum over
planes and bands of frequency that can be weighed (docs/method.md, step 1).

In come the noise residuals of an image's channels, out comes its feature, in floats or in the
bytes in which it is stored. `bands` says where its values lie.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from noisescope_core.compiled import compiled
from noisescope_core.residual import mixed
from noisescope_core.whitened.planes.bands import PLANES, Layout, layout

STORED_STEPS = 8
"""Steps of a stored value to one standard deviation. Rounding adds 0.0013 to a variance of 1, and a
byte holds up to 15.9 (docs/decisions, 7)."""

LOCAL_WINDOW = 9
"""Side of the window whose standard deviation a pixel is divided by, pixels (docs/method.md, step
1). Chosen."""

LOCAL_FLOOR = 0.02
"""Share of the mean energy that the local one is raised by (docs/method.md, step 1). Chosen: flat
areas must not be blown up."""

SPECTRUM_WINDOW = 15
"""Side of the window that a spectrum is smoothed over, bins (docs/method.md, step 1). Chosen: a bin
is one of 225, so that none is divided by itself alone."""


def whitened_planes(channels: NDArray[Any]) -> NDArray[np.float32]:
    """Make the feature of an image from the residuals of its channels.

    Parameters
    ----------
    channels : (3, H, W) or (1, H, W) float, grey levels, from `residual.channel_residuals`
        One channel stands for three equal ones, whose differences are flat.

    Returns
    -------
    (3, V) float32
        Values of each plane in the order of `layout(H, W)`; the squares of a plane sum to V, or
        to 0 if it is flat.
    """
    bins = layout(*channels.shape[1:])
    height, width = bins.shape
    channels = np.asarray(channels[:, :height, :width], np.float32)
    feature = np.zeros((len(PLANES), bins.values), np.float32)
    for k, plane in enumerate(colour_planes(channels)):
        spectrum = fft.rfft2(flattened(plane))
        power = smoothed_power(spectrum)
        values = feature[k]
        floor = np.float32(1e-12 * float(power.mean()) + 1e-30)
        energy = _gather(spectrum.ravel(), power.ravel(), floor, bins.order, bins.weights, values)
        if energy > 0:
            values *= np.float32(np.sqrt(bins.values / energy))
    return feature


def colour_planes(channels: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Make the planes `bands.PLANES` of channels, (3, H, W), or of one for three equal ones."""
    channels = np.broadcast_to(channels, (3, *channels.shape[1:]))
    red, green, blue = channels
    return mixed(channels), red - green, blue - green


def flattened(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divide a plane, (H, W), by its local standard deviation; all 0 if it has no noise."""
    energy = cv2.blur(plane * plane, (LOCAL_WINDOW, LOCAL_WINDOW), borderType=cv2.BORDER_REFLECT)
    floor = LOCAL_FLOOR * float(energy.mean())
    if floor < 1e-12:
        return np.zeros_like(plane)
    flat: NDArray[np.float32] = plane / np.sqrt(energy + np.float32(floor))
    return flat


def packed(feature: NDArray[Any]) -> NDArray[np.int8]:
    """Round a feature to the steps of 1/8 in which it is stored and shuffled.

    Parameters
    ----------
    feature : (...) float, from `whitened_planes`

    Returns
    -------
    (...) int8, -127 to 127

    Examples
    --------
    >>> packed(np.array([0.0, 1.0, -0.06, 100.0])).tolist()
    [0, 8, 0, 127]
    """
    steps = np.empty(feature.shape, np.int8)
    _rounded(np.ascontiguousarray(feature, np.float32).ravel(), steps.ravel())
    return steps


@compiled
def _rounded(values: Any, steps: Any) -> None:
    """Round values to stored steps, into `steps`."""
    for k in range(len(values)):
        steps[k] = np.rint(min(max(values[k] * STORED_STEPS, -127), 127))


def unpacked(cell: Any) -> NDArray[np.float32]:
    """Read a stored feature.

    Parameters
    ----------
    cell : buffer of 3 * V bytes, of `packed`

    Returns
    -------
    (3, V) float32
    """
    return np.frombuffer(cell, np.int8).reshape(len(PLANES), -1) * np.float32(1 / STORED_STEPS)


def smoothed_power(spectrum: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Smooth the power spectrum of a picture over `SPECTRUM_WINDOW` bins a side.

    Parameters
    ----------
    spectrum : (H, W // 2 + 1) complex64, W even

    Returns
    -------
    (H, W // 2 + 1) float32
    """
    height, half = spectrum.shape
    reach = SPECTRUM_WINDOW // 2
    padded = np.empty((height + 2 * reach, half + 2 * reach), np.float32)
    _power(spectrum, padded, reach)
    smooth = cv2.blur(padded, (SPECTRUM_WINDOW, SPECTRUM_WINDOW))
    return np.ascontiguousarray(smooth[reach:-reach, reach:-reach], np.float32)


@compiled
def _power(spectrum: Any, padded: Any, reach: int) -> None:
    """Put the power of the half spectrum, and of what surrounds it in the whole, in `padded`."""
    height, half = spectrum.shape
    for i in range(height):
        row = padded[reach + i]
        for j in range(half):
            value = spectrum[i, j]
            row[reach + j] = value.real * value.real + value.imag * value.imag
    # The other half is the first, turned about the origin.
    for i in range(height):
        row, turned = padded[reach + i], padded[reach + (height - i) % height]
        for j in range(1, reach + 1):
            row[reach - j] = turned[reach + j]
            row[reach + half - 1 + j] = turned[reach + half - 1 - j]
    for i in range(reach):
        padded[i] = padded[height + i]
        padded[reach + height + i] = padded[reach + i]


@compiled
def _gather(spectrum: Any, power: Any, floor: Any, order: Any, weights: Any, values: Any) -> float:
    """Whiten the bins into `values`, in their order, and say what their squares sum to."""
    energy = 0.0
    for k in range(len(order)):
        place = order[k]
        value = spectrum[place] * (weights[k] / np.sqrt(power[place] + floor))
        if place == 0:
            value *= 0
        values[2 * k], values[2 * k + 1] = value.real, value.imag
        energy += value.real * value.real + value.imag * value.imag
    return energy


def half_spectrum(values: NDArray[Any], bins: Layout) -> NDArray[np.complex64]:
    """Put one plane of a feature, or of a mean of features, back in the order of frequencies.

    Parameters
    ----------
    values : (V,) float
    bins : layout of the size

    Returns
    -------
    (H, W // 2 + 1) complex64
    """
    height, width = bins.shape
    spectrum = np.zeros(height * (width // 2 + 1), np.complex64)
    pairs = np.ascontiguousarray(values, np.float32).view(np.complex64)
    spectrum[bins.order] = pairs / bins.weights
    return spectrum.reshape(height, -1)


def spatial(values: NDArray[Any], bins: Layout) -> NDArray[np.float32]:
    """Turn one plane of a feature, or of a mean of features, back into a picture.

    Parameters
    ----------
    values : (V,) float
    bins : layout of the size

    Returns
    -------
    (H, W) float32
    """
    picture = fft.irfft2(half_spectrum(values, bins), s=bins.shape, norm="ortho")
    return np.asarray(picture, np.float32)
