"""A simulated latent decoder: one for images of all sizes, known by a tile of 8 x 8 pixels.

It knows no place: shift what it decodes by 8 pixels, and the image shifts with it. What it leaves
whatever it shows is thus the same 8 x 8 pixels again and again, as latent diffusion's decoders do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from noisescope_core.simulate.layers import (
    BILINEAR,
    SLOPE,
    Array,
    detail_of,
    leaky,
    shrunk,
    transposed_convolution,
)

STRIDE = 8
"""Pixels of an image for each place of the scene's latent: sides of images are multiples."""

_TEXTURES = 16
"""Channels that carry texture; chosen: with 8, tiles of some seeds were a product of a row with a
column, which no real decoder's is."""

_PICTURES = 6
"""Channels that carry the picture: three colours and their negatives."""

# Set so that sets of 24 images of 256 to 640 pixels a side, saved as JPEG at 88 to 96, have tiles
# such as SD v1's (lattice/evidence.py).
_BIAS = 0.2
"""What texture channels have added in each layer."""

_CONTENT = 0.05
"""Standard deviation of the weights by which the picture changes texture, for three colours."""

_GRAIN = (0.03, 0.03, 3.0)
"""Standard deviations of the grain that each layer adds to texture, drawn anew for each image."""

_LEFT = 0.019
"""Standard deviation of the tile that is left, as `_seen` has it, grey levels."""

_BLUR = 0.8
"""Standard deviation in pixels of a blur that takes from a tile what JPEG takes. Chosen: of 0.6 to
1.3, that by which the densest tiles are still dense in JPEG files."""

_DRAWS = 16
"""Draws of weights of which one is taken; chosen: enough that most tiles are dense."""

_FINE = 2
"""Times that coarse texture is taken out. Chosen: what the eye sees, training removes."""

_GREY = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of the colours in grey."""

_DETAIL_BAR = 0.01
"""Contrast, of -1..1, below which detail is dropped; chosen: photographs' texture stays."""


@dataclass(frozen=True, eq=False)
class Decoder:
    """Weights of one decoder, in the order of its three layers.

    Attributes
    ----------
    entry : ndarray of float32, shape (3, 22)
        From the colours of the scene, an eighth of its size, to channels of picture and texture.
    kernels : tuple of ndarray of float32, shape (4, 4, channels in, channels out)
        Transposed convolutions of stride 2; the last gives RGB of the picture and RGB of texture.
    biases : tuple of ndarray of float32, shape (channels out,)
    grain : tuple of float
        Standard deviations of what each layer adds to texture, drawn anew for each image.
    """

    entry: Array
    kernels: tuple[Array, ...]
    biases: tuple[Array, ...]
    grain: tuple[float, float, float] = _GRAIN


def build_decoder(rng: np.random.Generator) -> Decoder:
    """Draw the weights of a decoder.

    Half of it is trained well: the picture passes unharmed. Texture passes through random kernels
    that differ between the four phases of their stride. Those of the first layer leave a pattern of
    period 8, which the others spread over all its harmonics. The others leave a constant as it is,
    so that no strong checkerboard of period 2 or 4 arises. Of some draws that with the densest tile
    is taken: a tile that is nearly a product of a row with a column is not like a real decoder's.

    Parameters
    ----------
    rng : numpy.random.Generator
        All weights are drawn from it.

    Returns
    -------
    Decoder
    """
    drawn = [_drawn(rng) for _ in range(_DRAWS)]
    tiles = [_seen(decoder) for decoder in drawn]
    best = int(np.argmax([_density(tile) for tile in tiles]))
    kernels = drawn[best].kernels
    gains = np.ones(6, np.float32)
    gains[3:] = _LEFT / tiles[best].std()
    return replace(drawn[best], kernels=(*kernels[:2], kernels[2] * gains))


def _drawn(rng: np.random.Generator) -> Decoder:
    """Draw weights whose texture has no measure yet."""
    channels = _PICTURES + _TEXTURES
    entry = np.zeros((3, channels), np.float32)
    entry[:, :_PICTURES] = _pairs()
    entry[:, _PICTURES:] = _normal(rng, 3, _TEXTURES) * np.float32(_CONTENT / np.sqrt(3))
    hidden = np.zeros(channels, np.float32)
    hidden[_PICTURES:] = _BIAS
    kernels = (
        _kernel(_random_kernel(rng, _TEXTURES), _pairs()),
        _kernel(_balanced(_random_kernel(rng, _TEXTURES)), _pairs()),
        _kernel(_balanced(_random_kernel(rng, 3)), np.eye(3, dtype=np.float32)),
    )
    return Decoder(entry, kernels, (hidden, hidden, np.zeros(6, np.float32)))


