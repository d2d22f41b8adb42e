"""What files say arrives in the verdicts of a run, whether residuals are stored or not."""

import io
import json

import pyarrow.dataset as ds
import pytest
from rich.console import Console

from noisescope_core.config import load_config
from noisescope_core.report.answer import records_in_words
from tests.conftest import SMALL
from tests.record_files import chunk, exif, generated, png_texts, png_with
from tests.runs import run_detect, verdicts_of

pytest.importorskip("pyspark")

SAYS = ("claimed_by", "claimed_generator", "camera")


def said(out):
    return {
        name: tuple(row[one] for one in SAYS)
        for name, row in verdicts_of(out).items()
        if any(row[one] for one in SAYS)
    }


@pytest.fixture(scope="module")
def runs(spark, dump, tmp_path_factory):
    """Look for fingerprints in a pile with records, and for these in the same files."""
    from noisescope_core.spark.session.progress import Progress
    from noisescope_core.spark.stages.known import find_known
    from noisescope_core.spark.tables.run import Run

    base = tmp_path_factory.mktemp("saying")
    images = base / "images"
    images.mkdir()
    for file in dump.images.iterdir():
        (images / file.name).write_bytes(file.read_bytes())
    for name, added in (
        ("000.png", chunk(b"caBX", generated("Gen\x1b <b>"))),
        ("002.png", chunk(b"caBX", generated("ChatGPT"))),
        ("003.png", chunk(b"eXIf", exif(make="Canon", model="R5").tobytes()[6:])),
    ):
        (images / name).write_bytes(png_with(added, file=(dump.images / name).read_bytes()))
    (images / "broken.png").write_bytes(png_texts(parameters="Steps: 20")[:-40])
    config = load_config(None, (*SMALL, "method=whitened"))
    run_detect(spark, config, images, dump.reference, base / "found")
    known, progress = Run(spark, str(base / "known")), Progress(spark, Console(file=io.StringIO()))
    find_known(known, config, progress, str(images), str(base / "found"))
    return base


@pytest.mark.parametrize("run", ["found", "known"])
def test_the_columns_are_in_the_verdicts(runs, dump, run):
    assert said(runs / run) == {
        "000.png": ("c2pa", "Gen <b>", None),
        "002.png": ("c2pa", "ChatGPT", None),
        "003.png": (None, None, "Canon R5"),
        "broken.png": ("png-text", "AUTOMATIC1111", None),
    }
    verdicts = verdicts_of(runs / run)
    assert {name for name, row in verdicts.items() if row["is_fake"]} == dump.fakes
    assert verdicts["broken.png"]["status"] == "quarantined"


@pytest.mark.parametrize("run", ["found", "known"])
def test_the_summary_counts_what_carriers_of_a_fingerprint_say(runs, dump, run):
    summary = json.loads((runs / run / "summary.json").read_text())
    (told,) = records_in_words(summary)
    assert told.startswith("Records: 3 images say they are generated, of which 1 carries a finger")
    carrying, others = summary["records"]
    assert carrying.pop("fingerprint_id") and others.pop("fingerprint_id") is None
    assert carrying == {
        "images": len(dump.fakes), "claiming": 1, "cameras": 0, "generator": "Gen <b>", "named": 1,
    }  # fmt: skip
    # Of two names as frequent the first of the alphabet is told.
    assert others == {
        "images": 61 - len(dump.fakes), "claiming": 2, "cameras": 1,
        "generator": "AUTOMATIC1111", "named": 1,
    }  # fmt: skip


def test_names_are_escaped_in_the_report(runs):
    page = (runs / "found/report.html").read_text()
    assert "1 of them by <b>Gen &lt;b&gt;</b>" in page
    assert "Nothing is verified, and no verdict depends on it." in page


def test_the_reference_is_not_asked(runs):
    table = ds.dataset(runs / "found/reference_residuals").to_table(list(SAYS))
    assert all(column.null_count == len(column) for column in table.columns)
