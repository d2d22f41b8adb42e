"""Days of scheduled scans: what arrives day by day, a scan that dies before its commit."""

from __future__ import annotations

import csv
import shutil
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from noisescope_core.cli import main as main_command
from noisescope_core.config import Config
from noisescope_core.errors import NoiseScopeError
from noisescope_core.images.decode import decode
from noisescope_core.simulate import write_dump
from noisescope_core.spark.scans import search
from noisescope_core.spark.scans.scan import scan
from noisescope_core.spark.scans.store import Store
from noisescope_core.spark.scans.upgrade import open_tables
from noisescope_core.spark.session.progress import Progress
from noisescope_core.tables.schemas import LONG_LIVED

ATTACKS = (
    "<script>alert(1)<_script>.jpg", "'; DROP TABLE verdicts; --.jpg", "two\nlines.jpg",
    "up..%2f..%2fetc%2fpasswd.jpg", "%20 %.jpg", "`tick`.jpg", "[a-z]*?.jpg", "{a,b}.jpg",
    "\u202egpj.exe.jpg", "\U0001f642\u00fc.jpg", "#part?x=1&y=2.jpg", "back\\slash.jpg",
    '"quoted".jpg', "$HOME ${x}.jpg",
)  # fmt: skip
"""Names by which somebody might hope to reach a page, a statement, a path or a pattern."""


LARGE = ("pixels", "whitened", "residual", "sketch", "tile")
"""Columns of large cells."""


class Died(Exception):
    """In place of a process that ends."""


class Dying(Store):
    """Tables of a scan that dies before its last write."""

    def append(self, table: str, *rest: Any, **more: Any) -> None:
        if table == "runs":
            raise Died
        super().append(table, *rest, **more)


def run_days(spark: Any, config: Config, folder: Path) -> dict[str, Any]:
    """Run the days, damage a table at last: what was there."""
    write_dump(folder / "dump", photographs=90, generated=72, reference=120, size=96, seed=3)
    made = _poison(folder / "dump", 12)
    # Features of so small a reference are not kept otherwise.
    search.KEPT_FROM = 0
    files = sorted((folder / "dump" / "images").iterdir())
    images, days = folder / "images", []
    store = Store(spark, str(folder / "tables"))

    def day(name: str, arriving: list[Path]) -> None:
        (images / name).mkdir(parents=True)
        for file in arriving:
            shutil.copy(file, images / name / file.name)

    def scanned(tables: Store) -> None:
        place = str(images), str(folder / "dump" / "reference")
        row = scan(tables, config, Progress(spark), *place)
        days.append({name: row[name] for name in row if name not in ("started", "finished")})

    day("1", files[:12])
    open_tables(store)
    elsewhere = [("scan", "elsewhere:1", datetime.now(UTC) + timedelta(hours=1))]
    store.merge("lease", spark.createDataFrame(elsewhere, LONG_LIVED["lease"]))
    try:
        scanned(store)
    except NoiseScopeError as error:
        days.append({"refused": str(error)})
    # So long a scan that died elsewhere holds the tables; one that died here does not.
    name = f"{socket.gethostname()}:{2**22 + 1}"
    store.spark.sql(f"UPDATE {store.name('lease')} SET owner = '{name}'")
    scanned(store)
    day("2", files[12:90])
    (images / "2" / "empty.jpg").touch()
    scanned(store)
    # A tenant's column, which those who run the tables add.
    for table in LONG_LIVED:
        spark.sql(f"ALTER TABLE {store.name(table)} ADD COLUMNS (tenant string)")
    day("3", [*files[90:], files[0]])
    try:
        scanned(Dying(spark, store.location))
    except Died:
        days.append({"died": True})
    day("4", files[1:3])
    sound = [file for file in files[3:] if decode(file.read_bytes()).pixels is not None]
    for file, name in zip(sound, ATTACKS, strict=False):
        shutil.copy(file, images / "4" / name)
    scanned(store)
    scanned(store)
    scanned(store)
    held = {
        table: [
            row.asDict()
            for row in store.read(table)
            .drop("pixels", "whitened", "residual", "sketch", "tile")
            .collect()
        ]
        for table in LONG_LIVED
    }
    left = [path.name for path in (folder / "tables" / "_scans").iterdir()]
    told = {"days": days, "tables": held, "left": left, "made": made}
    told["files"] = [file.name for file in files]
    told["tenants"] = {
        table: [row.tenant for row in spark.table(store.name(table)).select("tenant").collect()]
        for table in LONG_LIVED
    }
    told["damaged"] = _damaged(spark, folder)
    return told


def _damaged(spark: Any, folder: Path) -> tuple[int, str]:
    """Scan tables of which one has a damaged log: exit code of the command, and what it said."""
    log = sorted((folder / "tables/seen/_delta_log").glob("*.json"))[-1]
    log.with_name(f".{log.name}.crc").unlink(missing_ok=True)
    log.write_text("{")
    # As in a process that has not read the table before.
    spark._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()
    places = {"images": "images", "reference": "dump/reference", "tables": "tables"}
    words = [word for key, at in places.items() for word in (f"--{key}", str(folder / at))]
    done = CliRunner().invoke(main_command, ["scan", *words])
    return done.exit_code, done.stderr


def _poison(dump: Path, count: int) -> list[str]:
    """Put generated images among the photographs known real: names of those that are left."""
    with (dump / "labels.csv").open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["label"] == "fake"]
    made = sorted(Path(row["path"]).name for row in rows)
    for name in made[:count]:
        shutil.move(dump / "images" / name, dump / "reference")
    return made[count:]
