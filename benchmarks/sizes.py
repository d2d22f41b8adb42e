"""Discovery among images of 500 sizes, on Spark, as the pile grows.

Tiles are drawn: a thousandth of the images, but 24 at least, share that of each of three makers;
1,000 photographs are the reference. `python -m benchmarks.sizes FOLDER` searches the tables in a
folder, so that a process of its own shows what that takes.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.processes import watched
from noisescope_core.config import configured
from noisescope_core.lattice.find import find
from noisescope_core.lattice.tiles import VALUES
from noisescope_core.method import say_nothing
from noisescope_core.spark.session.start import session_settings, start_session
from noisescope_core.spark.stages.lattice.pile import lattice_pile
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.schemas import SCHEMAS, arrow_schema

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from noisescope_core.config import Config

Row = dict[str, Any]

SIZES, MAKERS, REFERENCE = 500, 3, 1000
"""Sizes of images, makers among them, and images of the reference."""

STRENGTH = 0.55
"""Of a maker's tile, in spreads of an image's: two of its images have a cosine of 0.2."""

IN_FILE = 5000
"""Rows of a file of the tables."""


def measure(folder: Path, counts: Sequence[int]) -> Iterator[Row]:
    """Yield a row for every number of images: time, jobs, rows on the driver, memory."""
    for count in counts:
        tables = folder / f"sizes-{count}"
        if not tables.exists():
            write(tables, count)
        run = watched(["-m", "benchmarks.sizes", str(tables)])
        said = {stage.name: json.loads(stage.what) for stage in run.stages}
        seconds = {stage.name: stage.seconds for stage in run.stages}
        peaks = {
            part: max(peak.get(part, 0.0) for peak in run.peaks.values())
            for part in ("driver", "JVM", "workers")
        }
        yield {
            "images": count,
            "discovery, s": seconds["collect"] + seconds["search"],
            "of these searching, s": seconds["search"],
            **said["collect"],
            **said["search"],
            **{f"{part}, MiB": peak for part, peak in peaks.items()},
        }


def write(folder: Path, count: int) -> None:
    """Write the tables of a run that discovery reads."""
    rng = np.random.default_rng(count)
    _write(folder / "reference_residuals", "reference", np.full(REFERENCE, MAKERS), rng)
    of_each = max(24, count // 1000)
    makers = np.full(count, MAKERS)
    makers[: MAKERS * of_each] = np.repeat(np.arange(MAKERS), of_each)
    _write(folder / "residuals", "image", makers, rng)
    (folder / "route").mkdir()
    routes = pa.Table.from_pylist([{"route": "pairs", "files": count}], _schema("route"))
    pq.write_table(routes, folder / "route" / "part-00000.parquet")
    (folder / "route" / "_SUCCESS").touch()


def _write(folder: Path, role: str, makers: NDArray[np.int64], rng: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    shared = np.random.default_rng(0).standard_normal((MAKERS + 1, VALUES), np.float32) * STRENGTH
    shared[MAKERS] = 0
    # Makers' images are anywhere in the table.
    makers = rng.permutation(makers)
    for first in range(0, len(makers), IN_FILE):
        rows = []
        for number, maker in enumerate(makers[first : first + IN_FILE].tolist(), first):
            tile = rng.standard_normal(VALUES, np.float32) + shared[maker]
            size = int(rng.integers(SIZES))
            rows.append(
                {
                    "path": f"{role}{number}", "image_id": f"{role}{number:07}-{maker}",
                    "width": 256 + 16 * (size % 25), "height": 256 + 16 * (size // 25),
                    "status": "scored", "format": "JPEG 4:2:0", "quantization": b"",
                    "sketch": rng.bytes(1024), "tile": tile.astype(np.float16).tobytes(),
                }
            )  # fmt: skip
        table = pa.Table.from_pylist(rows, _schema("residuals"))
        pq.write_table(table, folder / f"part-{first:07}.parquet", compression="none")
    (folder / "_SUCCESS").touch()


def _schema(name: str) -> pa.Schema:
    return arrow_schema(SCHEMAS[name])


def search(folder: str) -> None:
    """Search the tables of a folder, and say what it took as a run says it of its stages."""
    config = configured({})
    spark = start_session(config)
    with session_settings(spark, config):
        _search(spark, folder, config)
    spark.stop()


def _search(spark: SparkSession, folder: str, config: Config) -> None:
    spark.sparkContext.setJobGroup("lattices", "lattices")
    started = time.monotonic()
    pile = lattice_pile(Run(spark, folder), config, say_nothing)
    jobs = len(spark.sparkContext.statusTracker().getJobIdsForGroup("lattices"))
    said = {"Spark jobs": jobs, "rows on the driver": len(pile.tested) + len(pile.reference)}
    _say("collect", started, said)
    started = time.monotonic()
    found = {
        maker
        for row in find(pile, [], config)
        for maker, images in Counter(name.rsplit("-", 1)[1] for name in row.members).items()
        if maker != str(MAKERS) and images >= 0.9 * row.images
    }
    _say("search", started, {"makers found": f"{len(found)} of {MAKERS}"})


def _say(stage: str, started: float, said: Row) -> None:
    print(f"{stage} {time.monotonic() - started:.2f} s  {json.dumps(said)}", file=sys.stderr)


if __name__ == "__main__":
    search(sys.argv[1])
