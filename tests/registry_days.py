"""What analysts decide between scans, in a process of its own: Delta belongs to a session's start.

`python -m tests.registry_days FOLDER` scans, decides, scans again, and leaves what the tables held
in FOLDER/days.json.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from noisescope_core.config import load_config
from noisescope_core.errors import UsageError
from noisescope_core.simulate import write_dump
from noisescope_core.spark.scans.exchange import export_registry, import_registry
from noisescope_core.spark.scans.maintenance import erase, maintain
from noisescope_core.spark.scans.registry import decide, describe_fingerprint, list_fingerprints
from noisescope_core.spark.scans.scan import scan
from noisescope_core.spark.scans.store import Store, latest
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.session.start import start_session
from noisescope_core.tables.schemas import LONG_LIVED
from tests.scan_days import SETTINGS


def main(folder: Path) -> None:
    """Run the days."""
    dump = folder / "dump"
    write_dump(dump, photographs=90, generated=120, generators=2, reference=120, size=96, seed=3,
               broken=False)  # fmt: skip
    with (dump / "labels.csv").open() as lines:
        labels = list(csv.DictReader(lines))
    made = [row["path"] for row in labels if row["label"] == "fake"]
    taken = [row["path"] for row in labels if row["label"] == "real"]
    images = folder / "images"
    config = load_config(None, SETTINGS)
    spark = start_session(config, folder / "spark.log", delta=True)
    store = Store(spark, str(folder / "tables"))
    told: dict[str, Any] = {"days": {}}

    def deliver(name: str, files: list[str]) -> None:
        (images / name).mkdir(parents=True)
        for file in files:
            shutil.copy(dump / "images" / Path(file).name, images / name)

    def scanned(name: str, tables: Store = store) -> None:
        row = scan(tables, config, Progress(spark), str(images), str(dump / "reference"))
        verdicts = latest(tables.read("verdicts"))
        told["days"][name] = {
            "run": {key: row[key] for key in row if key not in ("started", "finished")},
            "waiting": tables.read("waiting").count(),
            "fake": {Path(one.path).name: one.fingerprint_id
                     for one in verdicts.where("is_fake").collect()},
        }  # fmt: skip

    told["made"] = [Path(path).name for path in made]
    deliver("1", made[:80] + taken[:40])
    scanned("found")
    first, second = sorted(row["fingerprint_id"] for row in list_fingerprints(store))
    told["fingerprints"] = [first, second]
    decide(store, [first[:6]], "false alarm", "a frame", "ann")
    deliver("2", made[80:] + taken[40:])
    scanned("false alarm")
    decide(store, [first], "confirmed", None, "ann")
    scanned("confirmed after all")
    decide(store, [second], "merged", None, "bob", into=first)
    scanned("merged")
    for wrong in (["0" * 12], [""], [first]):
        try:
            decide(store, wrong, "merged", None, "bob", into=second)
        except UsageError as error:
            told.setdefault("refused", []).append(str(error))
    told["listed"] = list_fingerprints(store)
    told["shown"] = describe_fingerprint(store, second, 5)
    file = folder / "registry.parquet"
    told["exported"] = export_registry(store, str(file))
    other = Store(spark, str(folder / "other"))
    other.create()
    told["imported"] = [
        import_registry(other, str(file), "eve", config.whitening.side) for _ in range(2)
    ]
    scanned("imported", other)
    broken = folder / "broken.parquet"
    broken.write_bytes(file.read_bytes()[:-100])
    try:
        import_registry(other, str(broken), "eve", config.whitening.side)
    except UsageError as error:
        told["broken"] = str(error)

    gone = str(images / "1" / told["made"][0])
    try:
        erase(store, config, Progress(spark), [gone], [])
    except UsageError as error:
        told["still there"] = str(error)
    Path(gone).unlink()
    (row,) = (
        store.read("verdicts").where(f"path = '{gone}'").select("image_id").distinct().collect()
    )
    told["erased"] = erase(store, config, Progress(spark), [gone], [])
    told["gone"] = [Path(gone).name, row.image_id]
    told["left of it"] = [
        str(path.relative_to(folder)) for path in sorted((folder / "tables").rglob("*"))
        if path.is_file() and "_delta_log" not in path.parts
        and any(text.encode() in path.read_bytes() for text in told["gone"])
    ]  # fmt: skip
    maintain(store, config, Progress(spark), 30, None)
    scanned("after erasure and maintenance")
    told["tables"] = {
        table: [
            row.asDict()
            for row in store.read(table).drop("pixels", "whitened", "residual", "sketch").collect()
        ]
        for table in LONG_LIVED
    }

    old = Store(spark, str(folder / "old"))
    spark.sql(f"CREATE TABLE {old.name('sizes')} (width int, waiting long) USING DELTA")
    spark.sql(f"INSERT INTO {old.name('sizes')} VALUES (96, 3)")
    old.create()
    told["upgraded"] = [row.asDict() for row in old.read("sizes").collect()]
    later = Store(spark, str(folder / "later"))
    spark.sql(f"CREATE TABLE {later.name('runs')} (scan long, mood string) USING DELTA")
    try:
        later.create()
    except Exception as error:
        told["later"] = str(error)
    (folder / "days.json").write_text(json.dumps(told, default=repr))
    spark.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
