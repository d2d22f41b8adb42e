"""Noise residual of an image: what a wavelet-domain Wiener filter takes away (paper, section 3).

In come pixels, out comes what the filter of each channel takes away, mixed to grey or not. The
filter is the one that camera forensics uses (Mihcak, Kozintsev, Ramchandran 1999), without the
clean-up that removes periodic patterns: those patterns are the generator's trace. Other filters can
take its place, against those who hide the trace from it (paper, adaptive defence).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
import pywt
from numpy.typing import DTypeLike, NDArray

from noisescope_core.compiled import compiled

GREY_WEIGHTS = (0.29893602, 0.58704307, 0.11402090)
"""Weights of the R, G and B residuals in the grey residual: the reference program's."""

FILTERS = ("wavelet", "blur", "nlm")
"""Denoisers: wavelet-domain Wiener filter, Gaussian blur, non-local means."""

BLUR_KERNEL, BLUR_SIGMA = 3, 0.8
"""Side and standard deviation of the Gaussian blur, pixels. Chosen: the smallest kernel, and the
standard deviation that OpenCV takes for it."""

NLM_STRENGTH, NLM_TEMPLATE, NLM_SEARCH = 3, 7, 21
"""Of non-local means: h in grey levels, sides of the patch and of the window searched in pixels.
They are OpenCV's defaults."""

WAVELET = "db4"
"""Daubechies filter in PyWavelets' words: the filter of Mihcak and others has eight taps."""

TAPS = 8
"""Length of its filters, coefficients."""

WINDOWS = (3, 5, 7, 9)
"""Sides of the windows over which local variance is measured, coefficients (the same authors)."""

REACH = WINDOWS[-1] // 2
"""Coefficients from the middle of the largest window to its edge."""


def noise_residual(
    image: NDArray[np.uint8],
    sigma: float = 2.0,
    levels: int = 4,
    dtype: DTypeLike = np.float32,
    denoiser: str = "wavelet",
) -> NDArray[np.float32]:
    """Extract the grey noise residual of one image.

    Each channel is filtered by itself; the residuals are then mixed with `GREY_WEIGHTS`.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) uint8
        Pixels 0..255, channels in RGB order. A one-channel image is its own grey.
    sigma : float
        Standard deviation of the noise assumed, in grey levels; of the wavelet filter alone.
    levels : int
        Levels of the wavelet transform; of the wavelet filter alone.
    dtype : float32 or float64
        Arithmetic and result. Against the reference program's residuals float64 stays within
        1e-5 and float32 within 1e-3 of the residual's standard deviation.
    denoiser : {"wavelet", "blur", "nlm"}
        What is taken from each channel: its estimate by the wavelet filter; its Gaussian blur, 3 x
        3 pixels, sigma 0.8; or its non-local means (Buades, Coll, Morel 2005), h 3, patches of
        7 x 7 in windows of 21 x 21 pixels, which are whole grey levels.

    Returns
    -------
    (H, W) array of `dtype`, in grey levels, mean near 0

    Raises
    ------
    ValueError
        If the image is not uint8 of one of the two shapes, or is empty, `sigma` or `levels` is out
        of range, or there is no such denoiser.

    Examples
    --------
    >>> noise_residual(np.full((64, 64, 3), 128, np.uint8)).std() < 1e-3
    np.True_
    """
    return mixed(channel_residuals(image, sigma, levels, dtype, denoiser))


def mixed(channels: NDArray[Any]) -> NDArray[Any]:
    """Mix the residuals of the channels to grey, by `GREY_WEIGHTS`.

    Parameters
    ----------
    channels : (1, H, W) or (3, H, W) float, from `channel_residuals`

    Returns
    -------
    (H, W), of the same dtype

    Examples
    --------
    >>> mixed(np.ones((3, 2, 2))).round(3).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    weights = np.asarray(GREY_WEIGHTS if len(channels) == 3 else [1], dtype=channels.dtype)
    grey: NDArray[Any] = sum(w * plane for w, plane in zip(weights, channels, strict=True))
    return grey


def channel_residuals(
    image: NDArray[np.uint8],
    sigma: float = 2.0,
    levels: int = 4,
    dtype: DTypeLike = np.float32,
    denoiser: str = "wavelet",
) -> NDArray[Any]:
    """Extract the noise residual of every channel, unmixed.

    Parameters and errors are those of `noise_residual`.

    Returns
    -------
    (C, H, W) array of `dtype` with C = 1 or 3, in grey levels

    Examples
    --------
    >>> channel_residuals(np.zeros((40, 50, 3), np.uint8)).shape
    (3, 40, 50)
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(
            f"image must be uint8 (H, W) or (H, W, 3), got {image.dtype} {image.shape}"
        )
    if image.ndim == 2:
        image = image[:, :, None]
    if image.shape[2] not in (1, 3):
        raise ValueError(f"image must have 1 or 3 channels, got {image.shape[2]}")
    if sigma <= 0 or levels < 1:
        raise ValueError(f"sigma must be above 0 and levels at least 1, got {sigma} and {levels}")
    if denoiser not in FILTERS:
        raise ValueError(f"denoiser must be one of {', '.join(FILTERS)}, got {denoiser!r}")
    if denoiser != "wavelet":
        smoothed = _blurred if denoiser == "blur" else _averaged
        whole = np.ascontiguousarray(image.transpose(2, 0, 1))
        return np.stack([plane.astype(dtype) - smoothed(plane, dtype) for plane in whole])
    low, high = _filters(np.dtype(dtype).name)
    height, width, channels = image.shape
    rows, columns = _mirror(height, levels), _mirror(width, levels)
    planes = np.empty((channels, height, width), dtype=dtype)
    for channel in range(channels):
        padded = np.empty((len(rows), len(columns)), dtype=dtype)
        _pad(image, channel, rows, columns, padded)
        _denoise(padded, low, high, padded.dtype.type(sigma * sigma), levels)
        top, left = _lead(height, len(rows)), _lead(width, len(columns))
        planes[channel] = padded[top : top + height, left : left + width]
    return planes


