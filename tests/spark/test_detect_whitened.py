"""The default method on piles of every kind: nothing to find, copies, crops, logos, cuts."""

import os
import shutil

import cv2
import numpy as np
import pyarrow.dataset as ds
import pytest

from noisescope_core.config import load_config
from noisescope_core.images.watermark import WORDS, watermark_of
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.stages.score import score
from noisescope_core.spark.tables.run import Run
from noisescope_core.whitened.planes.bands import layout, parts_of
from tests.conftest import SMALL, picture, save
from tests.heart.test_watermark import marked, photograph
from tests.runs import run_detect, verdicts_of

pytest.importorskip("pyspark")

SETTINGS = (*[s for s in SMALL if s.startswith("spark.")], "method=whitened")


@pytest.fixture
def run(whitened_run):
    return whitened_run.out, whitened_run.summary


def photographs(folder, seed, count, size=(64, 64)):
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for k in range(count):
        save(folder / f"{k}.png", picture(rng, size))
    return folder


def test_partitions_blocks_and_names_change_no_verdict(run, dump, spark, tmp_path):
    out, _ = run
    moved = tmp_path / "moved"
    moved.mkdir()
    names = sorted(os.listdir(dump.images))
    shuffled = np.random.default_rng(3).permutation(names).tolist()
    for name, new in zip(names, shuffled, strict=True):
        (moved / name[2]).mkdir(exist_ok=True)
        shutil.copy(dump.images / name, moved / name[2] / f"moved-{new}")
    settings = [*SETTINGS, "spark.batch_bytes=65536", "spark.block_bytes=1048576"]
    run_detect(spark, load_config(None, settings), moved, dump.reference, tmp_path / "out")
    few, many = (
        parts_of(layout(64, 64), load_config(None, chosen).spark.block_bytes // 180)
        for chosen in (SETTINGS, settings)
    )
    assert len(few) == 1 < len(many)
    by_id = {row["image_id"]: row for row in verdicts_of(out).values()}
    for row in verdicts_of(tmp_path / "out").values():
        before = by_id[row["image_id"]]
        assert row["is_fake"] == before["is_fake"]
        assert row["fingerprint_id"] == before["fingerprint_id"]
        assert row["score"] == pytest.approx(before["score"], rel=1e-4, abs=1e-4)


def test_nothing_in_common_flags_nothing(spark, dump, tmp_path):
    images = photographs(tmp_path / "images", 11, 40)
    config = load_config(None, SETTINGS)
    summary = run_detect(spark, config, images, dump.reference, tmp_path / "out")
    rows = verdicts_of(tmp_path / "out")
    assert all(row["is_fake"] is False and row["confidence"] is None for row in rows.values())
    assert summary["sizes"][0]["fingerprints"] == 0


def test_copies_share_a_verdict_and_found_nothing_by_themselves(spark, dump, tmp_path):
    images = photographs(tmp_path / "images", 13, 30)
    pixels = cv2.imread(str(images / "0.png"))
    for quality in range(86, 98):
        cv2.imwrite(str(images / f"copy{quality}.jpg"), pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    config = load_config(None, SETTINGS)
    run_detect(spark, config, images, dump.reference, tmp_path / "out")
    rows = verdicts_of(tmp_path / "out")
    assert len(rows) == 42
    assert not any(row["is_fake"] for row in rows.values())


def test_of_large_images_the_centre_is_compared(spark, tmp_path):
    rng = np.random.default_rng(13)
    shape = (128, 150)
    pattern = rng.normal(0, 1.2, (*shape, 1))
    for folder, count in (("images", 40), ("reference", 80)):
        (tmp_path / folder).mkdir()
        for k in range(count):
            fake = folder == "images" and k < 15
            save(tmp_path / folder / f"{k}.png", picture(rng, shape) + fake * pattern)
    config = load_config(None, [*SETTINGS, "whitening.side=64"])
    run_detect(spark, config, tmp_path / "images", tmp_path / "reference", tmp_path / "out")
    rows = verdicts_of(tmp_path / "out")
    assert {name for name, row in rows.items() if row["is_fake"]} == {f"{k}.png" for k in range(15)}
    cells = ds.dataset(tmp_path / "out" / "residuals").to_table(["residual"])["residual"]
    assert {len(cell.as_py()) for cell in cells} == {3 * layout(64, 64).values}
    fingerprint = ds.dataset(tmp_path / "out" / "fingerprints").to_table().to_pylist()[0]
    assert len(fingerprint["pixels"]) == 4 * 128 * 150


def test_more_images_than_are_searched_are_all_tested(spark, dump, tmp_path):
    config = load_config(None, [*SETTINGS, "discovery.images=30", "discovery.reference=80"])
    summary = run_detect(spark, config, dump.images, dump.reference, tmp_path / "out")
    assert summary["sizes"][0]["pairs"] == 110 * 109 // 2
    rows = verdicts_of(tmp_path / "out")
    assert {name for name, row in rows.items() if row["is_fake"]} == dump.fakes


def test_crops_are_found_on_the_fingerprint_of_another_size(spark, dump, tmp_path):
    images = tmp_path / "images"
    shutil.copytree(dump.images, images)
    fake, real = (sorted(set(os.listdir(images)) & dump.fakes), sorted(os.listdir(images)))
    real = [name for name in real if name not in dump.fakes]
    for kind, names in (("fake", fake[:4]), ("real", real[:4])):
        for name in names:
            pixels = cv2.imread(str(images / name))
            cv2.imwrite(str(images / f"{kind}-crop-{name}"), pixels[5:61, 3:59])
    shifted = cv2.imread(str(images / fake[5]))
    cv2.imwrite(str(images / "shifted.png"), np.roll(shifted, (-8, -16), (0, 1)))
    config = load_config(None, [*SETTINGS, "decode.min_side=32"])
    summary = run_detect(spark, config, images, dump.reference, tmp_path / "out")
    rows = verdicts_of(tmp_path / "out")
    assert len(rows) == 69
    for name, row in rows.items():
        if name.startswith("fake-crop"):
            assert row["status"] == "scored" and row["is_fake"]
            assert (row["shift_x"], row["shift_y"]) == (3, 5)
            assert row["reason"] is None and row["confidence"] > 0.9
        elif name.startswith("real-crop"):
            # Its size is not searched by itself, but all sizes together are.
            assert row["status"] == "scored" and row["is_fake"] is False
            assert row["fingerprint_id"] is None
    assert (rows["shifted.png"]["shift_x"], rows["shifted.png"]["shift_y"]) == (16, 8)
    assert summary["counts"]["elsewhere"] == 5
    # Tested on their own size alone, crops carry nothing.
    config = load_config(None, [*SETTINGS, "decode.min_side=32", "detection.alignments=own"])
    score(Run(spark, str(tmp_path / "out")), config, Progress(spark))
    own = verdicts_of(tmp_path / "out")
    assert {name for name, row in own.items() if row["is_fake"]} == dump.fakes


def test_the_reference_is_made_like_the_test_set(spark, dump, tmp_path):
    images, reference = tmp_path / "images", tmp_path / "reference"
    images.mkdir()
    reference.mkdir()
    rng = np.random.default_rng(14)
    pattern = rng.normal(0, 1.5, (72, 80, 1))
    for k in range(40):
        pixels = picture(rng, (72, 80)) + (k < 20) * pattern
        bgr = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)[:, :, ::-1]
        cv2.imwrite(str(images / f"{k}.jpg"), bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])
    for k in range(70):
        save(reference / f"{k}.png", picture(rng, (120, 130)))
    summary = run_detect(spark, load_config(None, SETTINGS), images, reference, tmp_path / "out")
    rows = verdicts_of(tmp_path / "out")
    assert {name for name, row in rows.items() if row["is_fake"]} == {f"{k}.jpg" for k in range(20)}
    made = ds.dataset(tmp_path / "out" / "reference_residuals").to_table().to_pylist()
    assert len(made) == 140
    steps = {(row["width"], row["height"], row["prepared"], row["format"]) for row in made}
    again = "saved again as JPEG 4:2:0 quality 95"
    assert steps == {(130, 120, again, "PNG"), (80, 72, f"resized to 80 x 72, {again}", "PNG")}
    told = "like the tested images (80 x 72: 70 of 70, all sizes together: 70 of 70)"
    assert any(told in warning for warning in summary["warnings"])
    # Lattices are held against each photograph once, in its own size.
    assert summary["lattices"]["reference"] == 70
    assert not any("hardly any reference" in warning for warning in summary["warnings"])
    assert not any("could not be used" in warning for warning in summary["warnings"])


