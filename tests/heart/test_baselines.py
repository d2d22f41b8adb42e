"""Rivals: colour statistics, azimuthal spectrum, one-class SVM, and the forensic clean-up."""

import colorsys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft
from sklearn.model_selection import KFold, cross_val_score
from sklearn.svm import OneClassSVM

from noisescope_core.baselines.azimuthal import azimuthal_features
from noisescope_core.baselines.csd import csd_features
from noisescope_core.baselines.one_class import fit_one_class, outliers
from noisescope_core.baselines.prnu import camera_residual

CUTS = (288, 363, 438, 513)

sizes = st.tuples(st.integers(5, 40), st.integers(5, 40))
seeds = st.integers(0, 2**32 - 1)


def photograph_like(size, seed):
    """Steps of -2..2 from pixel to pixel, so that every code is met."""
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.integers(-2, 3, (*size, 3)), axis=1).astype(np.uint8)


def plain_csd_block(plane, encode, count):
    """One block of features by the definition, triple by triple."""
    inner = plane[1:-1, 1:-1]
    total = np.zeros((count,) * 3)
    for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        shifted = np.roll(plane, (-down, -right), (0, 1))[1:-1, 1:-1]
        codes = encode(inner, shifted)
        for picture in (codes, codes.T):
            triples = [t for row in picture for t in zip(row, row[1:], row[2:], strict=False)]
            for a, b, c in triples:
                total[min(a, c), b, max(a, c)] += 1 / len(triples)
    return [total[a, b, c] for c in range(count) for b in range(count) for a in range(c + 1)]


def test_csd_parity_with_the_original_program(shared):
    truth = np.load(shared / "oracle/csd_features.npz")
    assert len(truth["names"]) == 12
    for name, expected in zip(truth["names"], truth["features"], strict=True):
        image = cv2.imread(str(shared / "oracle/images" / f"{name}.png"))[:, :, ::-1]
        assert abs(csd_features(image) - expected).max() < 1e-12


@given(sizes, seeds)
@settings(max_examples=8, deadline=None)
def test_csd_equals_the_definition(size, seed):
    image = photograph_like(size, seed)
    hsv = 255 * np.array([[colorsys.rgb_to_hsv(*pixel / 255) for pixel in row] for row in image])
    # Exact halves may be rounded either way: black has none.
    halves = (abs(hsv[:, :, :2] % 1 - 0.5) < 1e-9).any(axis=2)
    image[halves], hsv[halves] = 0, 0
    red, green, blue = np.moveaxis(image.astype(float), 2, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    chroma = [224 / 255 * (blue - luma) / 1.772, 224 / 255 * (red - luma) / 1.402]
    planes = [np.rint(plane) for plane in (hsv[:, :, 0], hsv[:, :, 1], *chroma)]

    def above(pixels, others):
        return (pixels > others) @ [1, 2, 4]

    def clipped(pixels, others):
        return np.clip(pixels - others, -2, 2).astype(int) + 2

    expected = [plain_csd_block(image, above, 8)]
    expected += [plain_csd_block(plane, clipped, 5) for plane in planes]
    assert np.allclose(csd_features(image), np.concatenate(expected))


@given(sizes, seeds)
@settings(max_examples=12, deadline=None)
def test_csd_blocks_sum_to_four_neighbours_times_rows_and_columns(size, seed):
    features = csd_features(photograph_like(size, seed))
    assert features.shape == (588,)
    assert features.min() >= 0
    assert np.allclose([block.sum() for block in np.split(features, CUTS)], 8)


@given(sizes, seeds)
@settings(max_examples=12, deadline=None)
def test_csd_of_mirrored_and_turned_images_is_the_same(size, seed):
    image = photograph_like(size, seed)
    features = csd_features(image)
    for same in (image[::-1], image[:, ::-1], image.transpose(1, 0, 2), np.rot90(image)):
        assert np.array_equal(csd_features(same), features)
    assert not np.allclose(csd_features(image[:, :, ::-1]), features)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8, 3)), "float64"),
        (np.zeros((8, 8), np.uint8), r"\(8, 8\)"),
        (np.zeros((8, 8, 4), np.uint8), r"\(8, 8, 4\)"),
        (np.zeros((4, 8, 3), np.uint8), "at least 5 a side, got 4 x 8"),
        (np.zeros((8, 4, 3), np.uint8), "at least 5 a side, got 8 x 4"),
    ],
)
def test_csd_refuses_what_is_no_colour_image(image, message):
    with pytest.raises(ValueError, match=message):
        csd_features(image)


