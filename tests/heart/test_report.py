"""The report page: what it says, that it stands alone, and that no file name can break it."""

from __future__ import annotations

import hashlib
import re
import shlex
from base64 import b64decode, b64encode
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import cv2
import numpy as np
import pytest

from noisescope_core.config import Config, load_config
from noisescope_core.paper.words import WORDS
from noisescope_core.report import render_report
from noisescope_core.report.answer import answer, families_in_words, set_aside_in_words
from noisescope_core.report.evidence import measurements, reason
from noisescope_core.report.figures import fingerprint_pictures, score_figure
from noisescope_core.report.formats import address, duration, percent, visible
from noisescope_core.report.render import command
from noisescope_core.whitened.makers.evidence import Evidence
from tests.report_inputs import EVIDENCE, HOSTILE, related, results


def counts(files: int, scored: int, fake: int) -> dict[str, int]:
    return {"files": files, "scored": scored, "unscored": files - scored, "quarantined": 0,
            "fake": fake, "real": scored - fake, "elsewhere": 0}  # fmt: skip


class Page(HTMLParser):
    """Elements and addresses of a page, as a browser would see them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [
            value or "" for key, value in attrs if key in {"src", "href", "xlink:href", "action"}
        ]
        self.ids += [value or "" for key, value in attrs if key == "id"]


SCRIPT = files("noisescope_core.report").joinpath("gallery.js").read_text(encoding="utf-8")


def scripts(html: str) -> list[str]:
    """All that a browser would run of the page, once the policy names it by its hash."""
    found = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    assert html.lower().count("<script") == len(found)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert policy and policy[1].startswith("default-src 'none'; ")
    hashes = [b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in found]
    assert re.findall(r"script-src ([^;]*);", policy[1]) == [f"'sha256-{one}'" for one in hashes]
    assert not re.search(r"<[^>]*\son\w+\s*=", html.replace(SCRIPT, ""))
    return found


def heading(html: str) -> str:
    found = re.search(r"<h1>(.*?)</h1>", html)
    assert found
    return found[1]


def test_images_found_elsewhere_are_told_in_the_answer_and_marked() -> None:
    run = results()
    run["summary"]["counts"]["elsewhere"] = 2
    run["flagged"][0] |= {"shift_x": 16, "shift_y": -8}
    _, meaning = answer(run["summary"])
    assert "2 of the 118 were found elsewhere on a fingerprint" in meaning
    html = render_report(**run)
    assert html.count("at 16, \u22128") == 1
    assert "elsewhere" not in answer(results()["summary"])[1]


def test_evidence_of_watermark_header_and_reference_is_told() -> None:
    run = results()
    run["fingerprints"][0] |= EVIDENCE | {
        "in_reference": 0.025, "header": "JPEG <4:2:0>", "same_header": 0.75,
        "watermark": "Stable Diffusion", "watermarked": 0.9,
    }  # fmt: skip
    html = render_report(**run)
    assert "2.5 % of the reference photographs score above its threshold" in html
    assert "90 % of its images carry the watermark of Stable Diffusion" in html
    assert "75 % are JPEG &lt;4:2:0&gt;." in html


FAMILIES = [
    [related("3f2a91c0d4e5"), related("77c0ffee77c0", 1)],
    [
        related("0b51e6d2f3a8"),
        related("e81d20b97c64", 1, maker="undetermined", origin="3f2a91c0d4e5", factor=0.75,
                score_here=2.0),
    ],
]  # fmt: skip


def test_files_that_were_set_aside_are_told_with_their_reasons() -> None:
    summary = results()["summary"]
    told = [("quarantined", f"reason {k}", k) for k in (1, 2, 3, 4)] + [("unscored", "flat", 9)]
    reasons = [dict(zip(("status", "reason", "files"), one, strict=True)) for one in told]
    counts = summary["counts"] | {"quarantined": 10}
    assert set_aside_in_words(summary | {"counts": counts, "reasons": reasons}) == [
        "Set aside, not read: 10 files (4: reason 4; 3: reason 3; 2: reason 2; and 1 other reason)."
    ]
    assert set_aside_in_words({"counts": counts | {"quarantined": 0}}) == []


def test_families_are_told_only_if_there_are_any() -> None:
    assert "Families" not in render_report(**results())
    assert families_in_words(results(families=[])["summary"]) == []
    run = results(families=FAMILIES[:1])
    html = render_report(**run)
    assert html.count("<h3>Families</h3>") == 1 and "rescaled" not in html
    assert "145.1 <small>over 20.2</small>" in html and "64.4 <small>over 21.3</small>" in html
    # To where the page tells of it; the other is shown nowhere.
    assert '<a href="#fingerprint-1"><code>3f2a91c0d4e5</code></a>' in html
    assert Page(html).ids.count("fingerprint-1") == 1
    assert "<code>77c0ffee77c0</code></a>" not in html
    assert families_in_words(run["summary"]) == [
        "Families: 2 fingerprints are one family of related decoders."
    ]
    assert families_in_words(results(families=FAMILIES)["summary"]) == [
        "Families: 4 fingerprints are 2 families of related decoders."
    ]


def test_a_family_says_what_was_rescaled_and_what_was_not_compared() -> None:
    lattices = {"images": 9, "reference": 9, "fingerprints": 300, "other_patterns": 0}
    html = render_report(**results(families=FAMILIES, lattices=lattices))
    assert "or if one holds the other\u2019s images, rescaled" in html
    assert "</code></a>, rescaled by 0.75" in html and "2.0 <small>under 21.3</small>" in html
    assert "largest of" not in html
    html = render_report(**results(families=FAMILIES, lattices=lattices | {"other_patterns": 9}))
    assert "Only the 300 largest of 309 fingerprints of any size were compared." in html


def test_names_in_families_are_escaped() -> None:
    hostile = related(HOSTILE, 1, above=HOSTILE, maker=HOSTILE, origin=HOSTILE, factor=2.0)
    html = render_report(**results(families=[[related(HOSTILE), hostile]]))
    assert scripts(html) == [SCRIPT]
    assert html.count("</title>") == 1 and not {"\u202e", "\x00"} & set(html)


def test_what_images_say_is_counted_beside_their_fingerprint() -> None:
    said = {"fingerprint_id": "3f2a91c0d4e5", "images": 118, "claiming": 9, "cameras": 1,
            "generator": HOSTILE, "named": 7}  # fmt: skip
    html = render_report(**results(records=[said]))
    assert "Of 118 images that carry it 9 say they are generated, 7 of them by <b>" in html
    assert "That makes 90 % of those that say anything" in html
    assert "Records: 9 images say they are generated, of which 9 carry a fingerprint." in html
    assert scripts(html) == [SCRIPT]
    silent = render_report(**results())
    assert "Records" not in silent
    unnamed = said | {"fingerprint_id": None, "generator": None, "named": 0}
    html = render_report(**results(records=[unnamed]))
    assert "of which 0 carry" in html and "<dt>Records" not in html


def test_page_stands_alone() -> None:
    html = render_report(**results(reference="/data/photos"))
    assert "http://" not in html and "https://" not in html
    page = Page(html)
    assert page.addresses
    beginnings = ("data:image/", "#", "file:///data/")
    assert all(one.startswith(beginnings) for one in page.addresses)
    assert not {"link", "iframe", "object", "base", "form"} & set(page.tags)
    assert scripts(html) == [SCRIPT]
    assert len(page.ids) == len(set(page.ids))


def test_same_input_same_page() -> None:
    assert render_report(**results()) == render_report(**results())


def test_every_name_from_outside_is_escaped_and_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    # A name that no method has is escaped too.
    monkeypatch.setattr("noisescope_core.report.answer.words_of", lambda summary: WORDS)
    monkeypatch.setattr("noisescope_core.report.render.words_of", lambda summary: WORDS)
    clean = Page(render_report(**results()))
    run = results(images=HOSTILE, reference=HOSTILE, warnings=[HOSTILE], method=HOSTILE,
                  config={HOSTILE: {HOSTILE: 1}, "detection": {"percentile": 99.5}})  # fmt: skip
    run["summary"]["reasons"][0]["reason"] = HOSTILE
    run["summary"]["stages"][0]["what"] = HOSTILE
    for record in run["flagged"] + run["further"] + run["set_aside"]:
        record["path"] = HOSTILE
    for record in run["fingerprints"] + run["flagged"] + run["further"]:
        record["fingerprint_id"] = HOSTILE
    html = render_report(**run)
    assert scripts(html) == [SCRIPT]
    assert not {"\u202e", "\x00"} & set(html)
    assert "\u27e8U+000A\u27e9\u27e8U+202E\u27e9gpj.\u27e8U+DC80\u27e9\u27e8U+0000\u27e9" in html
    assert "\u0634\u062a\u0627\u0621" in html
    html.encode("utf-8")
    hostile = Page(html)
    # A configuration of one key instead of three: everything else must be the same elements.
    assert set(hostile.tags) == set(clean.tags)
    assert hostile.tags.count("img") == clean.tags.count("img")


def test_hostile_reason_in_answer_is_escaped() -> None:
    run = results(counts=counts(3, 0, 0), sizes=[],
                  reasons=[{"status": "unscored", "reason": HOSTILE, "files": 3}])  # fmt: skip
    html = render_report(**(run | {"fingerprints": [], "flagged": [], "further": []}))
    assert scripts(html) == [SCRIPT]
    assert html.count("</title>") == 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "118 of 320 images carry the fingerprint of 1 generator."),
        ({"counts": counts(1200, 1, 1)}, "1 of 1 image carries the fingerprint of 1 generator."),
        ({"counts": counts(9, 9, 0)}, "None of 9 images carry the fingerprint of 1 generator."),
        (
            {"sizes": [{"fingerprints": k, "other_patterns": 0} for k in (1, 2)]},
            "118 of 320 images carry a generator\u2019s fingerprint; "
            "3 different fingerprints were found.",
        ),
        (
            {"counts": counts(325, 320, 0), "sizes": [{"fingerprints": 0, "other_patterns": 0}]},
            "No generator\u2019s fingerprint was found among 320 images.",
        ),
        (
            {"counts": counts(13, 0, 0), "sizes": []},
            "No image could be scored.",
        ),
        (
            {"counts": counts(0, 0, 0), "sizes": [], "reasons": []},
            "No image could be scored.",
        ),
    ],
)
def test_answer(changes: dict[str, Any], sentence: str) -> None:
    assert answer(results(**changes)["summary"])[0] == sentence


def test_nothing_scored_says_why() -> None:
    run = results(counts=counts(13, 0, 0), sizes=[])
    meaning = answer(run["summary"])[1]
    assert "zero bytes (8 files); too few of this size (5 files)." in meaning
    run = results(counts=counts(0, 0, 0), sizes=[], reasons=[])
    assert "no files" in answer(run["summary"])[1]


def test_patterns_of_other_makers_are_not_denied() -> None:
    sizes = [{"fingerprints": 0, "other_patterns": 2}]
    headline, meaning = answer(results(counts=counts(325, 320, 0), sizes=sizes)["summary"])
    assert headline == "No generator\u2019s fingerprint was found among 320 images."
    assert "2 groups of images that share a noise pattern were found" in meaning


def test_what_lay_beneath_an_overlay_says_so() -> None:
    run = results()
    assert "beneath an overlay" not in render_report(**run)
    run["fingerprints"][0]["covered"] = [True] * 9 + [False] * 27
    run["fingerprints"][1] |= EVIDENCE | {"maker": "overlay", "spread": 0.12}
    page = render_report(**run)
    # Of the evidence, only what speaks for it.
    assert page.count("<li><b>spread</b> 0.12.") == 1 and "<li><b>colour</b>" not in page
    assert "Found beneath an overlay, without the 25 % of the picture" in page
    assert "judged: overlay" in page


def test_expected_false_alarms_are_stated() -> None:
    assert "lets about 1 photograph through" in answer(results()["summary"])[1]
    run = results(counts=counts(300_000, 300_000, 1_531))
    assert "lets about 1,492 photographs through" in answer(run["summary"])[1]
    run["summary"]["config"]["detection"]["percentile"] = 99.0
    assert "lets about 2,985 photographs through" in answer(run["summary"])[1]


def test_answer_is_the_heading() -> None:
    assert heading(render_report(**results())) == (
        "118 of 320 images carry the fingerprint of 1 generator."
    )


def test_nothing_but_a_summary() -> None:
    run = results(counts=counts(0, 0, 0), sizes=[], stages=[], reasons=[], warnings=[])
    html = render_report(run["summary"], [], [], [], [])
    assert heading(html).startswith("No image could be scored")
    assert "<img" not in html and "<svg" not in html and 'id="find"' not in html


def test_gallery_shows_highest_score_first_and_says_what_is_missing() -> None:
    html = render_report(**results())
    assert html.index("high.png") < html.index("low.png")
    assert "no preview" in html
    assert "3 of 118 are here" in html
    assert "2 with a picture, 1 by name." in html


def test_figure_states_the_shares_above_the_threshold() -> None:
    panels = [("a", np.zeros(400), None), ("b", [0.5, 9.9, 10.0, 400.0], [1, 1, 6, 2])]
    svg = score_figure(panels, 9.9)
    assert "8 of 10 above (80.0%)" in svg
    assert "0 of 400 above (0.0%)" in svg
    assert "threshold 9.9" in svg
    assert "#0000" not in svg


@pytest.mark.parametrize("images", [[np.nan], [1e9, -1e9], [-3.0], np.zeros(5)])
def test_figure_of_odd_scores(images: Any) -> None:
    for threshold in (-2.0, None):
        panels = [("a", images, None), ("b", [0.1], [3])]
        assert score_figure(panels, threshold).startswith("<svg")
    assert score_figure([("a", [], None)], 9.9) == score_figure([], 9.9) == ""


def test_fingerprint_is_cropped_never_scaled() -> None:
    stripes = np.tile(np.array([-1, 1], np.float32), (500, 400))
    picture = fingerprint_pictures(stripes)["residual"]
    data = np.frombuffer(b64decode(picture.partition(",")[2]), np.uint8)
    grey = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    assert grey is not None and grey.shape == (384, 384)
    np.testing.assert_array_equal(grey, np.tile(grey[:1, :2], (384, 192)))
    assert grey[0, 0] + grey[0, 1] == 255 and grey[0, 0] != grey[0, 1]


@pytest.mark.parametrize(
    ("path", "link"),
    [
        ("/data/a b #1?.png", "file:///data/a%20b%20%231%3F.png"),
        ("/data/100%/\u00e9.png", "file:///data/100%25/%C3%A9.png"),
        ("/data/\udc80.png", "file:///data/%80.png"),
        ("/data/\ud800.png", None),
        ("s3a://bucket/a%20b c.png", "s3a://bucket/a%20b%20c.png"),
        ('https://example.org/?a=1&b="x"', "https://example.org/?a=1&b=%22x%22"),
        ("javascript:alert(1)", None),
        ("javascript://%0aalert(1)", None),
        ("data:text/html,<script>", None),
        ("//host/share.png", None),
        ("relative.png", None),
    ],
)  # fmt: skip
def test_address(path: str, link: str | None) -> None:
    assert address(path) == link


def test_command_makes_the_run_again() -> None:
    summary = results(config=Config().model_dump())["summary"] | {"images": "my images; rm"}
    assert command(summary) == (
        "noisescope detect --images 'my images; rm' --reference https://example.org/photos "
        "--out /data/run"
    )
    config = load_config(None, ["method=paper", "discovery.chance=0.02", "report.listed=7"])
    summary["config"] = config.model_dump(exclude={"spark": {"conf"}})
    words = shlex.split(command(summary))
    assert words[8::2] == ["--set"] * 3 and "method=paper" in words
    assert load_config(None, words[9::2]) == config


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100.0 %"), (0.99999, "> 99.9 %"), (0.9861, "98.6 %"), (1e-9, "< 0.1 %"), (0, "0.0 %"),
     (None, "\u2013")],
)  # fmt: skip
def test_percent_is_all_only_if_it_is(share: float | None, text: str) -> None:
    assert percent(share) == text


def test_purity_and_growth_are_told() -> None:
    run = results()
    html = render_report(**run)
    assert "At most 98.6 %" in html
    assert html.count('<span class="pieces"') == 2
    run["summary"]["method"] = "whitened"
    steps = [{"step": "as searched", "images": 40, "members": 38}]
    run["fingerprints"][0] |= EVIDENCE | {"growth": steps, "purity": None}
    html = render_report(**run)
    assert "At most 98" not in html and html.count('<span class="pieces"') == 1
    assert "as searched" in html
    assert "the best group of 2 repeats reached 0.7" in html


def test_evidence_says_what_another_maker_would_have() -> None:
    record = results()["fingerprints"][0] | EVIDENCE
    measured = {measurement.name: measurement for measurement in measurements(record)}
    assert [name for name, value in measured.items() if value.against] == [
        "colour",
        "hue",
        "peak",
        "clear",
    ]
    assert measured["spread"].finding == "no overlay"
    assert "below 0.38" in measured["spread"].otherwise
    assert reason(record).endswith("and it is strong, as no sensor\u2019s pattern is.")
    marked = record | {"watermarked": 0.6}
    assert "known watermark" in reason(marked)
    unlike = record | {"maker": "processing", "grid": 0.8, "lattice": 0.4}
    assert "JPEG grid" in reason(unlike) and "resized" in reason(unlike)
    assert "logo" in reason(record | {"maker": "overlay", "spread": 0.1})
    assert "sensor" in reason(record | {"maker": "device", "strength": 0.001})
    assert reason(results()["fingerprints"][0]) == ""


@pytest.mark.parametrize("maker", ["generator", "device", "overlay", "processing"])
def test_evidence_agrees_with_the_rule(maker: str) -> None:
    values = dict.fromkeys(
        ("spread", "images", "colour", "peak", "clear", "strength"), 9.0
    ) | dict.fromkeys(("grid", "lattice", "uneven", "scaled", "hue"), 0.0)
    values |= {
        "generator": {}, "device": {"colour": 0.1, "peak": 1.0, "strength": 0.01},
        "overlay": {"spread": 0.2}, "processing": {"uneven": 0.2},
    }[maker]  # fmt: skip
    assert Evidence(**values).maker == maker
    against = {one.finding for one in measurements({"cohesion": 2.0, **values}) if one.against}
    assert against == {
        "generator": set(), "device": {"could be a sensor"}, "overlay": {"as an overlay"},
        "processing": {"as processing"},
    }[maker]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.0 s"), (41.24, "41.2 s"), (59.97, "1 min 0 s"), (425, "7 min 5 s"),
     (11520, "3 h 12 min")],
)  # fmt: skip
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_visible_leaves_ordinary_text_alone() -> None:
    assert visible("Привет 猫 🐈 é.jpg") == "Привет 猫 🐈 é.jpg"
    assert visible(3.5) == 3.5
