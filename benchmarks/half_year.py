"""Half a year of scheduled scans in time-lapse, one scan a day.

Generators and devices arrive on different days, with images of any size; files come again under
other names, are replaced under their own, are broken, vanish between listing and reading, and five
in a hundred reads are refused, drawn anew each day. On some days the scan is killed.

`python -m benchmarks.half_year FOLDER --days 20` writes a row a day to FOLDER/days.csv, and goes on
where an earlier call stopped. The days run in a process of their own, on whose environment the
store of images depends.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any
from urllib.request import Request, urlopen

import click
import cv2
import numpy as np
from pyarrow import fs
from pyspark.sql import SparkSession

from benchmarks.pipeline import FEW_ROWS, set_options
from benchmarks.store import s3_server
from noisescope_core.config import Config, load_config
from noisescope_core.simulate.camera import Camera, build_camera, photograph, stored_photograph
from noisescope_core.simulate.decoder import STRIDE, Decoder, build_decoder, decode_scene
from noisescope_core.simulate.dump import jpeg_file
from noisescope_core.simulate.processing import rounded_down
from noisescope_core.simulate.scene import scene
from noisescope_core.spark.scans.maintenance import maintain
from noisescope_core.spark.scans.scan import scan
from noisescope_core.spark.scans.store import Store
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.session.start import session_settings, start_session

Row = dict[str, Any]

DAYS = 180

FIRST = {"p": 1, "g0": 1, "g1": 25, "phone": 35, "g2": 55, "body": 70, "g3": 90, "g4": 125}
"""Day on which who makes images appears: photographs of six cameras; generators; a phone that
rounds down, at any size; a camera body whose photographs are never cut, of one size."""

A_DAY = {"p": 30, "phone": 4, "body": 4}
"""Files of each a day."""

OF_A_GENERATOR = 6

DEVICES = ("phone", "body")

AGAIN, REPLACED, REFUSED = 2, 1, 0.05
"""A day's files that are others under another name and that take another's place; share of all
files of which every read of a day is refused."""

BROKEN = (b"", b"no image", b"\x89PNG\r\n\x1a\n" + bytes(40), b"\xff\xd8\xff\xe0" + bytes(500))

SIDES = (128, 192)
"""Shortest and longest side, pixels. Chosen: as small as lattices are found at."""

GAIN = 4
"""By which decoders' textures are stronger than `build_decoder` makes them, as images are small."""

CAMERAS, REFERENCE = 12, 300
"""Of the reference, the first six of which take the photographs, too; and images in it."""

KILLED = 8
"""Every so many days the scan is killed."""

MAINTAINED = 7
"""Every so many days the tables are maintained. A day lasts a minute, so no earlier state is kept:
nothing else runs by then."""

SETTINGS = ("spark.master=local[2]", "source.attempts=2", "source.unreadable=0.5", *FEW_ROWS)
"""Two attempts, for a file that is refused is refused all day; and of the few files of a day more
may be than are allowed by default."""

BUCKET = "pile/images"

SEED = 7


def half_year(folder: Path, days: int = DAYS) -> tuple[list[Row], list[str]]:
    """Run the days that are missing: a row for each day, and what was found in sentences."""
    folder.mkdir(parents=True, exist_ok=True)
    with s3_server() as (endpoint, environment):
        command = [sys.executable, "-m", "benchmarks.half_year", str(folder), "--days", str(days)]
        subprocess.run([*command, "--endpoint", endpoint], env=os.environ | environment, check=True)
    rows = _rows(folder)[:days]
    return rows, list(_findings(rows))


def _rows(folder: Path) -> list[Row]:
    """Read the days that are done."""
    file = folder / "days.csv"
    if not file.exists():
        return []
    with file.open(newline="") as lines:
        return [
            {name: value if name == "claims" else float(value) for name, value in row.items()}
            for row in csv.DictReader(lines)
        ]


def _run(folder: Path, days: int, endpoint: str) -> None:
    """Run the days that are missing, and write their rows."""
    pile = Pile(folder / "store", endpoint)
    _write_reference(folder / "reference")
    pile.restore()
    config = load_config(None, SETTINGS)
    images = f"s3a://{BUCKET}"
    spark = start_session(config, folder / "spark.log", delta=True, locations=(images,))
    with session_settings(spark, config):
        _run_days(spark, config, pile, folder, images, days)
    spark.stop()


