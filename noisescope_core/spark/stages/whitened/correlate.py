"""Stage 3 of the default method: correlations of all pairs by band."""

from __future__ import annotations

from noisescope_core.config import Config
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.stages.whitened.pile import stored_piles
from noisescope_core.spark.stages.whitened.products import pair_products
from noisescope_core.spark.tables.run import Run
from noisescope_core.whitened.planes.bands import BANDS, PLANES


def correlate_bands(run: Run, config: Config, progress: Progress) -> None:
    """Read `residuals` and `calibration`, write `band_correlations`: by band, in blocks of rows.

    Piles that one task can hold are left to the stage `cluster`, which searches them whole.
    """
    piles = [pile for pile in stored_piles(run, config) if not pile.is_small]
    pairs = sum(pile.pairs for pile in piles)
    with progress.stage("correlate", pairs, "pairs", shuffled=True) as stage:
        if not piles:
            run.write_rows("band_correlations", [])
            stage.done("left to the search: no size is too large for one task")
            return
        images = sum(pile.images for pile in piles)
        stage.note(f"{pairs:,} pairs of {images:,} images of {len(piles):,} sizes")
        sets = [(pile.tested, pile.reference) for pile in piles]
        run.write("band_correlations", pair_products(run, config, sets))
        stage.done(f"{pairs:,} pairs in {len(BANDS)} bands of {len(PLANES)} planes")
