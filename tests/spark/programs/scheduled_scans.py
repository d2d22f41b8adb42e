"""Days of scheduled scans, in a process of their own: Delta belongs to a session's start.

`python -m tests.spark.programs.scheduled_scans FOLDER JARS STORY` runs the days of one story, and
leaves what it saw in FOLDER, in a file by its name.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from noisescope_core.config import load_config
from noisescope_core.spark.session.start import session_settings, start_session
from tests.conftest import INTERPRETED
from tests.spark.programs import any_size_days, backfill_days, registry_days, scan_days

SETTINGS = (
    "spark.master=local[2]", "scan.gather=5",
    # A task more costs more than the rows that it would take from another.
    "spark.conf.spark.sql.shuffle.partitions=1",
    "spark.conf.spark.databricks.delta.snapshotPartitions=1",
    *INTERPRETED,
)  # fmt: skip

STORIES = {
    "any_size": any_size_days.run_days,
    "backfill": backfill_days.run_days,
    "registry": registry_days.run_days,
    "scan": scan_days.run_days,
}


def main(folder: Path, jars: str, story: str) -> None:
    """Run the days of a story."""
    warehouse = f"spark.conf.spark.sql.warehouse.dir={folder / 'warehouse'}"
    config = load_config(None, (*SETTINGS, warehouse, f"spark.jars={jars}"))
    spark = start_session(config, folder / "spark.log", delta=True)
    with session_settings(spark, config):
        (folder / story).mkdir()
        seen = STORIES[story](spark, config, folder / story)
        (folder / f"{story}.json").write_text(json.dumps(seen, default=repr))
    spark.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
