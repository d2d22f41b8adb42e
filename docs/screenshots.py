"""Pictures of a report in docs/: `python -m docs.screenshots`, a minute or two, or `--run DIR`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from PIL import Image
from playwright.sync_api import ViewportSize

from benchmarks.browser import browser

DOCS = Path(__file__).parent

LARGEST = 250_000
"""Bytes that a picture may have; chosen: a page of docs/ loads quickly."""

A4: ViewportSize = {"width": 794, "height": 1123}
PHONE: ViewportSize = {"width": 390, "height": 844}
DESK: ViewportSize = {"width": 1200, "height": 1480}
"""Pixels of a printed page, a telephone and a large window."""


@click.command()
@click.option("--run", "run", type=Path, help="Finished run; else images are simulated.")
@click.option("--out", default=DOCS, type=Path, help="Folder of the pictures.")
def main(run: Path | None, out: Path) -> None:
    """Write report.png and pictures/ of the report of a run."""
    with tempfile.TemporaryDirectory(prefix="noisescope-") as folder:
        taken = taken_of((run or simulated(Path(folder))) / "report.html")
    (out / "pictures").mkdir(exist_ok=True)
    for name, pixels in taken.items():
        file = out / name
        if file.suffix == ".png":
            Image.fromarray(pixels).quantize(128, dither=Image.Dither.NONE).save(
                file, optimize=True
            )
        else:
            Image.fromarray(pixels).save(file, quality=72, method=6)
        click.echo(f"{file}  {file.stat().st_size / 1000:.0f} kB")
        if file.stat().st_size > LARGEST:
            raise click.ClickException(f"{file}: larger than {LARGEST / 1000:.0f} kB")


def simulated(folder: Path) -> Path:
    """Make images of two generators, and the run that finds them."""

    def noisescope(*words: str) -> None:
        program = [sys.executable, "-m", "noisescope_core.cli", *words]
        subprocess.run(program, cwd=folder, check=True)

    noisescope("simulate", "--out", "dump", "--photographs", "200", "--generated", "160",
               "--generators", "2", "--reference", "400")  # fmt: skip
    noisescope("detect", "--images", "dump/images", "--reference", "dump/reference",
               "--out", "run")  # fmt: skip
    return folder / "run"


def taken_of(report: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Photograph a report: file name to (H, W, 3) uint8."""
    taken = {}
    with browser() as started:
        page = started.new_page(viewport=DESK)
        page.goto(report.resolve().as_uri())
        taken["report.png"] = shot(page)
        taken["pictures/report-fingerprint.webp"] = shot(page, page.locator("article").first)
        page.get_by_role("link", name="Show them").last.click()
        page.locator("#order").select_option("lowest")
        taken["pictures/report-gallery.webp"] = shot(page)

        page.emulate_media(color_scheme="dark")
        page.locator("article").first.evaluate("element => element.scrollIntoView()")
        taken["pictures/report-dark.webp"] = shot(page)
        page.emulate_media(media="print")
        page.set_viewport_size(A4)
        # A printer's margin.
        page.add_style_tag(content="body { padding: 48px !important; }")
        pages = [shot(page, top=k * A4["height"]) for k in range(2)]
        taken["pictures/report-print.webp"] = beside(pages)

        phone = started.new_page(viewport=PHONE, is_mobile=True, device_scale_factor=1.5)
        phone.goto(report.resolve().as_uri())
        screens = [shot(phone)]
        phone.locator("article h4").first.evaluate("element => element.scrollIntoView()")
        screens.append(shot(phone))
        phone.locator("#flagged").evaluate("element => element.scrollIntoView()")
        taken["pictures/report-phone.webp"] = beside([*screens, shot(phone)])
    return taken


def shot(page: Any, element: Any = None, top: int | None = None) -> np.ndarray[Any, Any]:
    """Photograph what is on the screen, an element, or a screen from so far down the page."""
    if top is not None:
        page.evaluate("top => scrollTo(0, top)", top)
    data = (element or page).screenshot()
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    return np.asarray(pixels)


def beside(pictures: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Set pictures of one height beside each other."""
    gap = np.full((pictures[0].shape[0], 24, 3), 128, np.uint8)
    parts = [part for picture in pictures for part in (gap, picture)][1:]
    return np.concatenate(parts, axis=1)


if __name__ == "__main__":
    main()
