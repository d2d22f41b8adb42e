"""Stage 4: find the patterns that images of each size share.

The method's `find` decides. Small piles are searched whole where the images lie; of a large one the
decisions are made on the driver, and what they ask for is worked out where the images lie.
"""

from __future__ import annotations

from pyspark.sql import functions as F

from noisescope_core.app.progress import Stage
from noisescope_core.config import Config
from noisescope_core.fingerprint import with_member_pixels
from noisescope_core.method import Found, Note
from noisescope_core.methods import method_of
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.stages.lattice.pile import lattice_pile
from noisescope_core.spark.stages.methods import stages_of
from noisescope_core.spark.stages.sets import tested_table
from noisescope_core.spark.tables.frames import frame
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.rows import FingerprintRow


def cluster(run: Run, config: Config, progress: Progress) -> None:
    """Read the correlations, write `clusters`, `fingerprints` and what else the method searches by.

    That is `merging` by the paper, `searched` by the default method.
    """
    method, stages = method_of(config), stages_of(config)
    results: list[Found] = []
    with progress.stage("cluster") as stage:
        piles = stages.piles(run, config)
        if stages.whole:
            found, piles = stages.whole(run, config, piles, stage.note)
            results.append(found)
        if len(piles) > 1:
            stage.note(f"{len(piles):,} sizes are searched one after the other")
        for number, pile in enumerate(piles):
            stage.part(number, len(piles))
            size = f"{pile.size[0]} x {pile.size[1]}"
            results.append(method.find(pile, config, _noted(stage, size)))
        if method.lattice:
            pile = lattice_pile(run, config, stage.note)
            in_place = [row for found in results for row in found.fingerprints]
            lattices = method.lattice.find(pile, in_place, config, stage.note)
            results.append(Found(lattices))
        # Sorting keeps the patterns of a size in their order, and lattices in theirs.
        clusters = [row for found in results for row in found.clusters]
        run.write_rows("clusters", sorted(clusters, key=lambda row: (row.width, row.height)))
        if stages.merges:
            run.write_rows("merging", (found.merging for found in results if found.merging))
        fingerprints = [row for found in results for row in found.fingerprints]
        fingerprints.sort(key=lambda row: (row.kind == "lattice", row.width, row.height))
        run.write_rows("fingerprints", _with_member_pixels(run, fingerprints))
        stage.done(stages.in_words(results))


def _with_member_pixels(run: Run, fingerprints: list[FingerprintRow]) -> list[FingerprintRow]:
    members = {member for row in fingerprints for member in row.members}
    if not members:
        return fingerprints
    wanted = frame(run.spark, ({"image_id": member} for member in members), "image_id string")
    images = run.read(tested_table(run)).select("image_id", "pixels_id")
    rows = images.join(F.broadcast(wanted), "image_id", "left_semi").distinct().collect()
    return with_member_pixels(fingerprints, {row.image_id: row.pixels_id for row in rows})


def _noted(stage: Stage, size: str) -> Note:
    return lambda text: stage.note(f"{size}: {text}")
