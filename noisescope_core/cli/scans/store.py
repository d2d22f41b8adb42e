"""Opening the tables of scans for a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from noisescope_core.app.places import is_uri, make_folder, spark_log
from noisescope_core.cli.shared.inputs import check_exist
from noisescope_core.cli.shared.session import start_spark
from noisescope_core.errors import UsageError

if TYPE_CHECKING:
    from noisescope_core.config import Config
    from noisescope_core.spark.scans.store import Store

WORK_FOLDER = "_scans"
"""Folder beside local tables for what scans keep between runs, and for Spark's log."""


@contextmanager
def open_store(tables: str, config: Config, *locations: str, new: bool = False) -> Iterator[Store]:
    """Start Spark with Delta for the tables at a location, and stop it at the end.

    Parameters
    ----------
    tables : folder, URI, or schema of a catalog
    *locations : what will be read besides
    new : whether the tables may be made there; else a folder without them is a mistake

    Raises
    ------
    UsageError
        If there are no tables, or the location is a schema and `scan.work` is not set.
    """
    from noisescope_core.spark.scans.store import Store, is_schema
    from noisescope_core.spark.session.start import stop_session

    schema = is_schema(tables)
    if not (new or schema or is_uri(tables)):
        check_exist({"--tables": tables})
        if not Path(tables, "fingerprints").is_dir():
            raise UsageError(f"--tables: {tables} holds no tables, see noisescope scan --help")
    if schema:
        if config.scan.work is None:
            raise UsageError(
                f"--tables: {tables} is a schema of a catalog; set scan.work, too, or write "
                f"./{tables} for a folder"
            )
        folder = make_folder(config.scan.work, "scan.work")
    else:
        folder = make_folder(f"{tables}/{WORK_FOLDER}", "--tables")
        tables = folder.removesuffix(f"/{WORK_FOLDER}")
    places = (*locations, tables, config.scan.work or "")
    spark = start_spark(config, spark_log(folder), delta=True, locations=places)
    try:
        yield Store(spark, tables, config.scan.work)
    finally:
        stop_session(spark)
