"""One file to what is kept of it: decoded, its noise residual, or why it has none."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisescope_core.config import Config
from noisescope_core.images import Size
from noisescope_core.images.compression import QUALITY_STEP, Compression
from noisescope_core.images.counterparts import lacking_in_words
from noisescope_core.images.decode import decode, read_header, thumbnail
from noisescope_core.images.records import Said, said_by
from noisescope_core.images.reference import (
    Header,
    Kind,
    Preparation,
    across_sizes,
    enough,
    preparations,
    prepared,
)
from noisescope_core.images.sketch import sketch
from noisescope_core.images.watermark import watermark_of
from noisescope_core.lattice.tiles import VALUES
from noisescope_core.method import Feature, LatticeFeature
from noisescope_core.methods import extracted, method_of

FLAT = 1e-3
"""Standard deviation in grey levels below which a residual is rounding, not noise."""


RESIZED = "resized to"
"""How `prepared` begins where a reference image was brought to another size."""


SAVED_AGAIN = "saved again as"
"""What comes before the compression where it was saved again."""


TESTED_TOO = "among the tested images, too, so it is no reference"
"""Why a reference image does not serve that is also to be judged."""


OF_LATTICES = (
    "image_id", "format", "quantization", "watermark", "prepared", "sketch", "tile",
)  # fmt: skip
"""Columns of `residuals` that the lattice way reads."""


def header_row(data: bytes, config: Config) -> dict[str, Any]:
    """Read what a file says of itself; no pixel is decoded.

    Returns
    -------
    dict
        Columns of `headers` (docs/tables.md) but the path. No file raises.
    """
    header = read_header(data, config.decode.max_pixels, config.decode.max_bytes)
    compression = header.compression
    return {
        "image_id": hashlib.sha256(data).hexdigest(),
        "width": header.width or None,
        "height": header.height or None,
        "format": None if compression is None else compression.format,
        "quantization": None if compression is None else compression.tables,
        "reason": header.reason or too_small(header.height, header.width, config),
    }


def tile_row(data: bytes, config: Config) -> dict[str, Any]:
    """Extract what is compared of images of all sizes.

    Returns
    -------
    dict
        `watermark`, `grey`, `sketch` and `tile` of `headers`; nothing of an image that is not
        scored, or by methods that do not look at lattices.
    """
    if method_of(config).lattice is None:
        return {}
    (row,) = residual_rows(data, config, "image", {})
    if row["status"] != "scored":
        return {}
    return {name: row[name] for name in ("pixels_id", "watermark", "grey", "sketch", "tile")}


def reference_preparations(
    in_place: Mapping[tuple[Size, Compression], int],
    tested: Mapping[tuple[Size, Compression], int],
    reference: Iterable[Header],
    config: Config,
) -> dict[str, list[Preparation]]:
    """Decide what is done to the reference images, size by size and across sizes (`reference`).

    Nobody asks for a method that takes the reference as it is (`Method.adapts_reference`).

    Parameters
    ----------
    in_place : number of distinct images by size and compression, of those searched size by size
    tested : the same of all images
    reference : distinct images
    config : Config
    """
    method = method_of(config)
    least, headers = method.least_images(config), list(reference)
    changed = preparations(
        in_place,
        headers,
        least,
        method.least_reference(config),
        config.discovery.reference,
        config.seed,
    )
    if method.lattice is None:
        return changed
    of_all: Counter[Compression] = Counter()
    for (_, compression), count in sorted(tested.items()):
        of_all[compression] += count
    return across_sizes(of_all, headers, changed, enough(in_place, least), config.seed)


def residual_rows(
    data: bytes,
    config: Config,
    role: str,
    changed: Mapping[str, list[Preparation]],
    tested: AbstractSet[str] = frozenset(),
) -> Iterator[dict[str, Any]]:
    """Decode a file and extract its noise residual, once for each size it is wanted in.

    Parameters
    ----------
    data : content of the file
    role : `image` or `reference`
    changed : what is done to reference images, by id
    tested : ids of reference images that are tested, too; they do not serve

    Yields
    ------
    dict
        Columns of `residuals` (docs/tables.md), those that are null left out. `residual` holds
        what the method stores of the image (`Method.extract`). No file raises.
    """
    row: dict[str, Any] = {
        "image_id": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "status": "quarantined",
    }
    # What is said of a reference image decides nothing, so nobody asks.
    said = said_by(data) if role == "image" else Said()
    row |= vars(said)
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
        "pixels_id": pixels_id(image.pixels),
        "format": image.compression.format,
        "quality": image.compression.quality,
        "quantization": image.compression.tables,
    }
    adapts = method_of(config).adapts_reference
    watermark = watermark_of(image.pixels) if adapts or role == "image" else None
    row |= vars(said.with_watermark(watermark))
    if adapts:
        row["watermark"] = watermark
        if watermark and role == "reference":
            reason = f"generated: carries the watermark of {watermark}"
            yield row | {"status": "unscored", "reason": reason}
            return
    if role == "reference" and row["image_id"] in tested:
        yield row | {"status": "unscored", "reason": TESTED_TOO}
        return
    wanted = changed.get(row["image_id"], [])
    if _serves_as_it_is((image.width, image.height), wanted):
        yield row | _pixels_row(image.pixels, config, role == "image")
    for preparation in wanted:
        yield row | _prepared_row(image.pixels, row["image_id"], preparation, config)


def _prepared_row(
    pixels: NDArray[np.uint8], image_id: str, preparation: Preparation, config: Config
) -> dict[str, Any]:
    """Bring a reference image to a size and save it again, as is wanted, and extract its noise."""
    width, height = preparation.size
    tall, wide = pixels.shape[:2]
    try:
        pixels = prepared(pixels, image_id, preparation)
    except Exception as error:
        return {"status": "quarantined", "reason": _unprocessed(error)}
    made = {"width": width, "height": height, "prepared": _prepared_as((wide, tall), preparation)}
    return made | _pixels_row(pixels, config, False)


def _prepared_as(size: Size, preparation: Preparation) -> str:
    """Say in words how an image of a size was prepared: the column `prepared`."""
    width, height = preparation.size
    steps = [] if size == preparation.size else [f"{RESIZED} {width} x {height}"]
    if preparation.compression is not None:
        steps.append(f"{SAVED_AGAIN} {preparation.compression}")
    return ", ".join(steps)


def _serves_as_it_is(size: Size, wanted: Sequence[Preparation]) -> bool:
    """Whether a reference image is used unprepared, too: nothing is wanted in its own size."""
    return all(preparation.size != size for preparation in wanted)


def wanted_rows(reference: Header, wanted: Sequence[Preparation]) -> set[tuple[int, int, str]]:
    """Tell the rows of `residuals` that a reference image gets.

    Parameters
    ----------
    wanted : what is done to it, as for `residual_rows`

    Returns
    -------
    set of tuple
        Width, height and `prepared`, which is empty here where it is null there.
    """
    size = reference.size
    own = {(*size, "")} if _serves_as_it_is(size, wanted) else set()
    return own | {(*one.size, _prepared_as(size, one)) for one in wanted}


def _pixels_row(pixels: NDArray[np.uint8], config: Config, with_thumbnail: bool) -> dict[str, Any]:
    row: dict[str, Any] = {}
    try:
        if with_thumbnail:
            row["thumbnail"] = thumbnail(pixels)
        if reason := too_small(pixels.shape[0], pixels.shape[1], config):
            return row | {"status": "unscored", "reason": reason}
        row["sketch"] = sketch(pixels).tobytes()
        row["grey"] = is_grey(pixels)
        noise = extracted(pixels, config)
    except Exception as error:  # As above.
        return row | {"status": "quarantined", "reason": _unprocessed(error)}
    if noise.residual.std() < FLAT:
        return row | {"status": "unscored", "reason": "flat image, no noise residual to test"}
    row["residual"] = noise.stored.tobytes()
    if noise.tile is not None:
        row["tile"] = noise.tile.tobytes()
    return row | {"status": "scored"}


def is_resized(row: Mapping[str, Any]) -> bool:
    """Whether a row of `residuals` is of a reference image that was resized, as its lattice is."""
    return str(row.get("prepared") or "").startswith(RESIZED)


def saved_as(row: Mapping[str, Any]) -> Kind | None:
    """Tell from a row of `residuals` as what kind the image was saved again; None if it was not."""
    _, again, made = str(row.get("prepared") or "").rpartition(f"{SAVED_AGAIN} ")
    name, _, quality = made.rpartition(" quality ")
    return (name, int(quality) // QUALITY_STEP) if again else None


def counterparts_in_words(
    tested: Mapping[Compression, int], reference: Iterable[tuple[Mapping[str, Any], int]]
) -> list[str]:
    """Warn of many tested images from devices and apps that the reference lacks.

    Parameters
    ----------
    tested : number of images by compression
    reference : rows with the columns of `residuals` that tell compressions, and numbers of images
    """
    as_found, again = Counter[Compression](), Counter[Kind]()
    for row, images in reference:
        if is_resized(row):
            continue  # The image as it is, or saved again in its own size, is there besides.
        if (kind := saved_as(row)) is None:
            as_found[Compression.of_row(row)] += images
        else:
            again[kind] += images
    return lacking_in_words(tested, as_found, again)


def placed_image(row: Mapping[str, Any], config: Config) -> Feature:
    """Take from a row of `residuals` what is compared of images of one size.

    The lattice of a resized reference image is none of its own.
    """
    method, size = method_of(config), (row["width"], row["height"])
    tile = None if is_resized(row) else row.get("tile")
    return Feature(
        row["image_id"],
        np.frombuffer(row["residual"], method.dtype).reshape(method.shape(size, config)),
        np.frombuffer(row["sketch"], np.uint8),
        str(Compression.of_row(row)),
        row.get("watermark"),
        np.frombuffer(tile, np.float16) if tile else None,
        row.get("pixels_id"),
    )


def pixels_id(pixels: NDArray[np.uint8]) -> str:
    """Tell pixels apart, (H, W) or (H, W, 3), whatever file they came in; grey ones are grey."""
    colour = np.broadcast_to(pixels[:, :, None], (*pixels.shape, 3)) if pixels.ndim == 2 else pixels
    return hashlib.sha256(str(colour.shape).encode() + colour.tobytes()).hexdigest()


def is_grey(pixels: NDArray[np.uint8]) -> bool:
    """Whether an image, (H, W) or (H, W, 3), has no colours, however it is stored."""
    # Of most images a few rows say that they have.
    parts = (pixels[top : top + 16] for top in range(0, len(pixels), 16))
    return pixels.ndim == 2 or all(bool((part == part[:, :, :1]).all()) for part in parts)


def lattice_image(row: Mapping[str, Any]) -> LatticeFeature:
    """Take from a row of `residuals` what is compared of images of all sizes."""
    return LatticeFeature(
        row["image_id"],
        # The tile of the image as it is comes first.
        np.frombuffer(row["tile"], np.float16, VALUES),
        np.frombuffer(row["sketch"], np.uint8),
        str(Compression.of_row(row)),
        row.get("watermark"),
    )


def too_small(height: int, width: int, config: Config) -> str | None:
    """Say why an image of this size is not scored; None if it is."""
    if min(height, width) >= config.decode.min_side:
        return None
    return f"smaller than {config.decode.min_side} pixels a side (decode.min_side)"


def _unprocessed(error: Exception) -> str:
    return f"could not be processed ({type(error).__name__})"