def _blurred(plane: NDArray[np.uint8], dtype: DTypeLike) -> NDArray[Any]:
    """Blur a channel, (H, W)."""
    side = (BLUR_KERNEL, BLUR_KERNEL)
    # Edges are mirrored as for the wavelet filter.
    blurred = cv2.GaussianBlur(plane.astype(dtype), side, BLUR_SIGMA, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, dtype)


def _averaged(plane: NDArray[np.uint8], dtype: DTypeLike) -> NDArray[Any]:
    """Average a channel, (H, W), over patches that look alike."""
    means = cv2.fastNlMeansDenoising(plane, None, NLM_STRENGTH, NLM_TEMPLATE, NLM_SEARCH)
    return np.asarray(means, dtype)


@cache
def _filters(dtype: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give the low and the high filter of the wavelet: (8,) each."""
    # Reconstruction filters, correlated forwards, give the original program's phase:
    # low[k] = sum_j h[j] x[2k + j].
    wavelet = pywt.Wavelet(WAVELET)
    return np.array(wavelet.rec_lo, dtype=dtype), np.array(wavelet.rec_hi, dtype=dtype)


def _lead(size: int, padded: int) -> int:
    """Count the pixels that come before the image on a padded axis."""
    return (padded - size + 1) // 2


@cache
def _mirror(size: int, levels: int) -> NDArray[np.intp]:
    """Index an axis mirrored at its ends: the edge pixel is repeated, the larger half comes first.

    The padded axis is halved `levels` times, and is two pixels longer at least.
    """
    step = 2**levels
    padded = -(-(size + 2) // step) * step
    lead = _lead(size, padded)
    indices: NDArray[np.intp] = np.pad(
        np.arange(size), (lead, padded - size - lead), mode="symmetric"
    )
    return indices


@compiled
def _pad(image: Any, channel: Any, rows: Any, columns: Any, out: Any) -> None:
    """Take rows and columns of one channel, into `out`."""
    for i in range(out.shape[0]):
        source = image[rows[i]]
        for j in range(out.shape[1]):
            out[i, j] = source[columns[j], channel]


@compiled
def _denoise(x: Any, low: Any, high: Any, variance: Any, levels: int) -> None:
    """Replace x by its noise: transform, shrink every detail band, drop the rest, transform back.

    The bands lie in x as usual: after a level the low half comes first on both axes.
    """
    height, width = x.shape
    scratch = np.empty_like(x)
    for level in range(levels):
        h, w = height >> level, width >> level
        _analyse(x, scratch, h, w, low, high)
    for level in range(levels - 1, -1, -1):
        h, w = height >> level, width >> level
        h2, w2 = h // 2, w // 2
        if level == levels - 1:
            x[:h2, :w2] = 0
        _shrink(x[:h2, w2:w], variance)
        _shrink(x[h2:h, :w2], variance)
        _shrink(x[h2:h, w2:w], variance)
        _synthesise(x, scratch, h, w, low, high)


@compiled
def _analyse(x: Any, scratch: Any, h: int, w: int, low: Any, high: Any) -> None:
    """Transform the first h rows and w columns of x one level down, in place."""
    h2, w2 = h // 2, w // 2
    for k in range(h2):
        top, bottom = scratch[k, :w], scratch[h2 + k, :w]
        top[:] = 0
        bottom[:] = 0
        for j in range(TAPS):
            row = x[(2 * k + j) % h, :w]
            a, b = low[j], high[j]
            for c in range(w):
                top[c] += a * row[c]
                bottom[c] += b * row[c]
    even = np.empty(w2 + TAPS, x.dtype)
    odd = np.empty(w2 + TAPS, x.dtype)
    for i in range(h):
        row = scratch[i, :w]
        for c in range(w2):
            even[c] = row[2 * c]
            odd[c] = row[2 * c + 1]
        for c in range(TAPS // 2):
            even[w2 + c] = even[c % w2]
            odd[w2 + c] = odd[c % w2]
        left, right = x[i, :w2], x[i, w2:w]
        for c in range(w2):
            left[c] = (
                low[0] * even[c] + low[1] * odd[c] + low[2] * even[c + 1] + low[3] * odd[c + 1]
                + low[4] * even[c + 2] + low[5] * odd[c + 2] + low[6] * even[c + 3]
                + low[7] * odd[c + 3]
            )  # fmt: skip
        for c in range(w2):
            right[c] = (
                high[0] * even[c] + high[1] * odd[c] + high[2] * even[c + 1] + high[3] * odd[c + 1]
                + high[4] * even[c + 2] + high[5] * odd[c + 2] + high[6] * even[c + 3]
                + high[7] * odd[c + 3]
            )  # fmt: skip


@compiled
def _synthesise(x: Any, scratch: Any, h: int, w: int, low: Any, high: Any) -> None:
    """Undo `_analyse`."""
    h2, w2 = h // 2, w // 2
    lead = TAPS // 2
    a = np.empty(w2 + lead, x.dtype)
    b = np.empty(w2 + lead, x.dtype)
    for i in range(h):
        for c in range(lead):
            a[c] = x[i, (c - lead) % w2]
            b[c] = x[i, w2 + (c - lead) % w2]
        for c in range(w2):
            a[lead + c] = x[i, c]
            b[lead + c] = x[i, w2 + c]
        row = scratch[i, :w]
        for c in range(w2):
            row[2 * c] = (
                low[0] * a[c + 4] + high[0] * b[c + 4] + low[2] * a[c + 3] + high[2] * b[c + 3]
                + low[4] * a[c + 2] + high[4] * b[c + 2] + low[6] * a[c + 1] + high[6] * b[c + 1]
            )  # fmt: skip
            row[2 * c + 1] = (
                low[1] * a[c + 4] + high[1] * b[c + 4] + low[3] * a[c + 3] + high[3] * b[c + 3]
                + low[5] * a[c + 2] + high[5] * b[c + 2] + low[7] * a[c + 1] + high[7] * b[c + 1]
            )  # fmt: skip
    x[:h, :w] = 0
    for k in range(h2):
        top, bottom = scratch[k, :w], scratch[h2 + k, :w]
        for j in range(TAPS):
            row = x[(2 * k + j) % h, :w]
            p, q = low[j], high[j]
            for c in range(w):
                row[c] += p * top[c] + q * bottom[c]


@compiled
def _shrink(band: Any, variance: Any) -> None:
    """Keep of a detail band what the Wiener filter calls noise.

    The local variance is the smallest over the windows, each the mean of squares with zeros
    outside the band, less the noise variance, floored at 0.
    """
    h, w = band.shape
    square = np.zeros(w + 2 * REACH, band.dtype)
    sums = np.zeros((len(WINDOWS), 2 * REACH + 1, w), band.dtype)
    least = np.empty(w, band.dtype)
    total = np.empty(w, band.dtype)
    for i in range(h + REACH):
        slot = i % (2 * REACH + 1)
        if i < h:
            for c in range(w):
                square[REACH + c] = band[i, c] * band[i, c]
            s0, s1, s2, s3 = sums[0, slot], sums[1, slot], sums[2, slot], sums[3, slot]
            for c in range(w):
                s0[c] = square[c + 3] + square[c + 4] + square[c + 5]
            for c in range(w):
                s1[c] = s0[c] + square[c + 2] + square[c + 6]
            for c in range(w):
                s2[c] = s1[c] + square[c + 1] + square[c + 7]
            for c in range(w):
                s3[c] = s2[c] + square[c] + square[c + 8]
        else:
            sums[:, slot] = 0
        row = i - REACH
        if row < 0:
            continue
        for size in range(len(WINDOWS)):
            reach = size + 1
            window = 2 * reach + 1
            total[:] = 0
            for r in range(row - reach, row + reach + 1):
                part = sums[size, r % (2 * REACH + 1)]
                for c in range(w):
                    total[c] += part[c]
            scale = band.dtype.type(1 / (window * window))
            if size == 0:
                for c in range(w):
                    least[c] = total[c] * scale
            else:
                for c in range(w):
                    least[c] = min(least[c], total[c] * scale)
        line = band[row]
        zero = variance - variance
        for c in range(w):
            line[c] = line[c] * variance / (max(least[c] - variance, zero) + variance)
