"""Whitened colour planes: layout of the bands, flatness, correlations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft

from noisescope_core.whitened.planes import products as pair_products
from noisescope_core.whitened.planes.bands import BANDS, GRID, OFF_GRID, PLANES, layout, parts_of
from noisescope_core.whitened.planes.products import band_correlations, products_below
from noisescope_core.whitened.planes.whitening import (
    STORED_STEPS,
    packed,
    spatial,
    unpacked,
    whitened_planes,
)

sides = st.integers(64, 97)


def noise(seed: int, count: int = 1, shape: tuple[int, int] = (64, 64)) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3, *shape)).astype(np.float32)


@settings(max_examples=20)
@given(sides, sides)
def test_every_bin_is_in_one_band_and_counts_as_often_as_in_the_whole_spectrum(height, width):
    bins = layout(height, width)
    height, width = height // GRID * GRID, width // GRID * GRID
    assert bins.shape == (height, width)
    assert sorted(bins.order) == list(range(height * (width // 2 + 1)))
    assert bins.cuts[0] == 0
    assert bins.cuts[-1] == bins.values
    assert np.square(bins.weights.astype(float)).sum() == pytest.approx(height * width, rel=1e-5)
    assert bins.shares().sum() == pytest.approx(1)


@settings(max_examples=20)
@given(sides, sides, st.integers(0, 2**31))
def test_correlation_is_the_dot_product_of_the_pictures(height, width, seed):
    a, b = (whitened_planes(c).astype(np.float32) for c in noise(seed, 2, (height, width)))
    bins = layout(height, width)
    bands = band_correlations(a[None], b[None], bins)[:, 0, 0].reshape(3, -1).sum(1)
    for plane in range(3):
        x, y = spatial(a[plane], bins), spatial(b[plane], bins)
        dot = np.vdot(x, y) / np.linalg.norm(x) / np.linalg.norm(y)
        assert bands[plane] == pytest.approx(dot, abs=2e-3)


def test_of_many_sizes_few_layouts_are_kept():
    assert layout(100, 130) is layout(96, 128)
    first = layout(48, 48)
    for blocks in range(3, 40):
        layout(32, 16 * blocks)
    assert layout(48, 48) is not first and layout(48, 48).shape == (48, 48)


def test_a_plane_is_flat_in_space_and_in_frequency():
    # Noise that is three times louder on the left, and low-pass.
    channels = noise(1, 1, (128, 128))[0]
    channels = (channels + np.roll(channels, 1, 2)) * np.where(np.arange(128) < 64, 3, 1)
    bins = layout(128, 128)
    picture = spatial(whitened_planes(channels)[0], bins)
    assert picture[:, :60].std() / picture[:, 68:].std() == pytest.approx(1, abs=0.1)
    power = np.abs(fft.fft2(picture)) ** 2
    assert power[:, 3:30].mean() / power[:, 34:62].mean() == pytest.approx(1, abs=0.2)


def test_a_one_channel_image_has_flat_differences():
    planes = whitened_planes(noise(2)[0, :1])
    assert np.square(planes[0].astype(float)).sum() == pytest.approx(planes.shape[1], rel=1e-3)
    assert not planes[1:].any()
    assert not whitened_planes(np.zeros((3, 64, 64), np.float32)).any()


@pytest.mark.parametrize("shape", [(64, 64), (96, 160), (100, 90), (75, 133)])
def test_block_patterns_stay_in_the_grid(shape):
    rows, columns = np.indices(shape)
    tile = np.random.default_rng(3).normal(size=(GRID, GRID))
    pattern = np.stack([tile[rows % GRID, columns % GRID]] * 3).astype(np.float32)
    a, b = (whitened_planes(c + 3 * pattern) for c in noise(4, 2, shape))
    bands = band_correlations(a[None], b[None], layout(*shape))[:, 0, 0]
    grid = np.array(["grid" in name or "lines" in name for name in BANDS])
    assert (grid == ~OFF_GRID).all()
    assert bands[:11][grid[:11]].sum() > 0.02
    assert abs(bands[:11][~grid[:11]].sum()) < 0.1 * bands[:11][grid[:11]].sum() + 0.03


def test_lines_stay_in_the_lines():
    stripes = np.random.default_rng(5).normal(size=(1, 64, 1)).astype(np.float32)
    a, b = (whitened_planes(c + 2 * stripes) for c in noise(6, 2))
    bands = dict(
        zip(BANDS, band_correlations(a[None], b[None], layout(64, 64))[:, 0, 0], strict=True)
    )
    assert bands["grey, lines"] > 0.05
    assert sum(v for k, v in bands.items() if k.startswith("grey, from")) < 0.05


@given(st.integers(0, 2**16), st.floats(0, 30))
def test_a_stored_value_is_off_by_a_sixteenth_at_most(seed, peak):
    feature = np.random.default_rng(seed).normal(size=(3, 50)).astype(np.float32)
    feature[0, 0] = peak
    read = unpacked(packed(feature).tobytes())
    assert read.shape == feature.shape
    assert np.abs(read - np.minimum(feature, 127 / STORED_STEPS)).max() <= 0.5 / STORED_STEPS + 1e-6


@settings(max_examples=25)
@given(st.integers(1, 600), st.integers(1, 40), st.integers(0, 2**16))
def test_products_with_all_before_are_exact(rows, values, seed):
    features = np.random.default_rng(seed).integers(-127, 128, (rows, values)).astype(np.int8)
    cut = values // 2
    parts = [part for part in (slice(0, cut), slice(cut, values)) if part.stop > part.start]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_products, "WIDENED", 7)
        found = [(n, first, p.copy()) for n, first, p in products_below(list(features), parts)]
    whole = features.astype(np.int64)
    assert sorted({number for number, *_ in found}) == list(range(len(parts)))
    for number, first, products in found:
        last = first + len(products)
        values = whole[:, parts[number]]
        assert np.array_equal(products, values[first:last] @ values[:last].T)
    assert sum(len(p) for n, _, p in found if n == 0) == rows


@pytest.mark.parametrize("most", [1, 100, 5_000, 10**9])
def test_parts_leave_no_value_out(most):
    bins = layout(64, 96)
    parts = parts_of(bins, most)
    values = [np.arange(cut.start, cut.stop) for part in parts for _, cut in part]
    assert np.array_equal(np.concatenate(values), np.arange(len(PLANES) * bins.values))
    assert sorted({band for part in parts for band, _ in part}) == list(range(len(BANDS)))
    for part in parts:
        assert max(cut.stop - cut.start for _, cut in part) <= most
        assert len(part) == 1 or 4 * (part[-1][1].stop - part[0][1].start) <= most