@given(st.integers(1, 60), st.integers(1, 60), st.booleans(), seeds)
@settings(max_examples=25)
def test_azimuthal_average_equals_the_definition_at_any_size(height, width, colour, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3) if colour else (height, width), np.uint8)
    features = azimuthal_features(image)
    shorter = min(height, width)
    assert features.shape == (shorter // 2 + 1,)
    assert features[0] == 1
    grey = image @ [0.29893602, 0.58704307, 0.11402090] if colour else image
    levels = np.log(1 + abs(np.fft.fft2(grey)) ** 2)
    down, right = (np.fft.fftfreq(side) * shorter for side in (height, width))
    radii = np.rint(np.hypot(down[:, None], right))
    profile = np.array([levels[radii == k].mean() for k in range(len(features))])
    if profile[0] > 0:
        assert np.allclose(features, profile / profile[0])


@pytest.mark.parametrize("shape", [(32, 32), (31, 48), (48, 31, 3)])
def test_a_wave_raises_the_ring_of_its_cycles_along_the_shorter_side(shape):
    plain = np.random.default_rng(0).integers(120, 136, shape, np.uint8)
    y, x = np.indices(shape[:2])
    along = x / shape[1] if shape[1] < shape[0] else y / shape[0]
    wave = np.rint(60 * np.cos(2 * np.pi * 5 * along)).astype(int)
    image = (plain + (wave[:, :, None] if len(shape) == 3 else wave)).astype(np.uint8)
    raised = azimuthal_features(image) - azimuthal_features(plain)
    assert np.argmax(raised) == 5
    assert raised[5] > 2 * np.delete(raised, 5).max()


@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_constant_images_have_finite_features(level):
    for shape in ((16, 16), (9, 14, 3)):
        image = np.full(shape, level, np.uint8)
        features = azimuthal_features(image)
        assert np.allclose(features, np.eye(1, min(shape[:2]) // 2 + 1)[0])
        if len(shape) == 3:
            assert np.isfinite(csd_features(image)).all()


def test_azimuthal_average_refuses_what_is_no_image():
    for image in (np.zeros((8, 8)), np.zeros((8, 8, 4), np.uint8), np.zeros((0, 8), np.uint8)):
        with pytest.raises(ValueError, match="must be uint8"):
            azimuthal_features(image)


def test_one_class_leaves_a_tenth_of_its_training_outside():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 6))
    model = fit_one_class(rows)
    assert 0.07 < outliers(model, rows).mean() < 0.13
    assert outliers(model, rng.normal(size=(300, 6))).mean() < 0.3
    assert outliers(model, rng.normal(12, 1, (50, 6))).all()
    assert not outliers(model, np.zeros((1, 6))).any()


def test_one_class_depends_on_the_rows_and_the_seed_alone():
    rng = np.random.default_rng(1)
    rows, others = rng.normal(size=(83, 4)), rng.normal(0, 2, (200, 4))
    margins = fit_one_class(rows, 3).decision_function(others)
    for order in (np.arange(83), np.arange(83)[::-1], rng.permutation(83)):
        np.random.seed(int(order[0]))
        model = fit_one_class(rows[order], 3)
        assert np.array_equal(model.decision_function(others), margins)


@given(seeds)
@settings(max_examples=5, deadline=None)
def test_one_class_takes_the_gamma_with_most_inliers_left_out(seed):
    rng = np.random.default_rng(seed)
    rows = rng.normal(0, 3, (40, 2)) * rng.choice([0.1, 1, 10])
    rows = rows[np.lexsort(rows.T)]
    folds = KFold(5, shuffle=True, random_state=7)
    gammas = [1e-3, 1e-4, 0.5, 0.01, 0.1]
    accuracy = [
        cross_val_score(
            OneClassSVM(nu=0.1, gamma=gamma), rows, np.ones(40), cv=folds, scoring="accuracy"
        ).sum()
        for gamma in gammas
    ]
    assert fit_one_class(rows, 7).gamma == gammas[np.argmax(accuracy)]


def test_one_class_takes_the_first_gamma_of_equal_ones():
    # Of two places so far apart the kernel is the same whatever gamma.
    assert fit_one_class(np.repeat([[0.0], [1e6]], 20, axis=0)).gamma == 1e-3


def test_one_class_refuses_too_few_rows_and_no_numbers():
    assert fit_one_class(np.eye(5)).gamma > 0
    with pytest.raises(ValueError, match="4 photographs are too few for 5 folds"):
        fit_one_class(np.eye(4))
    with pytest.raises(ValueError, match="NaN"):
        fit_one_class(np.full((6, 2), np.nan))


def along(residual, pattern):
    """How much of a pattern is in a residual, 1 as added."""
    return float((residual * pattern).sum() / (pattern**2).sum())


@pytest.mark.parametrize("size", [(256, 256), (200, 248)])
def test_periodic_patterns_are_removed_and_noise_stays(size):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=size)
    y, x = np.indices(size)
    wave = np.cos(2 * np.pi * (y + 3 * x) / 8)
    tile = np.tile(rng.normal(size=(8, 8)), (size[0] // 8, size[1] // 8))
    tile -= tile.mean(axis=0)
    tile -= tile.mean(axis=1, keepdims=True)
    alone = camera_residual(noise)
    assert alone.dtype == np.float32
    assert np.corrcoef(alone.ravel(), noise.ravel())[0, 1] > 0.97
    # The energy of a wave is in 2 bins, that of a tile in 49: the windows dilute lower peaks more.
    for pattern, factor in ((wave, 50), (tile, 4)):
        cleaned = camera_residual(noise + pattern)
        assert along(noise + pattern, pattern) > 0.9
        assert abs(along(cleaned, pattern)) < 1 / factor
        assert np.corrcoef(cleaned.ravel(), noise.ravel())[0, 1] > 0.9


def plain_camera_residual(residual):
    """The definition: every window gathered bin by bin."""
    plane = residual - residual.mean(axis=0)
    plane = plane - plane.mean(axis=1, keepdims=True)
    spectrum = fft.fft2(plane)
    power = abs(spectrum) ** 2 / plane.size
    least = np.full(plane.shape, np.inf)
    for reach in (1, 2, 3, 4):
        steps = [(i, j) for i in range(-reach, reach + 1) for j in range(-reach, reach + 1)]
        least = np.minimum(least, sum(np.roll(power, step, (0, 1)) for step in steps) / len(steps))
    noise = plane.var()
    excess = np.maximum(least - noise, 0)
    return fft.ifft2(spectrum * noise / (noise + excess))


@given(st.integers(2, 40), st.integers(2, 40), seeds)
@settings(max_examples=20, deadline=None)
def test_camera_residual_equals_the_definition_and_has_zero_means(height, width, seed):
    rng = np.random.default_rng(seed)
    residual = rng.normal(size=(height, width)) + np.outer(
        rng.normal(size=height), np.sin(np.arange(width))
    )
    expected = plain_camera_residual(residual)
    cleaned = camera_residual(residual)
    assert abs(expected.imag).max() < 1e-9
    assert np.allclose(cleaned, expected.real, atol=1e-5)
    assert abs(cleaned.mean(axis=0)).max() < 1e-5
    assert abs(cleaned.mean(axis=1)).max() < 1e-5


def test_rows_and_columns_alone_leave_nothing():
    rng = np.random.default_rng(2)
    lines = np.add.outer(rng.normal(size=40), rng.normal(size=33))
    assert abs(camera_residual(lines)).max() < 1e-9
    assert not camera_residual(np.full((16, 16), 3.0, np.float32)).any()
    for residual in (np.zeros((3, 8, 8)), np.zeros((0, 4))):
        with pytest.raises(ValueError, match=r"must be \(H, W\)"):
            camera_residual(residual)
