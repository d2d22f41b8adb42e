"""The same images out of folders, archives and tables: images a second, and requests to a store.

Beside each kind stands a bare reader: one Python process that reads the same bytes in order and
does nothing with them. `python -m benchmarks.sources FOLDER` measures in a process of its own, on
whose environment the store depends.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from benchmarks.store import rows_of, s3_server
from noisescope_core.config import Config, load_config
from noisescope_core.spark.session.start import start_session
from noisescope_core.spark.sources.source import Listing, list_source, read_listed
from noisescope_core.spark.tables.run import Run

Row = dict[str, Any]

IMAGES = 2000
"""Images of a kind; of 20 to 60 kB each, as sites keep them."""

SHARDS = 4
"""Archives and files of a table, of as many images each."""

BUCKET = "pile"

KINDS = ("folder", "tar", "tar.gz", "zip", "parquet")


def measure(folder: Path, with_store: bool = True) -> list[Row]:
    """Write the images in every kind, and measure; with the store, requests too."""
    write(folder)
    if not with_store:
        return rows_of("benchmarks.sources", [str(folder)], {})
    with s3_server() as (endpoint, environment):
        return rows_of("benchmarks.sources", [str(folder), endpoint], environment)


def write(folder: Path) -> None:
    """Write images of noise in every kind: what reading takes hangs on bytes alone."""
    if (folder / "parquet").exists():
        return
    import numpy as np

    rng = np.random.default_rng(0)
    files = {f"{k:05d}.jpg": rng.bytes(int(rng.integers(20_000, 60_000))) for k in range(IMAGES)}
    for kind in KINDS:
        (folder / kind).mkdir(parents=True)
    names = sorted(files)
    for name in names:
        (folder / "folder" / name).write_bytes(files[name])
    for shard in range(SHARDS):
        own = names[shard::SHARDS]
        for kind in ("tar", "tar.gz"):
            path = folder / kind / f"{shard}.{kind}"
            with (
                tarfile.open(path, "w") if kind == "tar" else tarfile.open(path, "w:gz") as archive
            ):
                for name in own:
                    archive.add(folder / "folder" / name, name)
        with zipfile.ZipFile(folder / "zip" / f"{shard}.zip", "w") as packed:
            for name in own:
                packed.write(folder / "folder" / name, name)
        images = pa.array(
            [{"bytes": files[name], "path": name} for name in own],
            pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        )
        table = pa.table({"image": images})
        pq.write_table(table, folder / f"parquet/{shard}.parquet", row_group_size=100)


def main(folder: Path, endpoint: str | None) -> None:
    """Measure every kind, and print the rows as JSON."""
    location = f"s3a://{BUCKET}" if endpoint else str(folder)
    if endpoint:
        _upload(folder)
    config = load_config(None, ["spark.master=local[2]"])
    spark = start_session(config, folder / "spark.log", locations=[location])
    rows = []
    for kind in KINDS:
        place = f"{location}/{kind}"
        bare_seconds, images = _timed(partial(_bare, place, kind))
        _forget(endpoint)
        run = Run(spark, str(folder / "run"))
        # Once unmeasured: the JVM and its workers start.
        listing = _listed(run, place, config)
        read_listed(spark, run.read("files"), config, listing.files).count()
        _forget(endpoint)
        list_seconds, listing = _timed(partial(_listed, run, place, config))
        asked_to_list = _asked(endpoint)
        _forget(endpoint)
        content = read_listed(spark, run.read("files"), config, listing.files)
        weighed = content.mapInArrow(_weigh, "n long").groupBy().sum("n")
        read_seconds, ((count,),) = _timed(weighed.collect)
        assert count == images == IMAGES, (kind, count, images)
        row = {
            "kind": kind,
            "images a second, listed": round(IMAGES / list_seconds),
            "read": round(IMAGES / read_seconds),
            "bare reader": round(IMAGES / bare_seconds),
        }
        if endpoint:
            asked = _asked(endpoint)
            row |= {
                "requests an image, listed": round(sum(asked_to_list.values()) / IMAGES, 3),
                "requests an image, read": round(sum(asked.values()) / IMAGES, 3),
            }
        rows.append(row)
    spark.stop()
    print(json.dumps(rows))


def _listed(run: Run, place: str, config: Config) -> Listing:
    listing = list_source(run.spark, place, "image", config)
    if listing.others is None:
        run.write_rows("files", listing.rows)
    else:
        run.write("files", listing.frame(run.spark))
    return listing


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def _weigh(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield pa.RecordBatch.from_pydict({"n": [sum(cell.is_valid for cell in batch["content"])]})


def _bare(place: str, kind: str) -> int:
    """Read every image of a kind in one process: their number."""
    system, path = fs.FileSystem.from_uri(place.replace("s3a:", "s3:")) if "://" in place else (
        fs.LocalFileSystem(), place)  # fmt: skip
    files = [info.path for info in system.get_file_info(fs.FileSelector(path))]
    images = 0
    for file in sorted(files):
        if kind == "parquet":
            images += pq.read_table(file, filesystem=system).num_rows
            continue
        with system.open_input_stream(file, compression=None) as stream:
            if kind == "folder":
                images += bool(stream.read())
            elif kind == "zip":
                with zipfile.ZipFile(io.BytesIO(stream.read())) as packed:
                    images += sum(bool(packed.read(name)) for name in packed.namelist())
            else:
                with tarfile.open(fileobj=io.BytesIO(stream.read())) as archive:
                    images += sum(bool(_content(archive, entry)) for entry in archive)
    return images


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    member = archive.extractfile(entry)
    return member.read() if member else b""


def _upload(folder: Path) -> None:
    system = fs.S3FileSystem(
        endpoint_override=os.environ["AWS_ENDPOINT_URL"], allow_bucket_creation=True,
        region="us-east-1",
    )  # fmt: skip
    system.create_dir(BUCKET)
    for kind in KINDS:
        fs.copy_files(str(folder / kind), f"{BUCKET}/{kind}", destination_filesystem=system)


def _forget(endpoint: str | None) -> None:
    if endpoint:
        with urlopen(Request(f"{endpoint}/_rules", b"{}", method="PUT")):
            pass


def _asked(endpoint: str | None) -> Counter[str]:
    if not endpoint:
        return Counter()
    with urlopen(f"{endpoint}/_asked") as answer:
        return Counter(one["kind"] for one in json.load(answer))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
