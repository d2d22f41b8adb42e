"""A simulated image generator: a small convolutional decoder that enlarges a layer three times."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from noisescope_core.simulate.layers import (
    BILINEAR,
    SLOPE,
    Array,
    Padding,
    convolution,
    detail_of,
    leaky,
    shrunk,
    transposed_convolution,
)

Upsampling = Literal["transposed", "nearest", "bilinear"]
"""How a decoder enlarges a layer: transposed convolution, or interpolation and a convolution."""

_CHANNELS = (16, 16, 12)
"""Channels of the layers, from coarse to fine; chosen: few, so that images are made quickly."""

_NOISE_CHANNELS = 4
"""Channels of latent noise; chosen, as above."""

_FACTOR = 8
"""By which the first layer is enlarged in the end: twice by each of three layers."""

_IDENTITY = np.array([0, 1, 0], np.float32)
"""Kernel of a convolution that leaves an interpolated layer as it is."""

_INTERPOLATIONS = {"nearest": cv2.INTER_NEAREST, "bilinear": cv2.INTER_LINEAR}

# The sizes of the imperfections are set so that two images correlate as two of a CycleGAN do.
_KERNEL_ERRORS = (0.04, 0.01, 0.001)
"""Standard deviation of a layer's kernel, times the root of its channels. The last layer errs
least: its pattern repeats every other pixel and would drown the others."""

_BIAS = 0.1
"""Standard deviation of the biases."""

_CONSTANT = 0.017
"""Standard deviation of the fixed noise."""

_NOISE = 0.01
"""Standard deviation of the weights by which latent noise comes in."""

_DETAIL_BAR = 0.06
"""Contrast, of -1..1, below which texture is dropped; chosen: the painted look is seen."""

_CONTRAST = 1.2
"""Gain before the last activation, which flattens; chosen to undo that in the middle tones."""


@dataclass(frozen=True, eq=False)
class Generator:
    """Weights of one generator, in the order of the layers.

    Attributes
    ----------
    constant : ndarray of float32, shape (2 ceil(height / 8), 2 ceil(width / 8), 16)
        Fixed noise added to the second layer, as in StyleGAN's constant noise mode.
    entry : ndarray of float32, shape (7, 16)
        From 3 colours and 4 channels of latent noise to the first layer.
    skips : tuple of ndarray of float32, shape (3, channels)
        From the detail of the scene to the second and third layer, as in a U-Net.
    kernels : tuple of ndarray of float32, shape (4, 4, channels in, channels out)
        Transposed convolutions of stride 2; the last gives RGB. (3, 3, ...) where convolutions
        follow an interpolation.
    biases : tuple of ndarray of float32, shape (channels out,)
    upsampling : {"transposed", "nearest", "bilinear"}
    """

    constant: Array
    entry: Array
    skips: tuple[Array, ...]
    kernels: tuple[Array, ...]
    biases: tuple[Array, ...]
    upsampling: Upsampling = "transposed"


def build_generator(
    rng: np.random.Generator, height: int, width: int, upsampling: Upsampling = "transposed"
) -> Generator:
    """Draw the weights of a generator of images of the given size.

    Each kernel is an interpolation kernel plus random errors, like weights that training has
    brought near to it but not onto it. The errors differ between the four phases of the stride:
    that is what leaves the checkerboard of real generators (Odena, Dumoulin, Olah, Deconvolution
    and Checkerboard Artifacts, Distill 2016). After an interpolation the kernel is 3 x 3, identity
    plus errors of the same size a weight; all other weights are those of the same draw.

    The constant leaves a pattern of its own, whatever the upsampling; `World.fixed_noise` tells
    whether it is added.

    Parameters
    ----------
    rng : numpy.random.Generator
        All weights are drawn from it.
    height, width : int
        Size of the images in pixels.
    upsampling : {"transposed", "nearest", "bilinear"}
        What enlarges each layer twice: a transposed convolution of stride 2, or that interpolation
        followed by a 3 x 3 convolution.

    Returns
    -------
    Generator

    Raises
    ------
    ValueError
        Another kind of upsampling.
    """
    check_upsampling(upsampling)

    projections = [_projection(rng, channels) for channels in _CHANNELS]
    kernels, biases = _layers(rng, projections, upsampling)
    quarter = (-(-height // _FACTOR) * 2, -(-width // _FACTOR) * 2)
    noise_in = _normal(rng, _NOISE_CHANNELS, _CHANNELS[0]) * np.float32(_NOISE)
    generator = Generator(
        constant=_normal(rng, *quarter, _CHANNELS[1]) * np.float32(_CONSTANT),
        entry=np.concatenate([projections[0].into, noise_in]),
        skips=tuple(projection.into for projection in projections[1:]),
        kernels=kernels,
        biases=biases,
        upsampling=upsampling,
    )
    # Training would not leave a tint on everything: grey has to come out grey.
    grey = np.full((height, width, 3), 0.5**2.2, np.float32)
    tint = _decode(generator, np.random.default_rng(0), grey).mean((0, 1))
    return replace(generator, biases=(*biases[:-1], biases[-1] - tint))


@dataclass(frozen=True)
class _Projection:
    """From three colours into the channels of a layer, (3, channels), and back, (channels, 3)."""

    into: Array
    out_of: Array


def _normal(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape, dtype=np.float32)


def _projection(rng: np.random.Generator, channels: int) -> _Projection:
    half = np.linalg.qr(_normal(rng, channels // 2, 3))[0].T
    # Channels in pairs of opposite sign: the leaky ReLUs of a pair add up to a straight line.
    return _Projection(
        np.concatenate([half, -half], 1),
        np.asarray(np.concatenate([half.T, -half.T]) / np.float32(1 + SLOPE), np.float32),
    )


def _layers(
    rng: np.random.Generator, projections: list[_Projection], upsampling: Upsampling
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Draw the kernels and the biases of all layers: what interpolates, and errors."""
    line = BILINEAR if upsampling == "transposed" else _IDENTITY
    window = line[:, None, None, None] * line[None, :, None, None]
    targets = [*(projection.into for projection in projections[1:]), np.eye(3, dtype=np.float32)]
    kernels, biases = [], []
    for projection, target, size in zip(projections, targets, _KERNEL_ERRORS, strict=True):
        mix = projection.out_of @ target
        channels = len(projection.out_of)
        error = _normal(rng, 4, 4, *mix.shape) * np.float32(size / np.sqrt(channels))
        # All are drawn, so that generators of one draw differ in nothing but their upsampling.
        kernels.append(window * mix + error[: len(line), : len(line)])
        biases.append(_normal(rng, mix.shape[1]) * np.float32(_BIAS))
    return tuple(kernels), tuple(biases)


