"""Spark glue: tables in, arrays to the heart and back, tables out.

`session` starts Spark, `tables` reads and writes a run's tables, `stages` are the steps of a run,
`scans` those of a store that grows; `plan` says what a run would cost, `summary` and `report` what
it found, `experiments` hands batches to executors.
"""

from noisescope_core.errors import NoiseScopeError

try:
    import pyspark  # noqa: F401
except ImportError as error:
    raise NoiseScopeError(
        "pyspark is not installed: pip install 'noisescope[spark]', or run on a cluster that has it"
    ) from error