def _seen(decoder: Decoder) -> NDArray[np.float64]:
    """Tile of 8 x 8 that mid-grey leaves in grey, off the axes, blurred as JPEG does: grey levels.

    With its grain the last leaky ReLU is a straight line on average; a large bias makes it one
    without, and the last kernels leave nothing of that.
    """
    raised = decoder.biases[1].copy()
    raised[_PICTURES:] += 100
    layer = np.zeros((6, 6, 3), np.float32) @ decoder.entry + decoder.biases[0]
    for kernel, bias in zip(decoder.kernels, (decoder.biases[0], raised, 0), strict=True):
        layer = transposed_convolution(leaky(layer), kernel, np.asarray(bias, np.float32), "edge")
    middle = _fine(layer[..., 3:])[2 * STRIDE : 3 * STRIDE, 2 * STRIDE : 3 * STRIDE]
    frequency = np.fft.fftfreq(STRIDE)
    kept = np.exp(-2 * np.square(np.pi * _BLUR * frequency)) * (frequency != 0)
    spectrum = np.fft.fft2(middle @ _GREY) * kept[:, None] * kept
    return np.asarray(np.fft.ifft2(spectrum).real * 127.5)


def _density(tile: NDArray[np.float64]) -> float:
    """Share of a tile's energy that two products of a row with a column leave, 0..1."""
    energies = np.square(np.linalg.svd(tile, compute_uv=False))
    return float(energies[2:].sum() / energies.sum())


def _pairs() -> Array:
    """From three colours to channels in pairs, whose leaky ReLUs add up to a straight line."""
    same = np.eye(3, dtype=np.float32)
    return np.concatenate([same, -same], 1)


def _normal(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape, dtype=np.float32)


def _random_kernel(rng: np.random.Generator, channels: int) -> Array:
    """(4, 4, 16, channels) such that unrelated inputs keep their size."""
    return _normal(rng, 4, 4, _TEXTURES, channels) / np.float32(2 * np.sqrt(_TEXTURES))


def _balanced(kernel: Array) -> Array:
    """Let a constant leave nothing: the four weights of each phase add up to 0."""
    phases = kernel.reshape(2, 2, 2, 2, *kernel.shape[2:])
    return np.asarray((phases - phases.mean((0, 2), keepdims=True)).reshape(kernel.shape))


def _kernel(texture: Array, out: Array) -> Array:
    """Put a layer together: the picture is interpolated, texture has a kernel (4, 4, 16, d)."""
    back = _pairs().T / np.float32(1 + SLOPE)
    window = (BILINEAR[:, None] * BILINEAR)[..., None, None]
    pictures, textures = out.shape[1], texture.shape[3]
    kernel = np.zeros((4, 4, _PICTURES + _TEXTURES, pictures + textures), np.float32)
    kernel[:, :, :_PICTURES, :pictures] = window * (back @ out)
    kernel[:, :, _PICTURES:, pictures:] = texture
    return kernel


def decode_scene(
    decoder: Decoder, rng: np.random.Generator, scene: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Generate an image of what a scene shows.

    Parameters
    ----------
    decoder : Decoder
    rng : numpy.random.Generator
        Grain is drawn from it.
    scene : ndarray of float32, shape (H, W, 3)
        Linear light, RGB, 0 to 1; sides are multiples of 8.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        RGB.

    Raises
    ------
    ValueError
        A side is no multiple of 8.

    Examples
    --------
    >>> decoder = build_decoder(np.random.default_rng(0))
    >>> decode_scene(decoder, np.random.default_rng(1), np.zeros((24, 40, 3), np.float32)).shape
    (24, 40, 3)
    """
    height, width = scene.shape[:2]
    if height % STRIDE or width % STRIDE:
        raise ValueError(f"sides must be multiples of {STRIDE}, not {width}x{height}")
    half = shrunk(2 * np.asarray(scene, np.float32) ** np.float32(1 / 2.2) - 1)
    quarter = shrunk(half)
    eighth = shrunk(quarter)
    layer = _grained(rng, eighth @ decoder.entry + decoder.biases[0], decoder.grain[0])
    details = (
        detail_of(quarter, eighth, _DETAIL_BAR),
        detail_of(half, quarter, _DETAIL_BAR),
    )
    for level, detail in enumerate(details):
        raised = transposed_convolution(
            leaky(layer), decoder.kernels[level], decoder.biases[level], "edge"
        )
        raised[..., :_PICTURES] += detail @ _pairs()
        layer = _grained(rng, raised, decoder.grain[level + 1])
    both = transposed_convolution(leaky(layer), decoder.kernels[2], decoder.biases[2], "edge")
    picture, texture = both[..., :3], both[..., 3:]
    levels = (picture + _fine(texture)) * np.float32(127.5) + np.float32(128)
    return np.asarray(np.clip(levels, 0, 255), np.uint8)


def _fine(texture: Array) -> Array:
    """Take what is coarse from texture, (H, W, 3)."""
    for _ in range(_FINE):
        texture = np.asarray(texture - cv2.blur(texture, (3, 3)), np.float32)
    return texture


def _grained(rng: np.random.Generator, layer: Array, deviation: float) -> Array:
    """Add grain to the texture channels of a layer, (h, w, 22), in place."""
    grain = _normal(rng, *layer.shape[:2], _TEXTURES)
    layer[..., _PICTURES:] += np.float32(deviation) * grain
    return layer
