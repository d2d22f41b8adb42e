"""Sets that were rescaled by one factor: whether they are found, and joined to their family.

Images of a generator, or photographs, are rescaled by one factor, saved again and put among other
photographs. Fingerprints are of other images of each generator at their own sizes, saved again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.any_size import PHOTOGRAPHS, again, extracted
from noisescope_core.config import configured
from noisescope_core.extraction import lattice_image, residual_rows
from noisescope_core.lattice.detector import lattice_test
from noisescope_core.lattice.families import rescaled_sets
from noisescope_core.lattice.find import find
from noisescope_core.method import LatticePile
from noisescope_core.tables.rows import FingerprintRow

Row = dict[str, Any]

FACTORS = (0.5, 0.75, 1.17, 1.5, 2.0)
"""Factors tried; 1.17 stands for odd ones."""

GENERATORS = ("CycleGAN", "diffusion", "DALL-E mini")
"""Those that have a fingerprint once they are saved again."""

SETS = (*GENERATORS, "CycleGAN's photographs", "face crops")
"""Sources of sets that are rescaled."""

OF_EACH = 30
"""Images that are rescaled; others make the fingerprint."""

IN_PILE, REFERENCE = 600, 1000
"""Photographs beside a set, and in its reference, at most."""

CONFIG = configured({"lattice.rescaled": True})


def measure(folder: Path) -> Iterator[Row]:
    """Yield a row for each source and factor.

    Parameters
    ----------
    folder : where `any_size.extracted` keeps rows
    """
    rows = extracted("saved again", folder, CONFIG)
    drawn = np.random.default_rng(0)
    rows = {source: [its[k] for k in drawn.permutation(len(its))] for source, its in rows.items()}
    others = [row for source in PHOTOGRAPHS for row in rows[source][OF_EACH:]]
    others = [others[k] for k in drawn.permutation(len(others))]
    beside, reference = others[:IN_PILE], others[IN_PILE : IN_PILE + REFERENCE]
    prints = [native_print(rows[source][OF_EACH:], beside, reference) for source in GENERATORS]
    test = lattice_test([row for row in prints if row], CONFIG)
    for source in SETS:
        for factor in FACTORS:
            its = [rescaled(row["path"], factor) for row in rows[source][:OF_EACH]]
            its = [row for row in its if row["status"] == "scored"]
            verdicts = []
            for row in its:
                score = test(row["image_id"], (row["width"], row["height"]), row["tile"])
                if score is not None and score.is_fake and score.factor is not None:
                    verdicts.append({"image_id": row["image_id"], **asdict(score)})
            own = {row["image_id"] for row in its}
            sets = [
                row
                for row in found([*its, *beside], reference)
                if 2 * len(own.intersection(row.members)) > row.images
            ]
            yield {
                "source": source,
                "factor": factor,
                "images": len(its),
                "claimed": len(verdicts),
                "sets": len(sets),
                "images in sets": sum(row.images for row in sets),
                "of these its own": sum(len(own.intersection(row.members)) for row in sets),
                "joined": ", ".join(
                    f"by {each.factor:.2f}" for each in rescaled_sets(sets, verdicts).values()
                ),
            }


def found(tested: Sequence[Row], reference: Sequence[Row]) -> list[FingerprintRow]:
    """Search rows of `residuals`."""
    images, photographs = ([lattice_image(row) for row in rows] for rows in (tested, reference))
    return find(LatticePile(images, photographs), [], CONFIG)


def native_print(
    images: Sequence[Row], beside: Sequence[Row], reference: Sequence[Row]
) -> FingerprintRow | None:
    """Find the largest lattice of a generator's images among photographs, and let it flag."""
    rows = found([*images[:40], *beside], reference)
    return replace(max(rows, key=lambda row: row.images), flagged=True) if rows else None


def rescaled(path: str, factor: float) -> Row:
    """Rescale an image, save it again and extract it."""
    data = again(Path(path).read_bytes(), path, CONFIG, factor)
    (row,) = residual_rows(data, CONFIG, "image", {})
    return row
