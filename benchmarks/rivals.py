"""The plain way of each step, as one would write it with the usual libraries.

The benchmarks time the project against these, and the tests take them for a second opinion.
"""

from __future__ import annotations

import cv2
import numpy as np
import pywt
from numpy.typing import NDArray
from scipy import fft

GREY = (0.29893602, 0.58704307, 0.11402090)


def noise_residual_pywavelets(
    image: NDArray[np.uint8], sigma: float = 2.0, levels: int = 4
) -> NDArray[np.float64]:
    """Noise residual with PyWavelets' transform and OpenCV's box filter.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) uint8, RGB

    Returns
    -------
    (H, W) float64
    """
    planes = image.astype(np.float64)
    if planes.ndim == 2:
        return _channel(planes, sigma, levels)
    residuals = [_channel(planes[:, :, c], sigma, levels) for c in range(3)]
    return sum(w * r for w, r in zip(GREY, residuals, strict=True))  # type: ignore[return-value]


def _channel(plane: NDArray[np.float64], sigma: float, levels: int) -> NDArray[np.float64]:
    step = 2**levels
    pads = []
    for n in plane.shape:
        extra = -(-(n + 2) // step) * step - n
        pads.append(((extra + 1) // 2, extra // 2))
    approximation = np.pad(plane, pads, mode="symmetric")
    details = []
    for _ in range(levels):
        rolled = np.roll(approximation, (-3, -3), (0, 1))
        approximation, bands = pywt.dwt2(rolled, "db4", mode="periodization")
        details.append([_shrink(band, sigma) for band in bands])
    approximation = np.zeros_like(approximation)
    for bands in reversed(details):
        approximation = pywt.idwt2((approximation, bands), "db4", mode="periodization")
        approximation = np.roll(approximation, (3, 3), (0, 1))
    (top, _), (left, _) = pads
    return approximation[top : top + plane.shape[0], left : left + plane.shape[1]]


def _shrink(band: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    energy = band * band
    variance = np.full_like(band, np.inf)
    for window in (3, 5, 7, 9):
        mean = cv2.boxFilter(energy, -1, (window, window), borderType=cv2.BORDER_CONSTANT)
        variance = np.minimum(variance, np.maximum(mean - sigma**2, 0))
    return band * sigma**2 / (variance + sigma**2)


def noise_residual_skimage(image: NDArray[np.uint8], sigma: float = 2.0) -> NDArray[np.float64]:
    """Noise residual by scikit-image's wavelet denoiser: another filter for the same step.

    Parameters
    ----------
    image : (H, W, 3) uint8, RGB

    Returns
    -------
    (H, W) float64
    """
    # Not needed to run the project: setup.cfg has it in the extra `bench`.
    from skimage.restoration import denoise_wavelet

    clean = denoise_wavelet(
        image, sigma / 255, wavelet="db4", wavelet_levels=4, channel_axis=-1, rescale_sigma=True
    )
    return (image - 255 * clean) @ np.array(GREY)  # type: ignore[no-any-return]


def noise_residual_means(image: NDArray[np.uint8], sigma: float = 2.0) -> NDArray[np.float64]:
    """Noise residual by OpenCV's non-local means: another filter for the same step.

    Parameters
    ----------
    image : (H, W, 3) uint8, RGB

    Returns
    -------
    (H, W) float64
    """
    clean = cv2.fastNlMeansDenoisingColored(image, None, sigma, sigma)
    return (image.astype(np.float64) - clean) @ np.array(GREY)  # type: ignore[no-any-return]


def pce_fft(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """PCE of one pair by its own Fourier transforms.

    Parameters
    ----------
    a, b : (H, W) float
    """
    left, right = fft.rfft2(a - a.mean()), fft.rfft2(b - b.mean())
    surface = fft.irfft2(left * right.conj(), s=a.shape)
    peak = surface[0, 0]
    energy = surface**2
    near = np.arange(-5, 6)
    energy[np.ix_(near, near)] = 0
    return float(np.sign(peak) * peak**2 / (energy.sum() / (a.size - 121)))
