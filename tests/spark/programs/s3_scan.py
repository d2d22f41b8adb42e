"""A scan and a run on S3, in a process of their own: jars belong to a session's start.

`python -m tests.spark.programs.s3_scan FOLDER ENDPOINT JARS` scans s3a://pile while the server is
busy, then runs detect on it undisturbed, and leaves what came of it in FOLDER/told.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from noisescope_core.config import load_config
from noisescope_core.spark.scans.scan import scan
from noisescope_core.spark.scans.store import Store
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.session.start import session_settings, start_session
from noisescope_core.spark.stages.detect import detect
from noisescope_core.spark.tables.run import Run
from tests.conftest import INTERPRETED

SETTINGS = (
    "spark.master=local[2]", "spark.conf.spark.sql.shuffle.partitions=2", "scan.gather=5",
    "source.attempts=2",
    *INTERPRETED,
    # No half seconds of patience with a server on this machine.
    "spark.conf.spark.hadoop.fs.s3a.retry.throttle.interval=20ms",
)  # fmt: skip
IMAGES, REFERENCE = "s3a://pile/images", "s3a://pile/reference"


def main(folder: Path, endpoint: str, jars: str) -> None:
    """Scan, then run."""
    # Jars come from a folder, and nothing that Maven had before is there.
    nothing_of_maven = f"spark.jars={jars}", f"spark.conf.spark.jars.ivy={folder / 'ivy'}"
    config = load_config(None, (*SETTINGS, *nothing_of_maven))
    places = (IMAGES, REFERENCE, "s3a://out")
    spark = start_session(config, folder / "spark.log", delta=True, locations=places)
    settings = session_settings(spark, config)
    settings.__enter__()

    def rules(**some: Any) -> None:
        data = json.dumps(some).encode()
        with urlopen(Request(f"{endpoint}/_rules", data, method="PUT")):
            pass

    def asked() -> Any:
        with urlopen(f"{endpoint}/_asked") as answer:
            return json.load(answer)

    rules(busy=10, **json.loads((folder / "rules.json").read_text()))
    store = Store(spark, "s3a://out/tables")
    row = scan(store, config, Progress(spark), IMAGES, REFERENCE)
    told = {
        "scan": {name: row[name] for name in row if name not in ("started", "finished")},
        "asked": asked(),
        "tables": {
            name: [one.asDict() for one in store.read(name).collect()]
            for name in ("verdicts", "quarantine", "unreadable")
        },
    }
    rules()
    told["second"] = dict(scan(store, config, Progress(spark), IMAGES, REFERENCE))
    told["after"] = {
        name: [one.asDict() for one in store.read(name).collect()]
        for name in ("verdicts", "unreadable")
    }
    rules()
    run = Run(spark, str(folder / "run"))
    told["summary"] = detect(run, config, Progress(spark), IMAGES, REFERENCE)
    told["run"] = run.rows("verdicts")
    spark.stop()
    (folder / "told.json").write_text(json.dumps(told, default=repr))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
