"""Images of several sizes: one job searches them all, and finds what a search of each finds."""

import shutil

import numpy as np
import pyarrow.dataset as ds
import pytest

from noisescope_core.config import load_config
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.stages.cluster import cluster
from noisescope_core.spark.stages.whitened.correlate import correlate_bands
from noisescope_core.spark.tables.run import Run
from tests.conftest import SMALL, picture, save
from tests.runs import run_detect, verdicts_of

pytest.importorskip("pyspark")

SETTINGS = (*[s for s in SMALL if s.startswith("spark.")], "method=whitened")

SIZES = ((64, 64), (66, 80), (72, 64), (80, 66))
"""Heights and widths."""


def jobs_so_far(spark):
    return max(spark.sparkContext.statusTracker().getJobIdsForGroup(None), default=0)


@pytest.fixture(scope="module")
def runs(spark, tmp_path_factory):
    """Run on images of one size and of four, of which a dozen each share a pattern."""
    base, rng = tmp_path_factory.mktemp("sizes"), np.random.default_rng(21)
    (base / "reference").mkdir()
    for k in range(64):
        save(base / "reference" / f"{k}.png", picture(rng, (90, 90)))
    done = {}
    for count in (1, len(SIZES)):
        images = base / f"images{count}"
        images.mkdir()
        for shape in SIZES[:count]:
            pattern = rng.normal(0, 1.6, (*shape, 1))
            for k in range(22):
                name = f"{shape[0]}x{shape[1]}-{k:02}.png"
                save(images / name, picture(rng, shape) + (k < 12) * pattern)
        before, out = jobs_so_far(spark), base / f"out{count}"
        run_detect(spark, load_config(None, SETTINGS), images, base / "reference", out)
        done[count] = out, jobs_so_far(spark) - before
    return done


def test_jobs_are_as_many_for_four_sizes_as_for_one(runs):
    (_, of_one), (_, of_four) = runs[1], runs[len(SIZES)]
    assert of_one > 10
    # A table of more files may be asked once more for its first rows.
    assert of_four <= of_one + 2


def test_finds_the_generators_of_all_sizes(runs):
    rows = verdicts_of(runs[len(SIZES)][0])
    flagged = {name for name, row in rows.items() if row["is_fake"]}
    wanted = {name for name in rows if int(name[-6:-4]) < 12}
    assert len(flagged - wanted) == 0
    for height, width in SIZES:
        assert len([name for name in flagged if name.startswith(f"{height}x{width}")]) >= 10


def test_a_search_of_each_size_from_the_driver_finds_the_same(runs, spark, tmp_path):
    whole, _ = runs[len(SIZES)]
    shutil.copytree(whole, tmp_path / "run")
    again = Run(spark, str(tmp_path / "run"))
    config = load_config(None, [*SETTINGS, "spark.block_bytes=1048576"])
    correlate_bands(again, config, Progress(spark))
    cluster(again, config, Progress(spark))
    assert again.count("searched") == 0
    assert len({(row["width"], row["height"]) for row in again.rows("band_correlations")}) == 4
    assert Run(spark, str(whole)).count("band_correlations") == 0
    for table in ("fingerprints", "clusters"):
        first, second = (
            ds.dataset(folder / table).to_table().to_pylist()
            for folder in (whole, tmp_path / "run")
        )
        assert first
        for one, other in zip(first, second, strict=True):
            # Sums of halves may be added up in another order.
            assert other == {
                name: pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
                for name, value in one.items()
            }
