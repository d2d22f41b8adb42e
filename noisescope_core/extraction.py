"""One file to what is kept of it: decoded, its noise residual, or why it has none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisescope_core.config import Config
from noisescope_core.images.decode import decode, thumbnail
from noisescope_core.images.reference import Preparation, prepared
from noisescope_core.images.watermark import watermark_of
from noisescope_core.residual import channel_residuals, mixed, noise_residual
from noisescope_core.whitened.planes.bands import central
from noisescope_core.whitened.planes.duplicates import sketch
from noisescope_core.whitened.planes.whitening import packed, whitened_planes

MARGIN = 64
"""Pixels around the part compared that are denoised with it, so that its border is no border."""

FLAT = 1e-3
"""Standard deviation in grey levels below which a residual is rounding, not noise."""


def residual_rows(
    data: bytes,
    config: Config,
    role: str,
    changed: Mapping[str, list[Preparation]],
) -> Iterator[dict[str, Any]]:
    """Decode a file and extract its noise residual, once for each size it is wanted in.

    Parameters
    ----------
    data : content of the file
    role : `image` or `reference`
    changed : what is done to reference images, by id

    Yields
    ------
    dict
        Columns of `residuals` (docs/tables.md), those that are null left out. `residual` holds
        float32 pixels (method `paper`) or `whitening.packed` planes. No file raises.
    """
    row: dict[str, Any] = {
        "image_id": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "status": "quarantined",
    }
    try:
        image = decode(data, config.decode.max_pixels, config.decode.max_bytes)
    except Exception as error:  # One file must not cost the run, whatever is wrong with it.
        yield row | {"reason": _unprocessed(error)}
        return
    row |= {"width": image.width or None, "height": image.height or None}
    if image.pixels is None or image.compression is None:
        yield row | {"reason": image.reason}
        return
    row |= {
        "format": image.compression.format,
        "quality": image.compression.quality,
        "quantization": image.compression.tables,
    }
    if config.method == "whitened":
        row["watermark"] = watermark_of(image.pixels)
        if row["watermark"] and role == "reference":
            reason = f"generated: carries the watermark of {row['watermark']}"
            yield row | {"status": "unscored", "reason": reason}
            return
    wanted = changed.get(row["image_id"], [])
    size = image.width, image.height
    if not any(preparation.size == size for preparation in wanted):
        yield row | _pixels_row(image.pixels, config, role == "image")
    for preparation in wanted:
        width, height = preparation.size
        again = preparation.compression
        done = [] if preparation.size == size else [f"resized to {width} x {height}"]
        done += [] if again is None else [f"saved again as {again}"]
        try:
            pixels = prepared(image.pixels, row["image_id"], preparation)
        except Exception as error:
            yield row | {"status": "quarantined", "reason": _unprocessed(error)}
            continue
        made = {"width": width, "height": height, "prepared": ", ".join(done)}
        yield row | made | _pixels_row(pixels, config, False)


def _pixels_row(pixels: NDArray[np.uint8], config: Config, with_thumbnail: bool) -> dict[str, Any]:
    row: dict[str, Any] = {}
    try:
        if with_thumbnail:
            row["thumbnail"] = thumbnail(pixels)
        if reason := too_small(pixels.shape[0], pixels.shape[1], config):
            return row | {"status": "unscored", "reason": reason}
        row["sketch"] = sketch(pixels).tobytes()
        residual, cell = noise_of(pixels, config)
    except Exception as error:  # As above.
        return row | {"status": "quarantined", "reason": _unprocessed(error)}
    if residual.std() < FLAT:
        return row | {"status": "unscored", "reason": "flat image, no noise residual to test"}
    return row | {"status": "scored", "residual": cell.tobytes()}


def too_small(height: int, width: int, config: Config) -> str | None:
    """Say why an image of this size is not scored; None if it is."""
    if min(height, width) >= config.decode.min_side:
        return None
    return f"smaller than {config.decode.min_side} pixels a side (decode.min_side)"


def _unprocessed(error: Exception) -> str:
    return f"could not be processed ({type(error).__name__})"


def noise_of(pixels: NDArray[np.uint8], config: Config) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Extract the noise residual of an image, and what the method stores of it.

    Parameters
    ----------
    pixels : (H, W) or (H, W, 3) uint8

    Returns
    -------
    residual : (H, W) float32, grey levels; by the default method of the centre that is compared
    stored : the residual, or by the default method `whitening.packed` planes
    """
    told = config.residual
    if config.method == "paper":
        residual = noise_residual(pixels, told.sigma, told.levels, denoiser=told.denoiser)
        return residual, residual
    # Images of a size are cut alike, so the cut cannot tell one from another.
    planes = central(np.atleast_3d(pixels).transpose(2, 0, 1), config.whitening.side + 2 * MARGIN)
    cut = np.ascontiguousarray(planes.transpose(1, 2, 0))
    channels = channel_residuals(cut, told.sigma, told.levels, denoiser=told.denoiser)
    channels = central(channels, config.whitening.side)
    return mixed(channels), packed(whitened_planes(channels))
