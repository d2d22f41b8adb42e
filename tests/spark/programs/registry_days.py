"""What analysts decide between scans, and what the next scan makes of it."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from noisescope_core.app.explanation import explain, of_a_file_that_is_gone
from noisescope_core.config import Config, configured
from noisescope_core.errors import UsageError
from noisescope_core.report.explanation import as_json, decisions, history, render_explanation
from noisescope_core.simulate import write_dump
from noisescope_core.spark.scans import store
from noisescope_core.spark.scans.erasure import erase
from noisescope_core.spark.scans.exchange import export_registry, import_registry
from noisescope_core.spark.scans.explained import scanned_file
from noisescope_core.spark.scans.maintenance import maintain
from noisescope_core.spark.scans.registry import (
    decide,
    describe_fingerprint,
    list_fingerprints,
    registry_state,
)
from noisescope_core.spark.scans.scan import scan
from noisescope_core.spark.scans.store import Store
from noisescope_core.spark.scans.upgrade import open_tables
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.tables.frames import frame
from noisescope_core.tables.schemas import CELLS, LONG_LIVED


def refusal(error: type[Exception], action: Callable[[], object]) -> str:
    """What an action says that must fail."""
    try:
        action()
    except error as refused:
        return str(refused)
    raise AssertionError("it was not refused")


class Days:
    """A store of images that grows, the tables of its scans, and what was seen of them."""

    def __init__(self, spark: Any, config: Config, folder: Path) -> None:
        self.spark, self.config = spark, config
        self.folder, self.dump, self.images = folder, folder / "dump", folder / "images"
        write_dump(self.dump, photographs=70, generated=100, generators=2, reference=100, size=96,
                   seed=3, broken=False)  # fmt: skip
        with (self.dump / "labels.csv").open() as lines:
            labels = list(csv.DictReader(lines))
        self.made = [Path(row["path"]).name for row in labels if row["label"] == "fake"]
        self.taken = [Path(row["path"]).name for row in labels if row["label"] == "real"]
        self.store, self.other = self.tables("tables"), self.tables("other")
        self.seen: dict[str, Any] = {"days": {}, "made": self.made}

    def tables(self, name: str) -> Store:
        """Tables in a folder of their own."""
        return Store(self.spark, str(self.folder / name))

    def deliver(self, name: str, files: list[str]) -> None:
        """Add a folder of files to the images."""
        (self.images / name).mkdir(parents=True)
        for file in files:
            shutil.copy(self.dump / "images" / file, self.images / name)

    def scanned(self, name: str, tables: Store) -> None:
        """Scan, and note what is flagged then."""
        progress = Progress(self.spark)
        row = scan(tables, self.config, progress, str(self.images), str(self.dump / "reference"))
        flagged = tables.read("current_verdicts").where("is_fake").collect()
        self.seen["days"][name] = {
            "run": {key: row[key] for key in row if key not in ("started", "finished")},
            "waiting": tables.read("arrivals").where("features > 0").count(),
            "fake": {Path(verdict.path).name: verdict.fingerprint_id for verdict in flagged},
        }

    def decide_and_scan(self) -> None:
        """Find two generators, call one a false alarm, take that back, make both one."""
        store = self.store
        self.deliver("1", self.made[:70] + self.taken[:35])
        self.scanned("found", store)
        first, second = sorted(row["fingerprint_id"] for row in list_fingerprints(store))
        self.seen["fingerprints"] = [first, second]
        decide(store, [first[:6]], "false alarm", "a frame", "ann")
        self.deliver("2", self.made[70:] + self.taken[35:])
        self.scanned("false alarm", store)
        decide(store, [first], "confirmed", None, "ann")
        self.scanned("confirmed after all", store)
        decide(store, [second], "merged", None, "bob", into=first)
        # One scan sees what the decision, the erasure and the maintenance changed.
        self.erase_one()
        self.scanned("merged", store)
        self.seen["refused"] = [
            refusal(
                UsageError,
                lambda wrong=wrong: decide(store, wrong, "merged", None, "bob", into=second),
            )
            for wrong in (["0" * 12], [""], [first])
        ]
        found = self.seen["days"]["found"]["fake"]
        name = next(name for name in self.made[1:] if found.get(name) == first)
        self.seen["explained"] = self.explain(str(self.images / "1" / name))
        self.seen["listed"], self.seen["shown"] = (
            list_fingerprints(store),
            describe_fingerprint(store, second, 5),
        )

    def travel(self) -> None:
        """Take the registry to other tables, and a damaged file of it."""
        file, side = self.folder / "registry.parquet", self.config.whitening.side
        self.seen["exported"] = export_registry(self.store, str(file))
        self.other.create()
        self.seen["imported"] = [
            import_registry(self.other, str(file), "eve", side) for _ in range(2)
        ]
        # As if there were many: every worker reads them by itself.
        with patch("noisescope_core.spark.scans.tested.COLLECTED", 0):
            self.scanned("imported", self.other)
        broken = self.folder / "broken.parquet"
        broken.write_bytes(file.read_bytes()[:-100])
        self.seen["broken"] = refusal(
            UsageError, lambda: import_registry(self.other, str(broken), "eve", side)
        )

    def age(self) -> None:
        """Let candidates age that no image has met since the second scan."""
        store, (first, second) = self.other, self.seen["fingerprints"]
        decide(store, [second], "candidate", None, "eve")
        decide(store, [first], "candidate", None, "eve")
        met = self.spark.createDataFrame([(first, 9), (second, 2)], "fingerprint_id string, n long")
        store.update("fingerprints", met, {"last_scan": "new.n"})
        limits = configured({"scan.candidate_scans": 7, "scan.candidates": 1}).scan
        states = [registry_state(store, limits, number) for number in (9, 10, 10)]
        self.seen["aged"] = [(state.shown_as, len(state.decisions)) for state in states]
        by_itself = store.read("decisions").where("analyst = 'noisescope'").collect()
        self.seen["retired"] = [(row.fingerprint_id, row.state, row.note) for row in by_itself]

    def explain(self, file: str) -> dict[str, Any]:
        """Explain a file, in words and by its past."""
        scanned = scanned_file(self.store, self.config, file)
        told = explain(file, scanned)
        said = as_json(told)
        past = {"history": scanned.history, "decisions": scanned.decisions}
        gone = as_json(of_a_file_that_is_gone(scanned.history[-1]))
        return said | {
            "history": history(scanned.history), "decisions": decisions(scanned.decisions),
            "gone": [gone["verdict"], gone["meaning"]],
            "page": render_explanation(told, past).partition("<h2>What was compared")[0],
        }  # fmt: skip

    def erase_one(self) -> None:
        """Erase an image, maintain the tables, and look for it everywhere."""
        gone = str(self.images / "1" / self.made[0])
        progress = Progress(self.spark)

        def erase_it() -> dict[str, int]:
            minutes = self.config.scan.lease_minutes
            return erase(self.store, minutes, progress, [gone], [], "eve", at_once=True)

        self.seen["still there"] = refusal(UsageError, erase_it)
        Path(gone).unlink()
        of_it = self.store.read("verdicts").where(f"path = '{gone}'")
        (row,) = of_it.select("image_id").distinct().collect()
        self.seen["erased"] = erase_it()
        self.seen["gone"] = [Path(gone).name, row.image_id]
        self.seen["left of it"] = [
            str(path.relative_to(self.folder))
            for path in sorted((self.folder / "tables").rglob("*"))
            if path.is_file() and "_delta_log" not in path.parts
            and any(text.encode() in path.read_bytes() for text in self.seen["gone"])
        ]  # fmt: skip
        maintain(self.store, self.config, progress, 30, None)

    def held(self) -> dict[str, list[dict[str, Any]]]:
        """Rows of all tables, but for their large cells."""
        large = ("pixels", "whitened", "residual", "sketch")
        return {
            table: [row.asDict() for row in self.store.read(table).drop(*large).collect()]
            for table in LONG_LIVED
        }

    def open_tables_of_other_versions(self) -> None:
        """Open tables that lack columns, and tables that a later version made."""
        old = self.tables("old")
        self.spark.sql(f"CREATE TABLE {old.name('sizes')} (width int, waiting long) USING DELTA")
        self.spark.sql(f"INSERT INTO {old.name('sizes')} VALUES (96, 3)")
        self.seen["read as it is"] = [row.asDict() for row in old.read("sizes").collect()]
        old._create("sizes")
        self.seen["upgraded"] = [row.asDict() for row in old.read("sizes").collect()]
        later = self.tables("later")
        self.spark.sql(
            f"CREATE TABLE {later.name('runs')} (scan long) USING DELTA "
            "TBLPROPERTIES ('noisescope.revision' = '99')"
        )
        self.seen["later"] = refusal(Exception, lambda: later._create("runs"))

    def fill_tables_of_an_earlier_version(self) -> None:
        """Open tables that kept what waits apart and what was seen nowhere."""
        old = self.tables("earlier")
        old.create()
        verdicts = (
            ("/pile/a.png", 1, 1, False), ("/pile/a.png", 2, 2, True),
            ("/pile/b.tar!/c.png", 1, 1, False),
        )  # fmt: skip
        for path, version, number, is_fake in verdicts:
            row = {"path": path, "registry_version": version, "scan": number, "is_fake": is_fake}
            declared = LONG_LIVED["verdicts"]
            old.append("verdicts", frame(self.spark, [row], declared))
        cells = ", ".join(f"{name} binary" for name in CELLS)
        self.spark.sql(
            f"CREATE TABLE {old.name('waiting')} (scan long, image_id string, {cells}) USING DELTA"
        )
        self.spark.sql(
            f"INSERT INTO {old.name('waiting')} (scan, image_id, tile) VALUES (2, 'c', X'00010203')"
        )
        open_tables(old)
        open_tables(old)
        asked = {"current_verdicts": ("path", "is_fake"), "seen": ("path", "scan", "bytes"),
                 "arrivals": ("scan", "image_id", "features", "residual")}  # fmt: skip
        self.seen["filled"] = {
            table: sorted(tuple(row) for row in old.read(table).select(*names).collect())
            for table, names in asked.items()
        }

    def compact_twice(self) -> None:
        """Compact a table, add to it, compact it again: files that went and came."""
        tables = self.tables("compacted")
        tables._create("arrivals")
        done = []
        cubes = {key: size if "target" in key else "1"
                 for key, size in store._FOR_FEATURES.items()}  # fmt: skip
        with patch.object(store, "_FOR_FEATURES", cubes):
            for day in range(2):
                for number in range(3):
                    row = {"scan": 3 * day + number, "path": f"/pile/{day}{number}.png"}
                    rows = frame(self.spark, [row], LONG_LIVED["arrivals"])
                    tables.append("arrivals", rows)
                done.append(tables.compact(["arrivals"])["arrivals"])
        self.seen["compacted"] = [done, tables.read("arrivals").count()]


def run_days(spark: Any, config: Config, folder: Path) -> dict[str, Any]:
    """Scan, decide, scan again: what the tables held."""
    run = Days(spark, config, folder)
    run.decide_and_scan()
    run.travel()
    run.age()
    run.seen["tables"] = run.held()
    run.open_tables_of_other_versions()
    run.fill_tables_of_an_earlier_version()
    run.compact_twice()
    return run.seen
