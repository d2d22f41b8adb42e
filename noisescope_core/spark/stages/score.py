"""Stage 5: test every image against the fingerprints found, and write the verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.dataset as ds
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.extraction import RESIZED
from noisescope_core.fingerprint import member_of_pixels
from noisescope_core.images import Size
from noisescope_core.lattice.detector import is_rival
from noisescope_core.method import Score, Test
from noisescope_core.methods import method_of, test_of
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.session.start import ROWS_PER_BATCH
from noisescope_core.spark.session.workers import map_batches, once, one_task, shipped
from noisescope_core.spark.stages.extract import extractor
from noisescope_core.spark.stages.listing import check_unreadable, read_again, write_read
from noisescope_core.spark.stages.sets import route_of
from noisescope_core.spark.stages.verdicts import stored_answers, write_verdicts
from noisescope_core.spark.tables.run import Run
from noisescope_core.spark.tables.sizes import of_sizes
from noisescope_core.tables.rows import FingerprintRow
from noisescope_core.tables.schemas import (
    ANSWER,
    CALIBRATED,
    SCHEMAS,
    arrow_schema,
    columns,
    names_in,
)
from noisescope_core.tables.storage import file_system, with_retries

_ANSWER = arrow_schema(ANSWER)

_MEMBERS = ("members", "member_pixels")

_TESTED = (
    "fingerprint_id", "kind", "width", "height", "images", "flagged", "maker", "last_scan",
    *names_in(CALIBRATED), "elsewhere_centre", "elsewhere_spread", *_MEMBERS, "covered",
    "whitened", "background",
)  # fmt: skip
"""Columns that the test of an image is made of, by the default method."""


@dataclass(frozen=True)
class Tests:
    """What images are tested against.

    Attributes
    ----------
    ready : gives the test of one image, on a worker too
    sizes : of the images that are tested, None for all
    fingerprints : number of generators' fingerprints
    false_alarms : gives the test against patterns known to be no generator's, None without any
    member_of : gives `fingerprint.member_of_pixels` of all that is tested against
    """

    ready: Callable[[], Test]
    sizes: AbstractSet[Size] | None
    fingerprints: int
    false_alarms: Callable[[], Test] | None = None
    member_of: Callable[[], Mapping[str, str]] = dict


def score(run: Run, config: Config, progress: Progress) -> None:
    """Read `residuals` and `fingerprints`, write `scores` and `verdicts`.

    Of a pile that was searched by shards the files are read again, in one pass from bytes to
    answers: then `scans` is written too.
    """
    found = found_in(run)
    tests = tests_of(run.spark, found, config, ())
    by_shards = route_of(run) == "shards"
    with progress.stage("score", run.count("files"), "files") as stage:
        if by_shards:
            images = scanned(run, config, tests, read_again(run, config))
        else:
            images = _scored(run.read("residuals"), tests, "image")
        # A photograph is held against other alignments once, in its own size.
        reference = run.read("reference_residuals")
        resized = F.coalesce("prepared", F.lit("")).startswith(RESIZED)
        native = _scored(reference.where(~resized), tests, "reference")
        made = _scored(
            reference.where(resized),
            tests_of(run.spark, found, config, (), elsewhere=False),
            "reference",
        )
        run.write("scores", images.unionByName(native).unionByName(made))
        stage.finish("verdicts")
        answers = run.read("scores")
        judged = run.read("scans") if by_shards else stored_answers(run, answers)
        write_verdicts(run, config, judged, answers)
        stage.done(f"generators' fingerprints: {tests.fingerprints}")


def found_in(run: Run) -> list[FingerprintRow]:
    """Read what a run found that takes part in a test: generators' fingerprints and lattices."""
    wanted = ds.field("flagged") | (ds.field("kind") == "lattice")
    return [FingerprintRow(**row) for row in run.rows("fingerprints", where=wanted)]


def tests_of(
    spark: SparkSession,
    fingerprints: Sequence[Any],
    config: Config,
    false_alarms: Sequence[Any],
    elsewhere: bool = True,  # noqa: PT028  # No test, in spite of its name.
    stored: str | None = None,  # noqa: PT028
) -> Tests:
    """Ready fingerprints, rows of the table, and those known to be no generator's.

    Not `elsewhere`, they are looked for in place alone, whatever the configuration says.

    Of those that flag nothing, rivals count alone (`lattice.detector.is_rival`).

    They travel to the executors with the function that uses them, see `shipped`; but if the rows
    have no features, the workers read these themselves out of the table `tested`, `stored` there.
    """
    flagged = [row for row in fingerprints if row.flagged]
    everywhere = elsewhere and method_of(config).everywhere(config) and bool(flagged)
    rivals = [row for row in fingerprints if is_rival(row)] if flagged else []
    rows = (*flagged, *false_alarms)
    sizes = {(row.width, row.height) for row in rows}
    tested, alarms = (
        _on_workers(spark, some, stored) for some in ([*flagged, *rivals], false_alarms)
    )
    return Tests(
        once(lambda: test_of(tested(), config, everywhere)),
        None if everywhere or any(row.kind == "lattice" for row in rows) else sizes,
        len(flagged),
        once(lambda: test_of(alarms(), config, False)) if false_alarms else None,
        once(lambda: member_of_pixels([*tested(_MEMBERS), *alarms(_MEMBERS)])),
    )


