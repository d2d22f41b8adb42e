"""One scan, and all that its parts go by."""

from __future__ import annotations

from dataclasses import dataclass

from noisescope_core.config import Config
from noisescope_core.spark.scans.registry import RegistryState
from noisescope_core.spark.scans.store import Store
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.stages.score import Tests
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.rows import RunRow


@dataclass(frozen=True)
class Scan:
    """A scan that has begun.

    Attributes
    ----------
    store : the long-lived tables
    images : folder or URI that grows
    reference : folder or URI of photographs known real
    number : of the scan, from 1 on
    runs : rows of the last scans that ended, the latest first
    queued : files that no scan could read so far
    version : of the registry, before this scan changes it
    searched : number of the last scan that searched with this reference, 0 if none did
    reference_images : distinct images that it counted in the reference; None if none did
    registry : as this scan found it, also when the scan is done again
    tests : what images are tested against, out of that registry
    """

    store: Store
    config: Config
    progress: Progress
    images: str
    reference: str
    number: int
    runs: list[RunRow]
    queued: int
    version: int
    searched: int
    reference_images: int | None
    registry: RegistryState
    tests: Tests

    @property
    def run(self) -> Run:
        """Run directory in which this scan keeps what it has done so far."""
        return run_of(self.store, self.number)

    def part(self, name: str) -> Run:
        """Run directory of a part of the scan, below its own."""
        return Run(self.store.spark, self.run.path(name))


def run_of(store: Store, number: int) -> Run:
    """Find the run directory of a scan."""
    return Run(store.spark, f"{store.scans}/{number:09d}")
