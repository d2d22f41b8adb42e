"""Stage 3 of the default method: correlations of all pairs by band."""

from __future__ import annotations

from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.stages.whitened.pile import stored_piles
from noisescope_core.spark.stages.whitened.products import pair_products
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.schemas import SCHEMAS
from noisescope_core.whitened.planes.bands import BANDS, PLANES


def correlate_bands(run: Run, config: Config, progress: Progress) -> None:
    """Read `residuals` and `calibration`, write `band_correlations`: by band, in blocks of rows."""
    piles = stored_piles(run, config)
    pairs = sum(pile.pairs for pile in piles)
    with progress.stage("correlate", pairs, "pairs", shuffled=True) as stage:
        stage.note(f"{pairs:,} pairs of {sum(pile.images for pile in piles):,} images")
        table = run.spark.createDataFrame([], SCHEMAS["band_correlations"])
        for pile in piles:
            width, height = pile.size
            products = pair_products(run, config, pile.tested, pile.reference, pile.bins)
            table = table.unionByName(
                products.select(F.lit(width).alias("width"), F.lit(height).alias("height"), "*")
            )
        run.write("band_correlations", table)
        stage.done(f"{pairs:,} pairs in {len(BANDS)} bands of {len(PLANES)} planes")
