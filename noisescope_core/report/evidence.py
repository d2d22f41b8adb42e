"""Whose pattern a fingerprint is, in words: what was measured and what another maker's would be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from noisescope_core.lattice import evidence as tiles
from noisescope_core.whitened.makers.evidence import (
    LEAST_CLEAR,
    LEAST_COLOUR,
    LEAST_COLOUR_ALONE,
    LEAST_IMAGES,
    LEAST_PEAK,
    LEAST_SPREAD,
    LEAST_STRENGTH,
    MOST_GRID,
    MOST_HUE,
    MOST_LATTICE,
    MOST_SCALED,
    MOST_UNEVEN,
)


@dataclass(frozen=True)
class Measurement:
    """One number of the evidence, for a reader who knows none of them.

    Attributes
    ----------
    name : of the column of `fingerprints`
    value : float
    digits : to print of it
    meaning : what the number is
    otherwise : what it would be if the pattern were not a generator's
    maker : whose it would otherwise be
    against : whether the value speaks for that maker
    """

    name: str
    value: float
    digits: int
    meaning: str
    otherwise: str
    maker: str
    against: bool

    @property
    def finding(self) -> str:
        """What the value says."""
        return FINDINGS[self.maker][self.against]


@dataclass(frozen=True)
class Rule:
    """How one number of the evidence is judged.

    Attributes
    ----------
    name : of the column of `fingerprints`
    digits : to print of the value
    meaning : what the number is
    otherwise : what it would be if the pattern were not a generator's
    bound : between the values of a generator's pattern and of another maker's
    is_above : whether a generator's is above the bound
    maker : whose the pattern is if not
    """

    name: str
    digits: int
    meaning: str
    otherwise: str
    bound: float
    is_above: bool
    maker: str

    def measured(self, record: Mapping[str, Any]) -> Measurement:
        """Judge the value of a row of `fingerprints`."""
        value = float(record[self.name])
        against = value < self.bound if self.is_above else value > self.bound
        return Measurement(
            self.name, value, self.digits, self.meaning, self.otherwise, self.maker, against
        )


RULES = (
    Rule(
        "spread", 2,
        "Is it all over the picture? How well the images agree in the typical tile of 16 x 16 "
        "pixels, over the average tile: about 1 if everywhere alike.",
        f"A logo, a caption or a frame is in some places only: below {LEAST_SPREAD:g}.",
        LEAST_SPREAD, True, "overlay",
    ),
    Rule(
        "grid", 2,
        "Share of the pattern that repeats every 16 pixels or runs along lines, as the blocks of "
        "JPEG do.",
        f"Compression has nearly all of its pattern there: above {MOST_GRID:g}.",
        MOST_GRID, False, "processing",
    ),
    Rule(
        "lattice", 2,
        "Share of the rest that repeats at one distance, in many frequencies.",
        f"The edges of JPEG blocks that were resized later: above {MOST_LATTICE:g}. What a "
        "generator\u2019s upsampling repeats lies in a few frequencies and does not count.",
        MOST_LATTICE, False, "processing",
    ),
    Rule(
        "uneven", 2,
        "Whether the images have their own noise in the same places: 0 if it is spread evenly.",
        f"Blocks compressed until they are flat have noise at their edges alone: above "
        f"{MOST_UNEVEN:g}.",
        MOST_UNEVEN, False, "processing",
    ),
    Rule(
        "scaled", 2,
        "Share of the pattern at the frequencies at which the images' own noise rises and falls.",
        "A scaler rounds where it makes noise rise and fall, and leaves nothing in the colours: "
        f"above {MOST_SCALED:g}.",
        MOST_SCALED, False, "processing",
    ),
    Rule(
        "images", 0,
        "How many images share it.",
        f"A few photographs have much in common by chance: below {LEAST_IMAGES}.",
        LEAST_IMAGES, True, "device",
    ),
    Rule(
        "colour", 2,
        "Strength of the pattern in the colours, over that in the brightness; two standard errors "
        "are taken off.",
        f"A camera\u2019s sensor leaves most of its pattern in the brightness: below "
        f"{LEAST_COLOUR:g}. From {LEAST_COLOUR_ALONE:g} it decides alone.",
        LEAST_COLOUR, True, "device",
    ),
    Rule(
        "hue", 2,
        "How alike the pattern is in two differences of colours: 1 if it is the same; two standard "
        "errors are added.",
        "A sensor\u2019s is alike in both, for both are taken against its green photosites: above "
        f"{MOST_HUE:g}.",
        MOST_HUE, False, "device",
    ),
    Rule(
        "peak", 2,
        "Strength of the most prominent ring of frequencies, over its neighbours; two standard "
        "errors are taken off. Upsampling has frequencies of its own.",
        "Photosites differ one by one, so a sensor\u2019s pattern has no peak: below "
        f"{LEAST_PEAK:g}.",
        LEAST_PEAK, True, "device",
    ),
    Rule(
        "clear", 2,
        "Share of the pattern that single frequencies hold, each clear of noise.",
        f"A sensor\u2019s pattern lies in all frequencies alike: below {LEAST_CLEAR:g}.",
        LEAST_CLEAR, True, "device",
    ),
    Rule(
        "strength", 3,
        "Correlation of two of the images in the brightness.",
        f"Photosites differ by about a hundredth, which is weak: below {LEAST_STRENGTH:g}.",
        LEAST_STRENGTH, True, "device",
    ),
)  # fmt: skip
"""In the order in which they are asked; bounds are those of `whitened.evidence`."""

TILE_RULES = (
    Rule(
        "tile_shared", 1,
        "How far the energy that the images share stands out of noise, in standard errors: of what "
        "repeats every 8 pixels, in the brightness.",
        f"Below {tiles.LEAST_SHARED:g} its shape cannot be told.",
        tiles.LEAST_SHARED, True, "undetermined",
    ),
    Rule(
        "tile_dense", 2,
        "Share of it that rows times columns do not explain.",
        "Block edges, resizing, a sensor\u2019s mosaic and rounding are rows times columns: below "
        f"{tiles.LEAST_DENSE:g}.",
        tiles.LEAST_DENSE, True, "undetermined",
    ),
    Rule(
        "tile_eighths", 2,
        "Share of it that repeats every 8 pixels and not every 4 already.",
        f"Pictures reduced to half their size and some generators: below {tiles.LEAST_EIGHTHS:g}.",
        tiles.LEAST_EIGHTHS, True, "undetermined",
    ),
    Rule(
        "tile_points", 1,
        "Whether it is spread over the tile: 3 of noise.",
        "Cameras that round down leave a point in every block: above "
        f"{tiles.MOST_POINTS:g}.",
        tiles.MOST_POINTS, False, "undetermined",
    ),
    Rule(
        "tile_sixteenths", 2,
        "How far what repeats every 16 pixels only stands out, over what repeats every 8.",
        f"Subsampled colours and some phones: above {tiles.MOST_SIXTEENTHS:g}.",
        tiles.MOST_SIXTEENTHS, False, "undetermined",
    ),
    Rule(
        "tile_energy", 0,
        "Strength of the tile; 1 is the noise of one image.",
        f"Phones and cameras leave strong ones: above {tiles.MOST_ENERGY:g}.",
        tiles.MOST_ENERGY, False, "undetermined",
    ),
)  # fmt: skip
"""The same of a lattice; bounds are those of `lattice.evidence`."""

FINDINGS = {
    "overlay": ("no overlay", "as an overlay"),
    "processing": ("no processing", "as processing"),
    "device": ("no sensor", "could be a sensor"),
    "undetermined": ("as a decoder\u2019s", "others have it"),
}
"""By maker: what a value says that does not speak for it, and one that does."""

PROCESSING = {
    "grid": "nearly all of it lies on the JPEG grid and on lines",
    "lattice": "much of it repeats as the edges of resized JPEG blocks do",
    "scaled": "it lies where a scaler rounds",
    "uneven": "the images have their noise in the same places, as compressed blocks do",
}
"""By measurement that speaks for processing: why."""

OF_TILES = {
    "generator": (
        "The noise of its images repeats a tile of 16 x 16 pixels that is shaped as a decoder "
        "leaves it: dense, weak, and new every 8 pixels."
    ),
    "device": (
        "The tile is strong and a row times a column: a sensor\u2019s mosaic, or its rounding."
    ),
    "processing": (
        "The tile lies in the colours or along rows and columns alone, as what saving, scaling and "
        "apps leave."
    ),
    "undetermined": (
        "These images share a tile that the reference photographs lack, and its shape does not say "
        "whose it is: a generator\u2019s, a phone\u2019s or an app\u2019s. Look at them, and at "
        "where they come from."
    ),
}
"""By maker of a lattice: why it is taken for that."""

NO_SENSOR = (
    ({"colour", "hue"}, "is another in each colour"),
    ({"peak", "clear"}, "has frequencies of its own"),
    ({"strength"}, "is strong"),
)
"""Measurements that together speak against a sensor, and why."""


def measurements(record: Mapping[str, Any]) -> list[Measurement]:
    """List what was measured of a pattern, in the order in which the rule asks for it.

    Parameters
    ----------
    record : row of `fingerprints`

    Returns
    -------
    list of Measurement
        Empty where nothing was, as by the paper's method.
    """
    if record["cohesion"] is None:
        return []
    rules = TILE_RULES if record.get("kind") == "lattice" else RULES
    # What an earlier version found has fewer.
    return [rule.measured(record) for rule in rules if record.get(rule.name) is not None]


def reason(record: Mapping[str, Any]) -> str:
    """Say in one sentence why a pattern is taken for its maker's.

    Parameters
    ----------
    record : row of `fingerprints`

    Returns
    -------
    str
        Plain text, not escaped; "" where nothing was measured.
    """
    if record["cohesion"] is None:
        return ""
    against = {measurement.name for measurement in measurements(record) if measurement.against}
    maker = record["maker"]
    if maker == "generator" and (record["watermarked"] or 0) > 0.5:
        return "Most of its images carry the known watermark of one generator, which decides."
    if record.get("kind") == "lattice":
        return OF_TILES[maker]
    if maker == "overlay":
        return (
            "The images agree in some places of the picture only, as under a logo, a caption or a "
            "frame."
        )
    if maker == "processing":
        traces = " and ".join(trace for name, trace in PROCESSING.items() if name in against)
        return f"It is what processing leaves: {traces}."
    if maker == "device":
        return (
            "It is in the brightness, or alike in all colours, smooth in frequency and weak, as "
            "the pattern of a camera\u2019s sensor is. In doubt a pattern is taken for a "
            "device\u2019s."
        )
    traces = " and ".join(trace for names, trace in NO_SENSOR if not names & against)
    if record["colour"] >= LEAST_COLOUR_ALONE:
        traces = traces or "is in the colours"
    return (
        "It is all over the picture, as no overlay is; little of it lies where JPEG or resizing "
        f"would put it; and it {traces}, as no sensor\u2019s pattern is."
    )
