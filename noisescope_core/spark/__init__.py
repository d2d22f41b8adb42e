"""Spark glue: tables in, arrays to the heart and back, tables out. One module per stage.

``extract`` reads images and writes residuals, ``calibrate``, ``correlate``, ``cluster`` and
``score`` read the tables before them and write their own; ``detect`` runs them all.
"""

from noisescope_core.errors import NoiseScopeError

try:
    import pyspark  # noqa: F401
except ImportError as error:
    raise NoiseScopeError(
        "pyspark is not installed: pip install 'noisescope[spark]', or run on a cluster that has it"
    ) from error
