"""The scan by a pool of processes: `python -m benchmarks.pool IMAGES RUN OUT [KEY=VALUE ...]`.

Same functions, same files, one Parquet file of answers; prints how many images are flagged.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import cv2
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from noisescope_core.config import load_config
from noisescope_core.methods import method_of, test_of
from noisescope_core.paper.detector import detection_threshold
from noisescope_core.spark.stages.extract import extractor
from noisescope_core.spark.stages.score import Tests, scorer
from noisescope_core.tables.schemas import columns

CHUNK = 64
"""Files that a process is handed at once; chosen."""

_scan: list[Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]] = []


def main(images: str, run: str, out: str, *settings: str) -> None:
    """Scan a folder for the fingerprints of a run."""
    files = sorted(str(file) for file in Path(images).iterdir())
    chunks = [files[start : start + CHUNK] for start in range(0, len(files), CHUNK)]
    with ProcessPoolExecutor(initializer=_ready, initargs=(run, settings)) as pool:
        table = pa.concat_tables(pool.map(_scanned, chunks))
    pq.write_table(table, out)
    thresholds = table["threshold"].to_pylist()
    if load_config(None, settings).method == "paper":
        reference = ds.dataset(f"{run}/scores").to_table(filter=ds.field("role") == "reference")
        bar = detection_threshold(reference["score"].to_numpy())
        thresholds = [bar] * len(table)
    scores = table["score"].to_pylist()
    pairs = zip(scores, thresholds, strict=True)
    print(sum(score is not None and score > threshold for score, threshold in pairs))


def _ready(run: str, settings: tuple[str, ...]) -> None:
    cv2.setNumThreads(1)
    threadpool_limits(1)
    config = load_config(None, settings)
    rows = ds.dataset(f"{run}/fingerprints").to_table(filter=ds.field("flagged")).to_pylist()
    generators = [SimpleNamespace(**row) for row in rows]
    test = test_of(generators, config, method_of(config).everywhere(config))
    tests = Tests(lambda: test, {(row.width, row.height) for row in generators}, len(generators))
    extract, score = extractor("image", config, {}), scorer(tests, columns("scans"))
    _scan[:] = [lambda batches: score(extract(batches))]


def _scanned(files: list[str]) -> pa.Table:
    content = [Path(file).read_bytes() for file in files]
    batch = pa.record_batch([pa.array(files), pa.array(content, pa.binary())], ["path", "content"])
    return pa.Table.from_batches(list(_scan[0](iter([batch]))))


if __name__ == "__main__":
    main(*sys.argv[1:])
