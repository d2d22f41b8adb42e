"""What a scan tests images against: the fingerprints of the registry that it goes by."""

from __future__ import annotations

from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.spark.scans.registry import RegistryState
from noisescope_core.spark.scans.store import Store
from noisescope_core.spark.stages.score import Tests, tests_of
from noisescope_core.spark.tables.frames import frame
from noisescope_core.spark.tables.run import Run

COLLECTED = 64
"""Fingerprints that the driver collects and ships, at most. Chosen: 200 MB of the largest."""

_TOLD = ("fingerprint_id", "kind", "width", "height", "images", "flagged", "maker")
"""Columns that say what a test will be of, without features."""


def registry_tests(store: Store, config: Config, registry: RegistryState, run: Run) -> Tests:
    """Make the tests of a scan.

    More fingerprints than `COLLECTED` are written once as the table `tested` of the scan, from
    which every worker reads them; the driver sees no features of them.

    Parameters
    ----------
    registry : as the scan found it
    run : run directory of the scan
    """
    wanted = [*registry.shown_as, *registry.false_alarms]
    entries = store.read("fingerprints")
    stored = None
    if not wanted:
        rows = []
    elif len(wanted) <= COLLECTED:
        rows = entries.where(F.col("fingerprint_id").isin(wanted)).drop("pixels").collect()
    else:
        if not run.finished("tested"):
            ids = [{"fingerprint_id": name} for name in wanted]
            named = frame(store.spark, ids, "fingerprint_id string")
            tested = entries.join(named, "fingerprint_id", "left_semi")
            run.write("tested", tested.withColumn("pixels", F.lit(None)))
        stored = run.path("tested")
        rows = run.read("tested").select(*_TOLD).collect()
    active = [row for row in rows if row.fingerprint_id in registry.shown_as]
    false_alarms = [row for row in rows if row.fingerprint_id not in registry.shown_as]
    return tests_of(store.spark, active, config, false_alarms, stored=stored)