def check_upsampling(upsampling: str) -> None:
    """Raise ValueError unless there is such a kind of upsampling."""
    if upsampling not in get_args(Upsampling):
        kinds = ", ".join(get_args(Upsampling))
        raise ValueError(f"upsampling must be one of {kinds}, not {upsampling!r}")


def generate(generator: Generator, rng: np.random.Generator, scene: Array) -> NDArray[np.uint8]:
    """Generate an image of what a scene shows.

    Parameters
    ----------
    generator : Generator
        From `build_generator` for the scene's size.
    rng : numpy.random.Generator
        The latent noise is drawn from it.
    scene : ndarray of float32, shape (H, W, 3)
        Linear light, RGB, 0 to 1.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        RGB.
    """
    picture = np.tanh(np.float32(_CONTRAST) * _decode(generator, rng, scene))
    return np.asarray(picture * np.float32(127.5) + np.float32(128), np.uint8)


def _decode(generator: Generator, rng: np.random.Generator, scene: Array) -> Array:
    """All layers up to the last activation."""
    height, width = scene.shape[:2]
    rows, columns = (side // 2 for side in generator.constant.shape[:2])
    whole = cv2.copyMakeBorder(
        scene, 0, rows * _FACTOR - height, 0, columns * _FACTOR - width, cv2.BORDER_REPLICATE
    )
    half = shrunk(2 * np.asarray(whole, np.float32) ** np.float32(1 / 2.2) - 1)
    quarter = shrunk(half)
    eighth = shrunk(quarter)
    noise = rng.standard_normal((rows, columns, _NOISE_CHANNELS), dtype=np.float32)
    latent = np.concatenate([eighth, noise], 2)
    layer = leaky(latent @ generator.entry)
    details = (
        detail_of(quarter, eighth, _DETAIL_BAR),
        detail_of(half, quarter, _DETAIL_BAR),
    )
    for level, detail in enumerate(details):
        raised = _upsampled(generator, level, layer, "edge")
        raised += detail @ generator.skips[level]
        if level == 0:
            raised += generator.constant
        layer = leaky(raised)
    last = _upsampled(generator, len(details), layer, "constant")
    return last[:height, :width]


def _upsampled(generator: Generator, level: int, layer: Array, padding: Padding) -> Array:
    """Enlarge a layer: (h, w, c) to (2h, 2w, d)."""
    kernel, bias = generator.kernels[level], generator.biases[level]
    if generator.upsampling == "transposed":
        return transposed_convolution(layer, kernel, bias, padding)
    size = (2 * layer.shape[1], 2 * layer.shape[0])
    raised = cv2.resize(layer, size, interpolation=_INTERPOLATIONS[generator.upsampling])
    return convolution(np.asarray(raised, np.float32), kernel, bias, padding)
