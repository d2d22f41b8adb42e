"""A month of scheduled scans of a store that refuses five reads in a hundred, drawn anew each day.

`python -m benchmarks.failing FOLDER ENDPOINT` runs the days in a process of its own, on whose
environment the store depends.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
from pyarrow import fs

from benchmarks.store import rows_of, s3_server
from noisescope_core.config import load_config
from noisescope_core.simulate import write_dump
from noisescope_core.spark.scans.scan import scan
from noisescope_core.spark.scans.store import Store
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.session.start import start_session

Row = dict[str, Any]

DAYS = 30

REFUSED = 0.05
"""Share of the files of which every read of a day is refused."""

PHOTOGRAPHS, GENERATED, REFERENCE, SIDE = 500, 100, 80, 96
"""What the month brings, small, and the reference."""

SETTINGS = (
    "spark.master=local[2]", "spark.conf.spark.sql.shuffle.partitions=2", "source.attempts=2",
    "source.unreadable=0.5",
)  # fmt: skip
"""A day brings some twenty files, of which five in a hundred may well be two; and two attempts, for
a file that is refused is refused all day."""


def measure(folder: Path) -> list[Row]:
    """Run the month: a row for each day, and one for the day after it, which refuses nothing."""
    with s3_server() as (endpoint, environment):
        return rows_of("benchmarks.failing", [str(folder), endpoint], environment)


def main(folder: Path, endpoint: str) -> None:
    """Run the days, and print their rows as JSON."""
    dump = folder / "dump"
    if not dump.exists():
        write_dump(dump, photographs=PHOTOGRAPHS, generated=GENERATED, reference=REFERENCE,
                   size=SIDE, seed=5)  # fmt: skip
    system = fs.S3FileSystem(
        endpoint_override=endpoint, allow_bucket_creation=True, region="us-east-1"
    )
    for bucket in ("pile", "out"):
        system.create_dir(bucket)
    fs.copy_files(str(dump / "reference"), "pile/reference", destination_filesystem=system)
    places = "s3a://pile/images", "s3a://pile/reference"
    config = load_config(None, SETTINGS)
    spark = start_session(config, folder / "spark.log", delta=True, locations=places)
    store = Store(spark, "s3a://out/tables")
    rng = np.random.default_rng(1)
    files = sorted((dump / "images").iterdir())
    arriving = np.array_split(rng.permutation(len(files)), DAYS)
    rows: list[Row] = []
    delivered: list[str] = []
    for day in range(1, DAYS + 2):
        new = [files[k] for k in arriving[day - 1]] if day <= DAYS else []
        for file in new:
            with system.open_output_stream(f"pile/images/{day:02d}/{file.name}") as stream:
                stream.write(file.read_bytes())
            delivered.append(f"/pile/images/{day:02d}/{file.name}")
        refused = rng.random(len(delivered)) < (REFUSED if day <= DAYS else 0)
        deny = [path for path, is_refused in zip(delivered, refused, strict=True) if is_refused]
        with urlopen(Request(f"{endpoint}/_rules", json.dumps({"deny": deny}).encode(),
                             method="PUT")):  # fmt: skip
            pass
        run = scan(store, config, Progress(spark), *places)
        verdicts = store.read("current_verdicts").select("path", "status").collect()
        status = Counter(row.status for row in verdicts)
        rows.append(
            {"day": day, "delivered so far": len(delivered), "refused": len(deny),
             "files": run["files"], "unreadable": run["unreadable"],
             "in the queue": store.read("unreadable").count(), "verdicts": len(verdicts),
             "quarantined so far": status["quarantined"], "unreadable so far": status["unreadable"],
             "flagged": run["fake"]}
        )  # fmt: skip
        print(rows[-1], file=sys.stderr, flush=True)
        if len(verdicts) != len(delivered):
            raise AssertionError(f"day {day}: {len(verdicts)} verdicts of {len(delivered)} files")
    spark.stop()
    print(json.dumps(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