def _run_days(
    spark: SparkSession, config: Config, pile: Pile, folder: Path, images: str, days: int
) -> None:
    rows = _rows(folder)
    done = len(rows)
    store = Store(spark, str(folder / "tables"))
    scheduler = spark.sparkContext._jsc.sc().dagScheduler()
    lasts, goes_on = rows[-1]["seconds"] if rows else 60.0, (folder / "tables").exists()
    for day in range(done + 1, days + 1):
        replaced = pile.deliver(day)
        started, jobs = time.monotonic(), scheduler.numTotalJobs()
        store.create()
        last = max((row.scan for row in store.read("runs").select("scan").collect()), default=0)
        killed = day % KILLED == 0
        if killed:
            _kill_one(folder, images, float(_draws(day, "kill").uniform(0.2, 1.0)) * lasts)
        # What a scan that died had begun the next one ends; the one after takes what is new.
        for _ in range(2 if killed or goes_on else 1):
            scan(store, config, Progress(spark), images, str(folder / "reference"))
        goes_on, seconds = False, time.monotonic() - started
        lasts = lasts if killed else seconds
        jobs = scheduler.numTotalJobs() - jobs
        pile.after(day)
        row = {"day": day, **_counted(store, last), "killed": int(killed), "seconds": seconds,
               "jobs": jobs, **_judged(store, pile, day, replaced)}  # fmt: skip
        if day % MAINTAINED == 0:
            started = time.monotonic()
            maintain(store, config, Progress(spark), 0, None)
            row["maintain, s"] = time.monotonic() - started
        tables, work = folder / "tables", Path(store.scans)
        row["work, MB"] = _megabytes(work)
        row["tables, MB"] = _megabytes(tables) - row["work, MB"]
        _append(folder / "days.csv", {"maintain, s": 0.0} | row)


def _counted(store: Store, last: int) -> Row:
    """Add up what the scans of a day have counted.

    Raises
    ------
    AssertionError
        If what became of the files is not as many as there were.
    """
    counts = (
        "files",
        "scored",
        "unscored",
        "quarantined",
        "unreadable",
        "fake",
        "rejudged",
        "found",
    )
    runs = store.read("runs").where(f"scan > {last}").collect()
    row = {name: sum(run[name] for run in runs) for name in counts}
    if row["files"] != sum(row[name] for name in counts[1:5]):
        raise AssertionError(f"counts do not add up: {row}")
    return row | {"alerts": sum(len(run.alerts) for run in runs)}


def _judged(store: Store, pile: Pile, day: int, replaced: Mapping[str, str]) -> Row:
    """Hold the verdicts against what was delivered, and against who made it.

    Parameters
    ----------
    replaced : path of a file that another took the place of today, and the sha256 of that

    Raises
    ------
    AssertionError
        If a file has no verdict or several, or a path was never delivered.
    """
    names = ("path", "status", "is_fake", "fingerprint_id", "image_id")
    verdicts = store.read("current_verdicts").select(*names).collect()
    paths = Counter(row.path for row in verdicts)
    expected = Counter(f"s3a://{BUCKET}/{name}" for name in pile.delivered(day))
    if paths != expected:
        differing = sorted((paths - expected) + (expected - paths))
        raise AssertionError(f"day {day}: verdicts and files differ: {differing[:5]}")
    claims: dict[str, Counter[str]] = defaultdict(Counter)
    sent: Counter[str] = Counter()
    for row in verdicts:
        sent[_maker(row.path)] += row.status == "scored"
        if row.is_fake:
            claims[row.fingerprint_id][_maker(row.path)] += 1
    owners = {name: of_it.most_common(1)[0][0] for name, of_it in claims.items()}
    flagged = sum(claims.values(), Counter())
    image_of = {row.path: row.image_id for row in verdicts}
    return {
        "delivered": len(expected), "in the queue": store.read("unreadable").count(),
        "waiting": store.read("arrivals").where("features > 0").count(),
        "replaced": len(replaced),
        "replaced seen": sum(
            image_of[f"s3a://{BUCKET}/{name}"] == content for name, content in replaced.items()
        ),
        "photographs flagged": flagged["p"],
        "of devices flagged": sum(flagged[maker] for maker in DEVICES),
        "fingerprints of devices": sum(owner in DEVICES for owner in owners.values()),
        "claims": json.dumps(
            {maker: [sent[maker], flagged[maker], list(owners.values()).count(maker)]
             for maker in FIRST if sent[maker]}
        ),
    }  # fmt: skip


def _maker(path: str) -> str:
    return path.rpartition("_")[2].removesuffix(".jpg")


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def _append(file: Path, row: Row) -> None:
    """Add a row to a file, which gets a head if it is new."""
    is_new = not file.exists()
    with file.open("a", newline="") as lines:
        writer = csv.DictWriter(lines, list(row))
        if is_new:
            writer.writeheader()
        writer.writerow(row)
    print(json.dumps(row), flush=True)


