"""What a run of the default method leaves: tables, report, explanations, parity with the heart."""

import shutil

import cv2
import numpy as np
import pyarrow.dataset as ds
import pytest
from click.testing import CliRunner

from noisescope_core import api
from noisescope_core.app.explanation import explain
from noisescope_core.cli import main
from noisescope_core.config import load_config
from noisescope_core.errors import NoiseScopeError, UsageError
from noisescope_core.images.sketch import sketch
from noisescope_core.in_memory import Detector
from noisescope_core.method import Feature
from noisescope_core.methods import method_of
from noisescope_core.report.explanation import render_explanation, verdict_of
from noisescope_core.report.figures import signed_root
from noisescope_core.report.plots import plot_explanation
from noisescope_core.residual import channel_residuals
from noisescope_core.spark.report import counted_scores, shown_fingerprints
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.stages.cluster import cluster
from noisescope_core.spark.stages.whitened.correlate import correlate_bands
from noisescope_core.spark.stages.whitened.pile import stored_piles
from noisescope_core.spark.summary import summarise
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.results import open_results
from noisescope_core.tables.rows import FingerprintRow
from noisescope_core.whitened.discovery.correlations import Roles, arrange
from noisescope_core.whitened.discovery.patterns import GROWTH_STEPS, discover
from noisescope_core.whitened.planes import products as pair_products
from noisescope_core.whitened.planes.bands import BANDS, PLANES, layout, parts_of
from noisescope_core.whitened.planes.duplicates import first_of_group
from noisescope_core.whitened.planes.pair_correlations import add_products
from noisescope_core.whitened.planes.products import band_correlations
from noisescope_core.whitened.planes.whitening import packed, unpacked, whitened_planes
from tests.conftest import SMALL, picture, save
from tests.runs import verdicts_of

pytest.importorskip("pyspark")

SETTINGS = (*[s for s in SMALL if s.startswith("spark.")], "method=whitened")


@pytest.fixture
def run(whitened_run):
    return whitened_run.out, whitened_run.summary


def test_finds_the_generated_images_and_says_how_sure(run, dump):
    out, summary = run
    rows = verdicts_of(out)
    assert {name for name, row in rows.items() if row["is_fake"]} == dump.fakes
    assert all((row["score"] > row["threshold"]) == row["is_fake"] for row in rows.values())
    assert all((row["confidence"] > 0.5) == row["is_fake"] for row in rows.values())
    assert summary["method"] == "whitened"
    assert summary["sizes"][0]["pairs"] == 180 * 179 // 2
    (evidence,) = summary["fingerprints"]
    assert (evidence["maker"], evidence["flagged"], evidence["images"]) == ("generator", True, 24)
    assert (evidence["header"], evidence["same_header"]) == ("PNG", 1)
    assert evidence["in_reference"] < 0.05
    assert "watermark" not in evidence
    assert evidence["watermarked"] == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "24 of 60 images carry the fingerprint of 1 generator" in page
    assert "as chance lets any such group agree" in page


def test_report_counts_what_the_tables_hold(run, spark):
    out, summary = run
    tables = Run(spark, str(out))
    counted = [row.asDict() for row in counted_scores(tables, summary).collect()]
    (told,) = shown_fingerprints(tables, load_config(None, SETTINGS), counted)
    scores = ds.dataset(out / "scores").to_table().to_pylist()
    (members,) = (row["members"] for row in ds.dataset(out / "fingerprints").to_table().to_pylist())
    for kind, chosen in {
        "reference": [row for row in scores if row["role"] == "reference"],
        "members": [row for row in scores if row["image_id"] in members],
        "others": [
            row for row in scores if row["role"] == "image" and row["image_id"] not in members
        ],
    }.items():
        in_place = [row for row in chosen if row["shift_x"] is None]
        values, images = told["scores"][kind]
        assert sum(images) == len(in_place)
        roots = np.sort(signed_root([row["score"] for row in in_place]))
        assert np.allclose(signed_root(np.repeat(values, images)), roots, atol=0.0051)
        above = sum(n for value, n in zip(values, images, strict=True) if value > told["threshold"])
        assert above == sum(row["score"] > row["threshold"] for row in in_place)
    confidence = [row["confidence"] for row in scores if row["image_id"] in members]
    assert told["purity"] == pytest.approx(np.mean(confidence))
    assert told["carried"] == summary["counts"]["fake"]
    assert [step["step"] for step in told["growth"]] == list(GROWTH_STEPS)
    assert told["growth"][-1] == {"step": GROWTH_STEPS[-1], "images": 24, "members": 24}