class _Rows(Protocol):
    def __call__(self, names: Sequence[str] = _TESTED) -> list[Any]:
        """Give rows of fingerprints with the columns named, or with more."""


def _on_workers(spark: SparkSession, rows: Sequence[Any], stored: str | None) -> _Rows:
    if stored is not None:
        ids = sorted({row.fingerprint_id for row in rows})
        return lambda names=_TESTED: with_retries(lambda: list(read_tested(stored, ids, names)))
    # Most lattices of a run share one background, which is large.
    cells: dict[bytes, bytes] = {}
    light = [
        SimpleNamespace(
            **{name: getattr(row, name, None) for name in _TESTED}
            | {
                "background": cells.setdefault(cell, cell) if (cell := row.background) else None,
                "pixels": None if row.whitened else row.pixels,
            }
        )
        for row in rows
    ]
    received = shipped(spark, light)
    return lambda names=_TESTED: received()


def read_tested(location: str, ids: Sequence[str], names: Sequence[str]) -> Iterator[Any]:
    """Read fingerprints out of the table `tested`, past Spark, on a worker.

    Parameters
    ----------
    location : of the table
    ids : of the fingerprints
    names : columns; of `background`, which many share, equal cells are one
    """
    system, path = file_system(location)
    table = ds.dataset(path, arrow_schema(SCHEMAS["tested"]), filesystem=system, format="parquet")
    wanted = ds.field("fingerprint_id").isin(pa.array(ids, pa.string()))
    cells: dict[bytes, bytes] = {}
    ahead = {"batch_readahead": 1, "fragment_readahead": 1}
    for batch in table.to_batches(list(names), wanted, batch_size=ROWS_PER_BATCH, **ahead):
        for row in batch.to_pylist():
            if cell := row.get("background"):
                row["background"] = cells.setdefault(cell, cell)
            yield SimpleNamespace(**row)


def scanned(run: Run, config: Config, tests: Tests, content: DataFrame) -> DataFrame:
    """Decode, extract and test every file, rows of `CONTENT`, in one pass: no residual is stored.

    Writes `scans`, and returns its rows of `scores`.
    """
    test_batches = one_pass(config, tests, "scans")
    write_read(
        run, config, "scans", "image", content,
        lambda files: map_batches(files, test_batches, SCHEMAS["scans"]),
    )  # fmt: skip
    check_unreadable(run, config, "scans", "image")
    answered = run.read("scans").where("score is not null")
    return answered.select(F.lit("image").alias("role"), *columns("scores")[1:])


def one_pass(
    config: Config, tests: Tests, table: str
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Make the function that turns batches of files into batches of a table with their answers."""
    extract_batches = extractor("image", config, {})
    score_batches = scorer(tests, columns(table))

    def scan_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from score_batches(extract_batches(batches))

    return scan_batches


def _scored(residuals: DataFrame, tests: Tests, role: str) -> DataFrame:
    """Test images whose residuals are stored: rows of `scores`."""
    stored = residuals.where("status = 'scored'")
    if tests.sizes is not None:
        stored = of_sizes(stored, tests.sizes)
    named = stored.withColumn("role", F.lit(role)).select(
        *columns("scores")[:5], "pixels_id", "residual", "tile"
    )
    return map_batches(named, scorer(tests, columns("scores")), SCHEMAS["scores"])


def scorer(
    tests: Tests, names: Sequence[str]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Make the function that turns batches with residuals into batches of the columns named.

    Images of which nothing is stored, and of other sizes than those tested, get no score.
    """
    ready, sizes, ready_alarms = tests.ready, tests.sizes, tests.false_alarms
    ready_members = tests.member_of

    def score_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        test, test_alarms = ready(), ready_alarms() if ready_alarms else None
        member_of = ready_members()
        with one_task():
            for batch in batches:
                names_used = "image_id", "pixels_id", "width", "height", "residual", "tile"
                columns = [batch.column(name) for name in names_used]
                rows: list[Score | None] = []
                alarms: list[str | None] = []
                for image_id, pixels, width, height, cell, tile in zip(*columns, strict=True):
                    size = width.as_py(), height.as_py()
                    row = alarm = None
                    stored = cell.as_buffer(), tile.as_buffer()
                    if any(stored) and (sizes is None or size in sizes):
                        itself = member_of.get(pixels.as_py(), image_id.as_py())
                        image = itself, size, *stored
                        row = test(*image)
                        # A generator's pattern beneath a false alarm's, such as an overlay, is as
                        # strong as ever; less is what the two patterns have in common.
                        if test_alarms and not (row and row.is_fake and row.typical):
                            alarm = test_alarms(*image)
                    if alarm and alarm.is_fake and row and row.is_fake:
                        row = None
                    rows.append(row)
                    alarms.append(alarm.fingerprint_id if alarm and alarm.is_fake else None)
                answers = {
                    field.name: pa.array(
                        [getattr(row, field.name, None) for row in rows], field.type
                    )
                    for field in _ANSWER
                }
                answers["false_alarm"] = pa.array(alarms, pa.string())
                if "thumbnail" in names:
                    answers["thumbnail"] = pa.array(
                        [
                            picture.as_py() if row and row.is_fake else None
                            for row, picture in zip(rows, batch["thumbnail"], strict=True)
                        ],
                        pa.binary(),
                    )
                arrays = [answers[n] if n in answers else batch.column(n) for n in names]
                yield pa.RecordBatch.from_arrays(arrays, names)

    return score_batches
