"""Images that wait for a claim, and the search among them."""

from pyspark.sql import functions as F

from noisescope_core.config import load_config
from noisescope_core.spark.scans.search import _write_waiting
from noisescope_core.spark.stages.verdicts import write_verdicts
from noisescope_core.spark.tables.frames import frame
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.schemas import ANSWER, SCHEMAS, names_in


def test_a_file_that_was_replaced_under_its_name_may_wait_with_both_contents(spark, tmp_path):
    config, run = load_config(), Run(spark, str(tmp_path))
    about = {"path": "/pile/a.png", "status": "scored", "width": 96, "height": 96}
    contents = [{"image_id": name, **about} for name in ("before", "after")]
    wait = frame(spark, contents, SCHEMAS["residuals"])
    for table in ("files", "calibration"):
        run.write_rows(table, [])
    assert _write_waiting(run, config, wait, []) == 2
    answers = wait.withColumns({name: F.lit(None) for name in names_in(ANSWER)})
    write_verdicts(run, config, answers, frame(spark, [], SCHEMAS["scores"]))
    judged = [row["image_id"] for row in run.rows("verdicts", "image_id")]
    assert sorted(judged) == ["after", "before"]