def test_equals_the_heart(run, dump):
    out, _ = run
    rows = verdicts_of(out)
    names = sorted(rows, key=lambda name: rows[name]["image_id"])
    references = sorted(
        ds.dataset(out / "reference_residuals").to_table(["image_id", "path"]).to_pylist(),
        key=lambda row: row["image_id"],
    )
    paths = [str(dump.images / name) for name in names] + [row["path"] for row in references]
    pixels = [cv2.imread(path)[:, :, ::-1] for path in paths]
    features = np.stack([unpacked(packed(whitened_planes(channel_residuals(p)))) for p in pixels])
    bins = layout(64, 64)
    correlations = band_correlations(features, features, bins)
    sketches = np.stack([sketch(np.ascontiguousarray(p)) for p in pixels])
    first = first_of_group(sketches, correlations.sum(0) / len(PLANES))
    assert (first == np.arange(len(first))).all()
    searching, held_out = np.array_split(np.arange(60, 180), 2)
    patterns = discover(arrange(correlations, Roles(60, searching, held_out), bins.shares()))
    fingerprints = ds.dataset(out / "fingerprints").to_table().to_pylist()
    assert len(patterns) == len(fingerprints) == 1
    ids = [rows[names[member]]["image_id"] for member in patterns[0].members]
    assert fingerprints[0]["members"] == ids
    assert fingerprints[0]["threshold"] == pytest.approx(patterns[0].bar.threshold, rel=0.01)
    mean = np.frombuffer(fingerprints[0]["whitened"], np.float32)
    assert np.allclose(
        mean, features[patterns[0].members].astype(np.float64).mean(0).ravel(), atol=1e-5
    )


def test_a_member_is_scored_without_itself(run):
    out, _ = run
    fingerprint = ds.dataset(out / "fingerprints").to_table().to_pylist()[0]
    scores = ds.dataset(out / "scores").to_table().to_pylist()
    z = {row["image_id"]: np.sign(row["score"]) * abs(row["score"]) ** 0.5 for row in scores}
    members = np.array([z[image_id] for image_id in fingerprint["members"]])
    assert np.median(members) == pytest.approx(fingerprint["member_mean"], rel=0.02)


def test_an_explanation_is_the_verdict_and_what_it_rests_on(run, dump):
    out, _ = run
    results = open_results(str(out))
    rows = verdicts_of(out)
    fake = next(iter(sorted(dump.fakes)))
    real = next(iter(sorted(rows.keys() - dump.fakes)))
    told = {name: explain(str(dump.images / name), results) for name in (fake, real)}
    for name, one in told.items():
        assert (one.of_run, one.status) == (True, "scored")
        assert one.match.is_fake == rows[name]["is_fake"]
        for column in ("score", "threshold", "confidence"):
            assert getattr(one.match, column) == rows[name][column]
        fingerprint = one.match.fingerprint
        z = (
            one.match.bands.sum()
            - fingerprint["reference_centre"] / fingerprint["reference_spread"]
        )
        assert z * abs(z) == pytest.approx(one.match.score)
        assert len(one.match.scores.reference) == 120
        assert (len(one.match.scores.flagged), len(one.match.scores.others)) == (24, 36)
    assert told[fake].match.peak == (0, 0)
    assert told[fake].match.is_member and not told[real].match.is_member
    # The more it is processed the less is left of the pattern.
    scores = {one.what: one.score for one in told[fake].match.changes}
    jpeg = [scores[f"saved as JPEG of quality {quality}"] for quality in (90, 70, 50)]
    assert told[fake].match.score > jpeg[0] > jpeg[1] > jpeg[2]
    assert scores["blurred by 1 pixel"] > scores["a tenth of each side cut off, enlarged again"]
    assert not any(one.is_fake for one in told[real].match.changes)


