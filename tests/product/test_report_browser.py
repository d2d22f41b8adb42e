"""The report in a browser: what its controls do, on any screen, with and without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noisescope_core.report import render_report
from tests.report_inputs import EVIDENCE, HOSTILE, related, results

pytest.importorskip("playwright")

FIRST, SECOND = "3f2a91c0d4e5", "77c0ffee77c0"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from benchmarks.browser import NAMES, browser, installed

    if installed() is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two generators: five images with a picture, three without, names of all kinds."""
    family = [
        related(FIRST),
        related(SECOND, 1),
        related("e81d20b97c64", 2, origin=FIRST, factor=2.0),
    ]
    run = results(method="whitened", families=[family])
    one, other = run["fingerprints"]
    one |= EVIDENCE | {"growth": []}
    pixels = np.random.default_rng(1).normal(size=(96, 96)).astype(np.float32)
    second = one | {"fingerprint_id": SECOND, "images": 20, "carried": 4, "pixels": pixels}
    low, high = run["flagged"]
    run["fingerprints"] = [one, second, other | EVIDENCE | {"maker": "device", "strength": 0.01}]
    run["flagged"] = [
        low | {"confidence": 0.6},
        high | {"confidence": 1.0},
        high | {"path": f"/data/{HOSTILE}", "score": 50.0, "confidence": 0.9},
        high | {"path": "/data/b/Red Car.png", "score": 900.0, "confidence": 0.99999,
                "fingerprint_id": SECOND},
        high | {"path": f"/data/{300 * 'long'}.png", "score": 20.0, "confidence": 0.8,
                "fingerprint_id": SECOND},
    ]  # fmt: skip
    (further,) = run["further"]
    run["further"] = [
        further | {"path": f"/data/c/red {k}.png", "score": 100.0 + k, "confidence": 0.7,
                   "fingerprint_id": (FIRST, SECOND, SECOND)[k]}
        for k in range(3)
    ]  # fmt: skip
    run["set_aside"].append(
        {"path": f"/data/{300 * 'x'}.jpg", "status": "quarantined", "reason": 200 * "y"}
    )
    page = tmp_path_factory.mktemp("report") / "report.html"
    page.write_text(render_report(**run), encoding="utf-8")
    return page


@pytest.fixture
def opened(browser: Any, report: Path) -> Iterator[Any]:
    """Open the report; anything that the browser complains of or asks for fails the test."""
    contexts, trouble = [], []

    def open_page(**kind: Any) -> Any:
        context = browser.new_context(**kind)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("dialog", lambda dialog: (trouble.append("a dialog"), dialog.dismiss()))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith(("data:image/", report.as_uri()))
                else trouble.append(request.url)
            ),
        )
        page.goto(report.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert trouble == []


def scores(page: Any) -> list[float]:
    """Scores of the flagged images that can be seen with a picture, in their order."""
    shown: list[float] = page.locator(".gallery li:visible").evaluate_all(
        "all => all.map(one => Number(one.dataset.score))"
    )
    return shown


def test_images_are_filtered_by_fingerprint(opened: Any) -> None:
    page = opened()
    assert scores(page) == [310, 50, 12, 900, 20]
    assert page.locator("#count").inner_text() == "8 of 8 shown"
    page.locator("#print").select_option(SECOND)
    assert scores(page) == [900, 20]
    assert page.locator("#count").inner_text() == "4 of 8 shown"
    # What is listed without a picture opens, or it would be missed.
    assert page.locator(".further tbody tr:visible").count() == 2
    page.get_by_role("button", name="Show all").click()
    assert len(scores(page)) == 5
    page.get_by_role("link", name="Show them").first.click()
    assert scores(page) == [310, 50, 12]
    assert page.locator("#print").input_value() == FIRST
    assert page.locator("#find").evaluate("one => one.getBoundingClientRect().top < innerHeight")


def test_images_are_sorted(opened: Any) -> None:
    page = opened()
    order = page.locator("#order")
    order.select_option("highest")
    assert scores(page) == [900, 310, 50, 20, 12]
    order.select_option("lowest")
    assert scores(page) == [12, 20, 50, 310, 900]
    order.select_option("confidence")
    assert scores(page) == [12, 20, 50, 900, 310]
    order.select_option("fingerprint")
    assert scores(page) == [310, 50, 12, 900, 20]
    page.locator("summary", has_text="without a picture").click()
    order.select_option("highest")
    listed = page.locator(".further tbody tr").evaluate_all("a => a.map(o => o.dataset.score)")
    assert listed == ["102.0", "101.0", "100.0"]


def test_images_are_searched_by_name_from_the_keyboard(opened: Any) -> None:
    page = opened()
    page.locator("#print").focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("RED car")
    assert scores(page) == [900]
    # Enter leaves the page where it is.
    page.keyboard.press("Enter")
    assert page.locator("#count").inner_text() == "1 of 8 shown"
    for _ in "car":
        page.keyboard.press("Backspace")
    assert page.locator("#count").inner_text() == "4 of 8 shown"
    page.keyboard.type("nothing")
    assert page.locator("#count").inner_text() == "0 of 8 shown"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("#count").inner_text() == "8 of 8 shown"
    assert page.evaluate("document.activeElement.id") == "words"
    assert page.locator("#count").get_attribute("aria-live") == "polite"


def test_links_open_the_files(opened: Any) -> None:
    page = opened()
    link = page.locator('.gallery li[data-path="/data/b/Red Car.png"] a')
    assert link.get_attribute("href") == "file:///data/b/Red%20Car.png"
    assert link.get_attribute("rel") == "noreferrer noopener"
    assert all(
        target.startswith(("file:///", "#"))
        for target in page.locator("a").evaluate_all("all => all.map(one => one.href)")
        if not target.startswith(page.url.partition("#")[0])
    )


def test_everything_is_there_without_scripts(opened: Any) -> None:
    page = opened(java_script_enabled=False)
    assert page.locator(".gallery li:visible").count() == 5
    assert not page.locator("#find").is_visible()
    page.locator("summary", has_text="without a picture").click()
    assert page.locator(".further tbody tr:visible").count() == 3


def test_a_phone_never_scrolls_sideways(opened: Any) -> None:
    page = opened(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    page.locator("details").evaluate_all("all => { for (const one of all) one.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.locator("#print").select_option(SECOND)
    assert scores(page) == [900, 20]
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_dark_light_and_print(opened: Any) -> None:
    page = opened(color_scheme="dark")

    def brightness(what: str) -> int:
        colour = page.evaluate(f"getComputedStyle(document.body).{what}")
        return sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(", ")))

    assert brightness("backgroundColor") < 150 < 600 < brightness("color")
    page.emulate_media(color_scheme="light")
    assert brightness("color") < 150 < 600 < brightness("backgroundColor")
    page.emulate_media(media="print", color_scheme="dark")
    assert brightness("color") < 150 < 600 < brightness("backgroundColor")
    assert not page.locator("#find").is_visible()
    # What is folded away on a screen is on paper.
    assert page.locator(".further tbody tr").first.evaluate("one => one.offsetHeight") > 0