def _kill_one(folder: Path, images: str, after: float) -> None:
    """Start a scan, and kill it after so many seconds unless it has ended by then."""
    with (folder / "killed.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "noisescope_core.cli", "scan", "--images", images,
             "--reference", str(folder / "reference"), "--tables", str(folder / "tables"),
             *set_options(SETTINGS)],
            stdout=subprocess.DEVNULL, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Pile:
    """The images: a bucket of the server, and the same on this disk for a later call.

    Parameters
    ----------
    folder : on this disk
    endpoint : of the server
    """

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder, self.endpoint = folder, endpoint
        self.system = fs.S3FileSystem(
            endpoint_override=endpoint, allow_bucket_creation=True, region="us-east-1"
        )
        self.system.create_dir(BUCKET.split("/")[0])
        folder.mkdir(parents=True, exist_ok=True)

    def restore(self) -> None:
        """Give a new server what earlier calls have delivered."""
        fs.copy_files(str(self.folder), BUCKET, destination_filesystem=self.system)
        self._ask({"dated": self._dated(self._stored())})

    def _stored(self) -> list[str]:
        return [str(file.relative_to(self.folder)) for file in sorted(self.folder.glob("*/*"))]

    def _dated(self, names: Iterable[str]) -> dict[str, int]:
        """When files were changed, by path: so a later server says the same of them."""
        times = {name: (self.folder / name).stat().st_mtime for name in names}
        return {f"/{BUCKET}/{name}": int(time) for name, time in times.items()}

    def _names(self, before: int) -> list[str]:
        return [name for name in self._stored() if int(name[:3]) < before]

    def delivered(self, day: int) -> list[str]:
        """Every name that a scan can have seen until a day, those that vanished too."""
        return [*self._names(day + 1), *(_vanishing(earlier) for earlier in range(1, day + 1))]

    def deliver(self, day: int) -> dict[str, str]:
        """Deliver a day's files, and let reads fail: sha256 of what is replaced, by name."""
        rng, earlier = _draws(day, "deliver"), self._names(day)
        new = {f"{day:03d}/{number:03d}_{maker}.jpg": picture(maker, day, number)
               for number, maker in enumerate(_makers(day))}  # fmt: skip
        new[f"{day:03d}/broken_b.jpg"] = BROKEN[day % len(BROKEN)]
        new[_vanishing(day)] = picture("p", day, 999)
        whole = [name for name in earlier if not name.endswith("_b.jpg")]
        chosen = rng.choice(whole, AGAIN + REPLACED, replace=False).tolist() if whole else []
        for number, name in enumerate(chosen[:AGAIN]):
            content = (self.folder / name).read_bytes()
            new[f"{day:03d}/again{number}_{_maker(name)}.jpg"] = content
        others = {name: picture(_maker(name), day, 998) for name in chosen[AGAIN:]}
        for name, content in (new | others).items():
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_bytes(content)
            with self.system.open_output_stream(f"{BUCKET}/{name}") as stream:
                stream.write(content)
        names = [*earlier, *new]
        refused = [name for name in names if rng.random() < REFUSED and name != _vanishing(day)]
        deny = [f"/{BUCKET}/{name}" for name in refused]
        vanish = {f"/{BUCKET}/{_vanishing(day)}": "GET"}
        self._ask({"deny": deny, "vanish": vanish, "dated": self._dated(new | others)})
        return {name: sha256(content).hexdigest() for name, content in others.items()
                if name not in refused}  # fmt: skip

    def after(self, day: int) -> None:
        """Take away what vanished on a day."""
        (self.folder / _vanishing(day)).unlink(missing_ok=True)

    def _ask(self, rules: Row) -> None:
        request = Request(f"{self.endpoint}/_rules", json.dumps(rules).encode(), method="PUT")
        with urlopen(request):
            pass


def _vanishing(day: int) -> str:
    return f"{day:03d}/vanishing_p.jpg"


def _makers(day: int) -> Iterator[str]:
    for maker, first in FIRST.items():
        if day >= first:
            yield from [maker] * A_DAY.get(maker, OF_A_GENERATOR)


def _draws(*key: int | str) -> np.random.Generator:
    numbers = [part if isinstance(part, int) else sum(part.encode()) for part in key]
    return np.random.default_rng([SEED, *numbers])