def test_a_member_taken_out_of_its_fingerprint_scores_as_before(run, dump):
    """What would change the verdict is measured without the image itself."""
    out, _ = run
    results = open_results(str(out))
    (row,) = results.table("fingerprints").to_pylist()
    name = next(iter(sorted(dump.fakes)))
    told = explain(str(dump.images / name), results)
    pixels = cv2.imread(str(dump.images / name))[:, :, ::-1]
    method = method_of(results.config)
    stored = method.extract(np.ascontiguousarray(pixels), results.config).stored
    whole = FingerprintRow(**row)
    without = method.explaining.without(whole, told.image_id, stored, results.config)
    assert len(without.members) == len(whole.members) - 1
    image = Feature("", stored, np.zeros(0, np.uint8))
    score = Detector([without], results.config).score(image, (64, 64))
    assert score.score == pytest.approx(told.match.score, rel=1e-3)


def test_an_image_that_the_run_never_saw_is_tested_now(run, dump, tmp_path):
    out, _ = run
    results = open_results(str(out))
    fake = cv2.imread(str(dump.images / next(iter(sorted(dump.fakes)))))
    hostile = tmp_path / "<script>alert(1).png"
    cv2.imwrite(str(tmp_path / "turned.png"), fake[::-1])
    (tmp_path / "turned.png").rename(hostile)
    told = explain(str(hostile), results)
    assert not told.of_run and told.status == "scored"
    assert not told.match.is_fake and not told.match.is_member
    page = render_explanation(told)
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "tested just now" in page
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nothing")
    broken = explain(str(tmp_path / "broken.png"), results)
    assert (broken.status, broken.match) == ("quarantined", None)
    assert verdict_of(broken)[0] == "Not a readable image."
    assert "<img" not in render_explanation(broken)
    for figure in (plot_explanation(told), plot_explanation(broken)):
        assert len(figure.axes) == 6
    save(tmp_path / "other.png", picture(np.random.default_rng(7), (96, 80)))
    other = explain(str(tmp_path / "other.png"), results)
    assert other.status == "scored" and not other.match.is_fake
    with pytest.raises(UsageError, match=r"gone\.png: no such file"):
        explain(str(tmp_path / "gone.png"), results)
    with pytest.raises(UsageError, match="no finished run"):
        open_results(str(tmp_path))


def test_the_terminal_explains_without_spark(run, dump, tmp_path):
    out, _ = run
    file = dump.images / next(iter(sorted(dump.fakes)))
    page, figure = tmp_path / "why.html", tmp_path / "why.png"
    asked = ["explain", str(file), "--run", str(out), "--html", str(page), "--figure", str(figure)]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    assert "Generated, by all that this run can tell." in done.output
    assert "None of 120 reference photographs scores as high." in done.output
    assert "saved as JPEG of quality 90" in done.output
    assert page.read_text(encoding="utf-8").count("<img") == 4
    assert cv2.imread(str(figure)) is not None
    wrong = CliRunner().invoke(main, ["explain", str(file), "--run", str(tmp_path)])
    assert wrong.exit_code == 2
    assert wrong.output.count("\n") == 1