def test_a_watermark_is_evidence_and_no_reference(spark, tmp_path):
    images, reference = tmp_path / "images", tmp_path / "reference"
    images.mkdir()
    reference.mkdir()
    word = WORDS["Stable Diffusion XL"]
    pattern = np.random.default_rng(15).normal(0, 1.2, (128, 128, 1))
    for k in range(30):
        pixels = photograph(k, (128, 128)) + (k < 20) * pattern
        pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
        save(images / f"{k}.png", marked(pixels, word) if k < 16 else pixels)
    for k in range(62):
        save(reference / f"{k}.png", photograph(100 + k, (128, 128)))
    fakes = (marked(photograph(seed, (128, 128)), word) for seed in range(200, 220))
    save(reference / "fake.png", next(fake for fake in fakes if watermark_of(fake)))
    config = load_config(None, SETTINGS)
    summary = run_detect(spark, config, images, reference, tmp_path / "out")
    generators = [one for one in summary["fingerprints"] if one["flagged"]]
    assert generators[0]["watermark"] == "Stable Diffusion XL"
    assert generators[0]["watermarked"] > 0.5
    rows = ds.dataset(tmp_path / "out" / "reference_residuals").to_table().to_pylist()
    (aside,) = [row for row in rows if row["status"] != "scored"]
    assert aside["reason"] == "generated: carries the watermark of Stable Diffusion XL"
    assert any("carry a generator's watermark" in text and ": 1" in text
               for text in summary["warnings"])  # fmt: skip