def picture(maker: str, day: int, number: int) -> bytes:
    """Make one image, as a JPEG file."""
    cv2.setNumThreads(1)
    rng = _draws(maker, day, number)
    quality = int(rng.integers(88, 97))
    height, width = (int(side) for side in rng.integers(SIDES[0], SIDES[1] + 1, 2))
    if maker.startswith("g"):
        height, width = height // STRIDE * STRIDE, width // STRIDE * STRIDE
        pixels = decode_scene(_decoder(maker), rng, scene(rng, height, width))
    elif maker == "phone":
        pixels = stored_photograph(_phone(), rng, height, width, rounded_down)
    elif maker == "body":
        pixels = stored_photograph(_body(), rng, *SIDES)
    else:
        half = CAMERAS // 2 if maker == "p" else CAMERAS
        pixels = photograph(_camera(number % half), rng, height, width, (1.1, 1.6))
    return jpeg_file(pixels, quality)


@cache
def _camera(number: int) -> Camera:
    return build_camera(_draws("camera", number), SIDES[1], SIDES[1])


def _phone() -> Camera:
    return replace(_camera(CAMERAS), quality=(99, 99))


def _body() -> Camera:
    camera = _camera(CAMERAS + 1)
    # So small that every photograph lies at the same place of it.
    sensor = camera.prnu[: SIDES[0] + 1, : SIDES[1] + 1]
    return replace(camera, prnu=sensor, quality=(95, 98))


@cache
def _decoder(maker: str) -> Decoder:
    decoder = build_decoder(_draws("decoder", maker))
    gains = np.ones(6, np.float32)
    gains[3:] = GAIN
    return replace(decoder, kernels=(*decoder.kernels[:2], decoder.kernels[2] * gains))


def _write_reference(folder: Path) -> None:
    if folder.exists():
        return
    partly = folder.with_name("reference.partly")
    shutil.rmtree(partly, ignore_errors=True)
    partly.mkdir()
    for number in range(REFERENCE):
        (partly / f"{number:03d}.jpg").write_bytes(picture("reference", 0, number))
    partly.rename(folder)


def _findings(rows: list[Row]) -> Iterator[str]:
    """Say of each generator when it had sent 50 images and was found, and what days took.

    A fingerprint is of the maker of most of what it claims, so a generator whose images are claimed
    by others' fingerprints is flagged before it is found.
    """
    of_day = {int(row["day"]): json.loads(row["claims"]) for row in rows}
    for maker in (maker for maker in FIRST if maker.startswith("g")):
        told = {day: claims[maker] for day, claims in of_day.items() if maker in claims}
        if not told:
            continue
        fifty = next((day for day, (sent, _, _) in told.items() if sent >= 50), None)
        found = next((day for day, (_, _, owned) in told.items() if owned), None)
        then = f", {told[found][0]} images by then" if found else ""
        half = next((day for day, (sent, hit, _) in told.items() if 2 * hit >= sent), None)
        sent, flagged, owned = told[max(told)]
        yield (
            f"{maker}: 50 images on day {fifty}, half of its images flagged from day {half}, "
            f"a fingerprint of its own on day {found}{then}; in the end "
            f"{flagged:,} of {sent:,} flagged, by {owned} fingerprints of its own"
        )
    last = rows[-1]
    yield f"photographs flagged: {last['photographs flagged']:,.0f}"
    yield (
        f"of devices: {last['of devices flagged']:,.0f} flagged, most fingerprints on a day "
        f"{max(row['fingerprints of devices'] for row in rows):.0f}"
    )
    yield f"verdicts: {last['delivered']:,.0f}, one for each file on every day"
    seen, replaced = (sum(row[name] for row in rows) for name in ("replaced seen", "replaced"))
    yield f"files replaced under their name: {replaced:.0f}, seen at the next scan {seen:.0f}"
    third = max(1, len(rows) // 3)
    for name in ("seconds", "jobs", "tables, MB", "work, MB"):
        plain = [row[name] for row in rows if not row["killed"]]
        first, late = median(plain[:third]), median(plain[-third:])
        yield f"{name}: {first:,.1f} in the first third of the days, {late:,.1f} in the last"


@click.command()
@click.argument("folder", type=Path)
@click.option("--days", default=DAYS, show_default=True)
@click.option("--endpoint", help="Of an S3 server, in whose environment this runs; else started.")
def main(folder: Path, days: int, endpoint: str | None) -> None:
    """Run the days that are missing, and say what they showed."""
    if endpoint:
        _run(folder, days, endpoint)
    else:
        print("\n".join(half_year(folder, days)[1]))


if __name__ == "__main__":
    main()