def test_the_python_interface_reads_draws_and_looks_again(run, dump, spark, tmp_path):
    results = api.open_results(str(run[0]))
    verdicts = results.table("verdicts").to_pandas()
    (fingerprint,) = results.table("fingerprints").to_pylist()
    told = api.explain(dump.images / sorted(dump.fakes)[0], run[0])
    figures = [
        api.plot_explanation(told),
        api.plot_fingerprint(fingerprint),
        api.plot_scores(results, fingerprint),
        api.plot_surface(told.match.surface),
    ]
    assert [len(figure.axes) for figure in figures] == [6, 3, 1, 2]
    names = [path.rsplit("/", 1)[-1] for path in verdicts["path"]]
    rows = [f"{name},{'fake' if name in dump.fakes else 'real'}" for name in names]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    assert api.evaluate(results, tmp_path / "labels.csv")["f1"] == 1
    again = api.find_known(dump.images, run[0], tmp_path / "known", load_config(None, SETTINGS))
    assert dict(zip(again["path"], again["is_fake"], strict=True)) == dict(
        zip(verdicts["path"], verdicts["is_fake"], strict=True)
    )


def test_a_band_may_be_cut_too(run, spark, tmp_path):
    out, _ = run
    copy = tmp_path / "run"
    shutil.copytree(out, copy)
    again, config = Run(spark, str(copy)), load_config(None, SETTINGS)
    # Smaller than a configuration may say, as these images are.
    whole, small = (
        config.model_copy(update={"spark": config.spark.model_copy(update={"block_bytes": limit})})
        for limit in (2**20, 2**16)
    )
    (pile,) = stored_piles(again, whole)
    correlate_bands(again, whole, Progress(spark))
    again.write_rows("searched", [])
    nothing = np.zeros((4, 4), bool)
    before = pile.correlations(nothing)
    pairs = summarise(again, config)["sizes"][0]["pairs"]
    pieces = [band for part in parts_of(pile.bins, 65536 // 180) for band, _ in part]
    assert len(pieces) > len(BANDS)
    correlate_bands(again, small, Progress(spark))
    assert again.read("band_correlations").count() == len(pieces)
    after = pile.correlations(nothing)
    # Halves are rounded to half precision each.
    np.testing.assert_allclose(after, before, rtol=2e-3, atol=1e-5)
    assert summarise(again, small)["sizes"][0]["pairs"] == pairs == pile.pairs


def test_blocks_of_rows_make_the_whole(monkeypatch):
    features = np.random.default_rng(4).integers(-9, 10, (180, 30)).astype(np.int8)
    monkeypatch.setattr(pair_products, "BLOCK_ROWS", 50)
    blocks = list(pair_products.products_below(list(features), [slice(0, 30)]))
    assert [first for _, first, _ in blocks] == [0, 50, 100, 150]
    whole = np.zeros((180, 180), np.float32)
    for _, first, products in blocks:
        add_products(whole, first, products.astype(np.float16).ravel())
    exact = features.astype(np.int64) @ features.T
    np.testing.assert_allclose(whole, exact, rtol=1e-3)


def test_a_lost_part_of_a_table_is_an_error_and_no_smaller_answer(run, spark, tmp_path):
    out, _ = run
    copy = tmp_path / "run"
    shutil.copytree(out, copy)
    # Some parts hold no rows.
    again = Run(spark, str(copy))
    config = load_config(None, [*SETTINGS, "spark.block_bytes=1048576"])
    correlate_bands(again, config, Progress(spark))
    part = max((copy / "band_correlations").glob("part-*"), key=lambda file: file.stat().st_size)
    part.unlink()
    (copy / "band_correlations" / f".{part.name}.crc").unlink()
    with pytest.raises(NoiseScopeError, match="run correlate again"):
        cluster(again, config, Progress(spark))
    residuals = max((copy / "residuals").glob("part-*"), key=lambda file: file.stat().st_size)
    (copy / "residuals" / f".{residuals.name}.crc").unlink()
    residuals.write_bytes(residuals.read_bytes()[:2000])
    with pytest.raises(Exception, match=residuals.name):
        again.read("residuals").select("path").collect()
