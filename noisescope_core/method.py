"""What a method is: one record of functions, numbers and words for each.

The packages `paper` and `whitened` each make one. `noisescope_core.methods` lists them: the one
place where a method is chosen by its name. docs/developing tells how to add another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from noisescope_core.config import Config, Route
from noisescope_core.cost import Rates, SizeCounts, SizePlan
from noisescope_core.images import Size
from noisescope_core.tables.rows import ClusterRow, FingerprintRow, MergingRow

Note = Callable[[str], None]
"""Takes a sentence on what is going on."""


def say_nothing(_: str) -> None:
    """Take a note and leave it."""


@dataclass(frozen=True)
class Score:
    """What the test of an image says; None where its method does not.

    Attributes
    ----------
    score : on the scale of PCE
    fingerprint_id : of the fingerprint that the image fits best
    threshold : score above which the image carries it; None where the reference's scores decide
    confidence : probability, 0..1, that the image carries it
    shift_x, shift_y : where the image lies on the fingerprint, pixels; None in place; on a lattice
        0..15, as its tile repeats
    factor : by which the image was rescaled since it was generated; None if it was not
    typical : whether the score is as the members' are, no more than one of their spreads below
    """

    score: float
    fingerprint_id: str
    threshold: float | None = None
    confidence: float | None = None
    shift_x: int | None = None
    shift_y: int | None = None
    factor: float | None = None
    typical: bool = False

    @property
    def is_fake(self) -> bool:
        """Whether the score is above the threshold; where that comes later, never."""
        return self.threshold is not None and self.score > self.threshold


PlaceTest = Callable[[str, Size, pa.Buffer], Score | None]
"""Takes an image's id, size and stored feature; None where there is nothing to test with."""

LatticeTest = Callable[[str, Size, pa.Buffer], Score | None]
"""Takes an image's id, its size and the stored tile of its noise; None if nothing is flagged."""

Test = Callable[[str, Size, pa.Buffer | None, pa.Buffer | None], Score | None]
"""Takes an image's id, size, stored feature and tile; None of these is not looked at."""


@dataclass(frozen=True)
class Extracted:
    """What a method takes of an image.

    Attributes
    ----------
    residual : (H, W) float32, grey levels
    stored : what is stored of the image
    channels : (1, h, w) or (3, h, w) float32, grey levels: residuals before they are mixed
    corner : (top, left) of `channels` in the image, pixels
    tile : mean tiles of its noise, float16, if the method looks at lattices (`methods.extracted`)
    """

    residual: NDArray[np.float32]
    stored: NDArray[Any]
    channels: NDArray[np.float32]
    corner: tuple[int, int] = (0, 0)
    tile: NDArray[np.float16] | None = None

    @property
    def cells(self) -> tuple[pa.Buffer, pa.Buffer | None]:
        """What is stored, as the test of an image takes it."""
        tile = None if self.tile is None else pa.py_buffer(self.tile.tobytes())
        return pa.py_buffer(self.stored.tobytes()), tile


@dataclass(frozen=True)
class Found:
    """What a method finds among the images of one size.

    Attributes
    ----------
    fingerprints : generators' and others, with evidence and bars
    clusters : which images were in which set, round by round or step by step
    merging : what merging took, None by methods that do not merge
    """

    fingerprints: Sequence[FingerprintRow]
    clusters: Sequence[ClusterRow] = ()
    merging: MergingRow | None = None


@dataclass(frozen=True)
class Feature:
    """An image as it is compared in memory.

    Attributes
    ----------
    image_id : sha256 of the file, or any name that tells images apart
    stored : as `Method.extract` gives it
    sketch : (1024,) uint8, from `duplicates.sketch`
    compression : of the file, in words
    watermark : of a generator's tool, None if none is known in it
    tile : mean tile of its noise, float16, None by methods that do not look at lattices
    pixels_id : sha256 of the pixels, None where nobody asks
    """

    image_id: str
    stored: NDArray[Any]
    sketch: NDArray[np.uint8]
    compression: str = ""
    watermark: str | None = None
    tile: NDArray[np.float16] | None = None
    pixels_id: str | None = None


@dataclass(frozen=True)
class LatticeFeature:
    """An image of any size as it is compared by its mean tile.

    Attributes
    ----------
    image_id, sketch, compression, watermark : as `Feature` has them
    tile : (1536,) float16, from `lattice.tiles.lattice_feature`
    """

    image_id: str
    tile: NDArray[np.float16]
    sketch: NDArray[np.uint8]
    compression: str = ""
    watermark: str | None = None


@dataclass(frozen=True)
class LatticePile:
    """Images of all sizes, in any order; those of one id count once.

    Attributes
    ----------
    tested, reference : images
    images : of the pile that the tested ones are drawn from; None if they are the pile
    """

    tested: Sequence[LatticeFeature]
    reference: Sequence[LatticeFeature]
    images: int | None = None


