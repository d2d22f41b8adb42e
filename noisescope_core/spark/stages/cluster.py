"""Stage 4: find the patterns that images of each size share.

The method's `find` decides. Small piles are searched whole where the images lie; of a large one the
decisions are made on the driver, and what they ask for is worked out where the images lie.
"""

from __future__ import annotations

from noisescope_core.app.progress import Stage
from noisescope_core.config import Config
from noisescope_core.method import Found, Note
from noisescope_core.methods import method_of
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.stages.lattice.pile import lattice_pile
from noisescope_core.spark.stages.methods import stages_of
from noisescope_core.spark.tables.run import Run


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
        run.write_rows("fingerprints", fingerprints)
        stage.done(stages.in_words(results))


def _noted(stage: Stage, size: str) -> Note:
    return lambda text: stage.note(f"{size}: {text}")
