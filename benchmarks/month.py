"""A month of scheduled scans: a new generator on days 1, 10 and 20, duplicates, broken files.

Each day's scan is a process of its own, as a schedule starts it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.piles import Pile, write_pile
from benchmarks.pipeline import set_options

Row = dict[str, Any]

SIDE, STRENGTH = 128, 2.0
"""Small images, so that a month takes an hour; a stronger pattern, as pixels are fewer."""

FIRST_DAYS = (1, 10, 20)
"""On which the generators appear."""

SHARE, COPIES = 0.02, 0.03
"""Of a day's files: of each generator, and seen before."""

SETTINGS = ("scan.waiting=2000", "discovery.images=1000", "discovery.reference=500")
"""A smaller search than by default, so that thirty take half an hour on two cores."""

BROKEN = (b"", b"no image", b"\x89PNG\r\n\x1a\n" + bytes(40), b"\xff\xd8\xff\xe0" + bytes(500))


def month(data: Path, days: int, seed: int = 7) -> tuple[list[Row], list[str]]:
    """Run the days: a row for each, and lines on what was found when."""
    pile, store = data / f"pile-{SIDE}", data / "month"
    write_pile(pile, Pile(2200 * days, share=SHARE, strength=STRENGTH, side=SIDE))
    shutil.rmtree(store, ignore_errors=True)
    rows, delivered = [], 0
    for day, files in enumerate(_days(pile / "images", store / "images", days, seed), 1):
        delivered += files
        run = _scan(store, pile / "reference")
        accounted = run["scored"] + run["unscored"] + run["quarantined"]
        if not accounted == run["files"] == files:
            raise AssertionError(
                f"day {day}: {files} delivered, {run['files']} read, {accounted} accounted for"
            )
        rows.append(
            {"day": day, "files": files, "flagged": run["fake"], "new fingerprints": run["found"],
             "judged again": run["rejudged"], "arrivals, s": run["arrivals_seconds"],
             "search, s": run["search_seconds"], "tables, s": run["tables_seconds"],
             "history": delivered}
        )  # fmt: skip
        print(rows[-1], flush=True)
    return rows, list(_findings(store, days, delivered))


def _days(pictures: Path, arriving: Path, days: int, seed: int) -> Iterator[int]:
    """Deliver day by day: the number of files."""
    rng = np.random.default_rng(seed)
    of_maker: dict[str, list[str]] = defaultdict(list)
    for name in sorted(os.listdir(pictures)):
        of_maker[name.rpartition("_")[2].removesuffix(".jpg")].append(name)
    earlier: list[str] = []
    for day in range(1, days + 1):
        folder = arriving / f"{day:02d}"
        folder.mkdir(parents=True)
        total = int(rng.integers(1000, 3001))
        active = [f"g{k}" for k, first in enumerate(FIRST_DAYS) if day >= first]
        counts = dict.fromkeys(active, round(SHARE * total))
        copies = round(COPIES * total) if earlier else 0
        counts["p"] = total - sum(counts.values()) - copies - len(BROKEN)
        new = [of_maker[maker].pop() for maker, count in counts.items() for _ in range(count)]
        for name in new:
            os.link(pictures / name, folder / name)
        for number, name in enumerate(rng.choice(earlier, copies, replace=False) if copies else ()):
            os.link(pictures / str(name), folder / f"again{number}_{name}")
        for number, content in enumerate(BROKEN):
            (folder / f"broken{number}_b.jpg").write_bytes(content)
        earlier += new
        yield total


def _scan(store: Path, reference: Path) -> Row:
    """Scan in a process of its own: its row of `runs`."""
    events = store / "events.jsonl"
    subprocess.run(
        [sys.executable, "-m", "noisescope_core.cli", "scan", "--images", str(store / "images"),
         "--reference", str(reference), "--tables", str(store / "tables"),
         "--set", f"observe.events={events}", *set_options(SETTINGS)],
        check=True, capture_output=True,
    )  # fmt: skip
    run: Row = json.loads(events.read_text().splitlines()[-1])
    return run


def _findings(store: Path, days: int, delivered: int) -> Iterator[str]:
    """Say when each generator had sent 50 images, when it was found, and what was missed."""
    from pyspark.sql import functions as F

    from noisescope_core.config import load_config
    from noisescope_core.spark.scans.store import Store
    from noisescope_core.spark.session.start import start_session

    spark = start_session(load_config(), store / "spark.log", delta=True)
    tables = Store(spark, str(store / "tables"))
    held = tables.read("current_verdicts").select("path", "is_fake", "fingerprint_id").collect()
    keys = tables.read("verdicts").groupBy("path", "registry_version").count().where("count > 1")
    yield f"{delivered:,} files delivered, {len(held):,} with a verdict, doubled {keys.count():,}"
    found = {
        row.fingerprint_id: row.first_scan
        for row in tables.read("fingerprints").where(F.col("state") == "candidate").collect()
    }
    spark.stop()
    sent: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    flagged: dict[str, list[str]] = defaultdict(list)
    for row in held:
        maker = row.path.rpartition("_")[2].removesuffix(".jpg")
        sent[maker][int(row.path.split("/")[-2])] += 1
        if row.is_fake:
            flagged[maker].append(row.fingerprint_id)
    for k, _ in enumerate(FIRST_DAYS):
        maker = f"g{k}"
        running = np.cumsum([sent[maker][day] for day in range(1, days + 1)])
        if running[-1] == 0:
            continue
        fifty = int(np.argmax(running >= 50)) + 1
        names = {name: flagged[maker].count(name) for name in set(flagged[maker])}
        first = min((found[name] for name in names), default=None)
        yield (
            f"{maker}: 50 images on day {fifty}, found on day {first}, "
            f"{len(flagged[maker]):,} of {int(running[-1]):,} flagged, "
            f"by {', '.join(map(str, sorted(names.values(), reverse=True)))}"
        )
    photographs = sum(sent["p"].values())
    yield f"photographs flagged: {len(flagged['p']):,} of {photographs:,}"
