"""A volume as Databricks has it: a path of Spark's own file system, mounted nowhere here.

`python -m tests.spark.programs.volumes FOLDER` lists and reads FOLDER as `/Volumes` and prints it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from noisescope_core.config import load_config
from noisescope_core.spark.session.start import start_session
from noisescope_core.spark.sources.source import list_source, read_listed

VIEW = "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme"
"""Hadoop's file system that shows another under a scheme and a path."""


def main(folder: Path) -> None:
    """List and read by all names that a volume has."""
    settings = {
        "hadoop.fs.dbfs.impl": VIEW,
        "hadoop.fs.viewfs.overload.scheme.target.file.impl": "org.apache.hadoop.fs.LocalFileSystem",
        "hadoop.fs.viewfs.mounttable.default.link./Volumes": f"file://{folder}/volumes",
        "hadoop.fs.defaultFS": "dbfs:/",
        "sql.warehouse.dir": f"file:{folder}/warehouse",
    }
    given = [f"spark.conf.spark.{key}={value}" for key, value in settings.items()]
    config = load_config(None, ["spark.master=local[1]", *given])
    spark = start_session(config, folder / "spark.log")
    told = {}
    for scheme in ("", "dbfs:", "dbfs://"):
        listing = list_source(spark, f"{scheme}/Volumes/main/x/images", "image", config)
        files = listing.frame(spark).where("bytes > 0")
        told[scheme] = {
            "listed": [row.path for row in listing.rows],
            "read": read_listed(spark, files, config, listing.files).count(),
            "read again": read_listed(spark, files, config, whole=False).count(),
        }
    spark.stop()
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