def test_a_logo_is_no_generator_and_hides_none(spark, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    reference = photographs(tmp_path / "reference", 1, 120, (128, 128))
    rng = np.random.default_rng(2)
    pattern = rng.normal(0, 0.3, (128, 128, 1))
    logo = rng.integers(0, 256, (30, 30, 3))
    for k in range(80):
        pixels = picture(rng, (128, 128)) + (pattern if k < 25 else 0)
        if k < 45:
            pixels[82:112, 82:112] = logo
        save(images / f"{'generated' if k < 25 else 'photograph'}-{k}.png", pixels)
    summary = run_detect(spark, load_config(None, SETTINGS), images, reference, tmp_path / "out")
    makers = {one["maker"]: one for one in summary["fingerprints"]}
    assert len(summary["fingerprints"]) == len(makers) == 2
    assert makers["overlay"]["images"] > 40
    assert not makers["overlay"]["flagged"]
    assert makers["generator"]["images"] >= 24
    flagged = {name for name, row in verdicts_of(tmp_path / "out").items() if row["is_fake"]}
    assert len(flagged) >= 24
    assert all(name.startswith("generated") for name in flagged)
    tables = ds.dataset(tmp_path / "out" / "fingerprints").to_table().to_pylist()
    (known,) = [row for row in tables if row["flagged"]]
    scores = ds.dataset(tmp_path / "out" / "scores").to_table().to_pylist()
    z = {row["image_id"]: np.sign(row["score"]) * abs(row["score"]) ** 0.5 for row in scores}
    members = np.array([z[image_id] for image_id in known["members"]])
    # Executors look at the same open tiles as the driver did.
    assert np.median(members) == pytest.approx(known["member_mean"], rel=0.02)
