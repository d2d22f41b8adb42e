"""What the default method's `find` looks at, where the features are tables.

Tested images and reference images are one list here, tested images first: the reference is what
discovery holds them against. A size with more images than discovery takes is sampled; ids are
hashes, so the first of them are a random draw that does not depend on names or order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.errors import NoiseScopeError
from noisescope_core.images import Size
from noisescope_core.images.compression import Compression
from noisescope_core.method import Found
from noisescope_core.spark.session.workers import map_batches, shipped
from noisescope_core.spark.stages.means import fingerprints_of, summed_residuals
from noisescope_core.spark.stages.sets import ImageSet, image_sets, route_of
from noisescope_core.spark.stages.whitened.products import gathered, pair_products
from noisescope_core.spark.tables.run import Run
from noisescope_core.spark.tables.sizes import of_size
from noisescope_core.tables.sizes import in_arrow
from noisescope_core.whitened.find import FileFacts, Mask, MemberTiles
from noisescope_core.whitened.makers.evidence import own_energy
from noisescope_core.whitened.makers.overlay import TILED, tile_agreement, tile_grid
from noisescope_core.whitened.piles.cost import fits_one_task
from noisescope_core.whitened.planes.bands import PLANES, Layout, compared
from noisescope_core.whitened.planes.whitening import unpacked

_TILES = "half long, agreement binary, energy binary"


@dataclass(frozen=True)
class StoredPile:
    """The images of one size in the tables of a run, as `whitened.find.Pile`.

    Attributes
    ----------
    tested, reference : images that are searched
    bins : layout of the part that is compared
    weights : by id, images of the pile that each tested image stands for; None if they are the pile
    """

    run: Run
    config: Config
    tested: ImageSet
    reference: ImageSet
    bins: Layout
    weights: Mapping[str, float] | None = None

    @property
    def size(self) -> Size:
        """As `Pile` has it."""
        return self.tested.size

    @property
    def ids(self) -> Sequence[str]:
        """As `Pile` has it."""
        return self.tested.ids

    @property
    def images(self) -> int:
        """Images that are compared, tested and reference."""
        return len(self.tested) + len(self.reference)

    @property
    def pairs(self) -> int:
        """Pairs of different images among them."""
        return self.images * (self.images - 1) // 2

    @property
    def is_small(self) -> bool:
        """Whether one task searches them all."""
        return fits_one_task(self.images, self.bins, self.config)

    @property
    def stands_for(self) -> NDArray[np.float64] | None:
        """As `Pile` has it."""
        if self.weights is None:
            return None
        return np.array([self.weights[image_id] for image_id in self.ids])

    def sketches(self) -> NDArray[np.uint8]:
        """As `Pile` has it."""
        with ThreadPoolExecutor() as pool:
            parts = pool.map(self._sketches, (self.tested, self.reference))
        return np.concatenate(list(parts))

    def _sketches(self, images: ImageSet) -> NDArray[np.uint8]:
        numbers = pa.table({"number": pa.array(range(len(images)), pa.int64())})
        rows = sorted(images.residuals(self.run, numbers, "sketch").collect())
        return np.stack([np.frombuffer(row.sketch, np.uint8) for row in rows])

    def correlations(self, covered: Mask) -> NDArray[np.float32]:
        """As `Pile` has it: those of `band_correlations`, or beneath an overlay made anew."""
        if covered.any():
            sets = [(self.tested, self.reference)]
            products = pair_products(self.run, self.config, sets, covered)
            return gathered(products.toArrow().to_batches(), self.images, self.bins)
        try:
            batches = self.run.batches("band_correlations", in_arrow(self.size))
            return gathered(batches, self.images, self.bins)
        except ValueError as error:
            raise NoiseScopeError(
                f"{self.run.path('band_correlations')}: {error} of {self.size[0]} x "
                f"{self.size[1]}; remove it and run correlate again"
            ) from error

    def means(self, groups: Sequence[NDArray[np.intp]], covered: Mask) -> NDArray[np.float32]:
        """As `Pile` has it."""
        numbers = {number: group.tolist() for number, group in enumerate(groups)}
        sums = summed_residuals(self.run, self.config, self._without(covered), numbers)
        return fingerprints_of(sums, (len(PLANES), self.bins.values))

    def member_tiles(
        self, members: Sequence[NDArray[np.intp]], means: NDArray[np.float32], covered: Mask
    ) -> list[MemberTiles]:
        """As `Pile` has it."""
        # The group of a member is twice its pattern's number, and one more for every second one.
        chosen = [
            (member, 2 * number + place % 2)
            for number, group in enumerate(members)
            for place, member in enumerate(group[:TILED].tolist())
        ]
        numbers = pa.table(
            {
                "number": pa.array([member for member, _ in chosen], pa.int64()),
                "half": pa.array([half for _, half in chosen], pa.int64()),
            }
        )
        sizes = [len(group) for group in members]
        look = _tiles_reader(shipped(self.run.spark, means), sizes, self.bins)
        residuals = self._without(covered).residuals(self.run, numbers).select("half", "residual")
        rows = map_batches(residuals, look, _TILES).collect()
        shape = (-1, *tile_grid(self.bins))
        shown = []
        for number in range(len(members)):
            own = [row for row in rows if row.half // 2 == number]
            agreement = b"".join(row.agreement for row in own)
            energy = np.zeros((2, *self.bins.shape))
            for row in own:
                energy[row.half % 2] += np.frombuffer(row.energy).reshape(self.bins.shape)
            shown.append(MemberTiles(np.frombuffer(agreement, np.float32).reshape(shape), energy))
        return shown

    def files(self) -> Mapping[str, FileFacts]:
        """As `Pile` has it."""
        rows = (
            self.run.read("residuals")
            .where(of_size(self.size) & (F.col("status") == "scored"))
            .select("image_id", "format", "quantization", "watermark")
            .distinct()
            .collect()
        )
        return {
            row.image_id: FileFacts(str(Compression.of_row(row)), row.watermark) for row in rows
        }

    def _without(self, covered: Mask) -> ImageSet:
        return replace(self.tested, covered=covered) if covered.any() else self.tested


def _tiles_reader(
    ready: Callable[[], NDArray[np.float32]], sizes: Sequence[int], bins: Layout
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Make the function that shows what members show of their patterns, halves apart."""

    def look(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        means = ready()
        for batch in batches:
            halves = batch["half"].to_numpy()
            cells = [unpacked(cell.as_buffer()) for cell in batch["residual"]]
            for half in np.unique(halves):
                number = half // 2
                features = np.stack([cells[row] for row in np.flatnonzero(halves == half)])
                agreement = tile_agreement(features, means[number], sizes[number], bins)
                energy = own_energy(features, bins)
                yield pa.record_batch(
                    [
                        pa.array([half]),
                        pa.array([agreement.tobytes()]),
                        pa.array([energy.tobytes()]),
                    ],
                    ["half", "agreement", "energy"],
                )

    return look


def stored_piles(run: Run, config: Config) -> list[StoredPile]:
    """List what is searched of every size that can be decided."""
    tested, reference = image_sets(run, "residuals"), image_sets(run, "reference_residuals")
    weights = None
    if route_of(run) != "pairs":
        drawn = run.rows("sample", "image_id", "stands_for")
        weights = {row["image_id"]: row["stands_for"] for row in drawn}
        tested = {size: images.only(weights.keys()) for size, images in tested.items()}
    rows = run.rows("calibration", "width", "height", "reason")
    sizes = sorted((row["width"], row["height"]) for row in rows if row["reason"] is None)
    limits = config.discovery
    return [
        StoredPile(
            run,
            config,
            tested[size].first(limits.images),
            reference[size].first(limits.reference),
            compared(size[1], size[0], config.whitening.side),
            weights,
        )
        for size in sizes
    ]


def makers_in_words(results: Sequence[Found]) -> str:
    """Say how many patterns were found of every maker."""
    makers = Counter(row.maker for found in results for row in found.fingerprints)
    counts = ", ".join(f"{maker} {count}" for maker, count in sorted(makers.items()))
    return f"shared patterns by maker: {counts or 'none'}"


def count_pairs(run: Run) -> Iterator[tuple[Size, dict[str, int]]]:
    """Count the pairs that were compared of each size."""
    # Blocks of images are the same in every part of a band.
    blocks = {
        (row["width"], row["height"], row["first"], row["compared"])
        for row in run.rows("band_correlations", "width", "height", "band", "first", "compared")
        if row["band"] == 0
    }
    for width, height, _, compared_pairs in blocks:
        yield (width, height), {"pairs": compared_pairs}
    for row in run.rows("searched", "width", "height", "compared"):
        if row["compared"] is not None:
            yield (row["width"], row["height"]), {"pairs": row["compared"]}