@dataclass(frozen=True)
class Explaining:
    """What `explain` shows of an image beside its score.

    Attributes
    ----------
    surface : of stored feature, size, fingerprint row and config: correlation at all shifts,
        (H, W) float32, no shift at [H // 2, W // 2]
    bands : of feature, image id, fingerprint row and config: what each band adds to the
        standardised score, (33,) float64; None by methods without bands
    without : of fingerprint row, image id, feature and config: the row of the fingerprint made
        without that image
    """

    surface: Callable[[NDArray[Any], Size, FingerprintRow, Config], NDArray[np.float32]]
    bands: Callable[[NDArray[Any], str, FingerprintRow, Config], NDArray[np.float64]] | None
    without: Callable[[FingerprintRow, str, NDArray[Any], Config], FingerprintRow]


@dataclass(frozen=True)
class Lattice:
    """A way of looking at images of all sizes at once, beside a method's look at one size.

    Attributes
    ----------
    extract : of pixels, what the method takes of them, and config: what is stored, float16
    find : of a pile, the patterns found in place, and config; told where to leave notes
    test : of rows of such fingerprints, and config
    explaining : for `explain`, of tiles
    least_images : images of all sizes that are needed
    """

    extract: Callable[[NDArray[np.uint8], Extracted, Config], NDArray[np.float16]]
    find: Callable[[LatticePile, Sequence[FingerprintRow], Config, Note], Sequence[FingerprintRow]]
    test: Callable[[Sequence[Any], Config], LatticeTest]
    explaining: Explaining
    least_images: int


class _Named(Protocol):
    @property
    def image_id(self) -> str:
        """Of the file."""


_Image = TypeVar("_Image", bound=_Named)


def distinct(images: Sequence[_Image]) -> list[_Image]:
    """Keep one image of each id, by ascending id."""
    by_id = {image.image_id: image for image in images}
    return [by_id[image_id] for image_id in sorted(by_id)]


class Pile(Protocol):
    """The images of one size, as a method's search looks at them, numbered in the order of `ids`.

    Each method says what else it asks of them. Arrays answer, or tables that Spark holds.
    """

    @property
    def size(self) -> Size:
        """(width, height), pixels."""

    @property
    def ids(self) -> Sequence[str]:
        """Ids of the tested images that are searched, ascending."""


@dataclass(frozen=True)
class Words:
    """What the report says of a method's figures: plain text, to be escaped by the page.

    Attributes
    ----------
    name : how the footer names the method; the citation of the paper follows it
    has_merging : whether T_merge, refined pairs, rounds and clusters are told of each size
    about : how the expected number of false alarms is introduced, such as "at most about"
    alarms_on_top : what comes on top of the expected false alarms, "" if nothing does
    purity : the purity of a fingerprint, with `{share}` in place of the figure
    purity_meaning : what that purity says, directly after it
    terms : term and meaning, in the order of the page; `{share}` stands for the share of
        photographs let through, in per cent, `{per_thousand}` for the same in a thousand
    false_alarms : of the configuration as stored: share of photographs that a threshold lets
        through, 0..1
    steps : names of the steps by which a set grows, in order; empty where sets are merged
    """

    name: str
    has_merging: bool
    about: str
    alarms_on_top: str
    purity: str
    purity_meaning: str
    terms: Sequence[tuple[str, str]]
    false_alarms: Callable[[Mapping[str, Any]], float]
    steps: Sequence[str] = ()


@dataclass(frozen=True)
class Method:
    """A method of finding generated images.

    Attributes
    ----------
    name : value of the key `method`, and name of its packages
    extract : of pixels (H, W) or (H, W, 3) uint8 and config
    read : of a stored cell: float32 values, flat or in the shape of the feature
    shape : of a size and config: shape of what is stored, (rows, values)
    dtype : of what is stored
    adapts_reference : whether the reference is made like the tested images, and headers and
        watermarks are read for that
    least_images, least_reference : images of one size that are needed
    assumed_reference : reference images of a size that a plan takes for granted
    route : of the number of files and config
    pile : of tested and reference features of one size and config: what `find` takes
    find : of a pile and config; told where to leave notes
    test : of fingerprint rows by size, config, and whether they are looked for everywhere
    everywhere : whether fingerprints are looked for at other alignments and sizes
    threshold : of a size, from its reference images' scores; None where a fingerprint has its own
    plan : stages of one size, with their costs
    explaining, words : for `explain` and the report
    scans : whether scheduled scans know the method
    lattice : how it looks at images of all sizes at once, None if it does not
    """

    name: str
    extract: Callable[[NDArray[np.uint8], Config], Extracted]
    read: Callable[[Any], NDArray[np.float32]]
    shape: Callable[[Size, Config], tuple[int, int]]
    dtype: type[np.generic]
    adapts_reference: bool
    least_images: Callable[[Config], int]
    least_reference: Callable[[Config], int]
    assumed_reference: Callable[[Config], int]
    route: Callable[[int, Config], Route]
    pile: Callable[[Sequence[Feature], Sequence[Feature], Size, Config], Any]
    find: Callable[[Any, Config, Note], Found]
    test: Callable[[Mapping[Size, Sequence[Any]], Config, bool], PlaceTest]
    everywhere: Callable[[Config], bool]
    threshold: Callable[[Sequence[float], Config], float] | None
    plan: Callable[[SizeCounts, Config, Rates], SizePlan]
    explaining: Explaining
    words: Words
    scans: bool
    lattice: Lattice | None = None
