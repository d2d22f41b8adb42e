"""Stage 3 of piles too large for all pairs: draw the images whose pairs are compared."""

from __future__ import annotations

from noisescope_core.config import Config
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.stages.sets import route_of
from noisescope_core.spark.stages.whitened.directions import find_directions
from noisescope_core.spark.stages.whitened.shards import search_shards
from noisescope_core.spark.tables.run import Run


def sample(run: Run, config: Config, progress: Progress) -> None:
    """Write `sample`, by shards also `candidates` and `residuals`; nothing for all pairs."""
    chosen = route_of(run)
    if chosen == "spectral":
        find_directions(run, config, progress)
    elif chosen == "shards":
        search_shards(run, config, progress)
