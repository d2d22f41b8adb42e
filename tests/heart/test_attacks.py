"""Attacks: what they keep, what they cost, and what they do to the fingerprint."""

import math
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisescope_core.attacks import ATTACKS, attack, check
from noisescope_core.attacks.patterns import camera_pattern, estimated_fingerprint
from noisescope_core.attacks.quality import psnr, ssim
from noisescope_core.residual import channel_residuals, noise_residual

SIDE = 64
EVERY = [(name, strength) for name, kind in ATTACKS.items() for strength in kind.strengths]
NEUTRAL = {
    "noise": 0,
    "blur": 0.1,
    "gamma": 1,
    "equalise": 0,
    "resize": 1,
    "crop": 1,
    "camera_fingerprint": 0,
    "fingerprint_removal": 0,
}


def picture(seed, height=SIDE, width=SIDE, grain=4.0, added=0.0):
    """Soft shapes of colour with grain, and whatever is added before rounding."""
    rng = np.random.default_rng(seed)
    shapes = cv2.GaussianBlur(rng.normal(0, 1, (height, width, 3)), (0, 0), 5)
    values = 120 + 30 * shapes / shapes.std() + rng.normal(0, grain, shapes.shape) + added
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def pattern_for(name, height=SIDE, width=SIDE):
    if ATTACKS[name].pattern is None:
        return None
    return np.random.default_rng(7).normal(0, 2, (height, width, 3)).astype(np.float32)


def attacked(name, strength, pixels, seed=0):
    pattern = pattern_for(name, *pixels.shape[:2])
    return attack(name, strength, pixels, np.random.default_rng(seed), pattern)


def correlation(a, b):
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def removed(pixels, strength, pattern):
    return attack("fingerprint_removal", strength, pixels, np.random.default_rng(0), pattern)


@st.composite
def attacks(draw):
    name = draw(st.sampled_from(list(ATTACKS)))
    kind = ATTACKS[name]
    if kind.step:
        steps = draw(st.integers(0, int(kind.highest - kind.lowest) // kind.step))
        return name, kind.lowest + steps * kind.step
    return name, draw(st.floats(kind.lowest, kind.highest))


@settings(max_examples=80)
@given(attacks(), st.integers(2, 40), st.integers(2, 40), st.integers(0, 2**31))
def test_valid_attacks_keep_shape_and_pixels_given_and_come_out_the_same_again(
    chosen, height, width, seed
):
    assert check(*chosen) is None
    pixels = picture(seed, height, width)
    kept = pixels.copy()
    result = attacked(*chosen, pixels, seed)
    assert result.shape == pixels.shape
    assert result.dtype == np.uint8
    assert (pixels == kept).all()
    assert (attacked(*chosen, pixels, seed) == result).all()
    # The same pixels, read backwards out of an array laid out the other way round.
    view = np.ascontiguousarray(pixels[::-1, :, ::-1])[::-1, :, ::-1]
    assert (attacked(*chosen, view, seed) == result).all()


@pytest.mark.parametrize(("name", "strength"), EVERY)
def test_usual_strengths_are_valid_and_change_a_picture_without_destroying_it(name, strength):
    assert check(name, strength) is None
    pixels = picture(1)
    result = attacked(name, strength, pixels)
    assert (result != pixels).mean() > 0.05
    # What is shown stays where it was, or comes from little farther out.
    assert correlation(pixels, result) > (0.7 if ATTACKS[name].in_place else 0.3)


@pytest.mark.parametrize("name", [name for name, kind in ATTACKS.items() if kind.in_place])
def test_the_stronger_the_more_it_costs(name):
    assert len(ATTACKS[name].strengths) >= 3
    pixels = picture(2)
    cost = [psnr(pixels, attacked(name, strength, pixels)) for strength in ATTACKS[name].strengths]
    assert all(weak > strong + 0.1 for weak, strong in pairwise(cost))


@pytest.mark.parametrize(("name", "strength"), NEUTRAL.items())
def test_a_neutral_strength_changes_nothing(name, strength):
    pixels = picture(3)
    assert (attacked(name, strength, pixels) == pixels).all()


@pytest.mark.parametrize("name", ["jpeg", "jpeg_twice", "webp", "nlm"])
def test_channels_stay_in_their_places(name):
    # Codecs and CIELAB treat red and blue unequally: swapped, another picture would come out.
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:] = (200, 90, 30)
    assert np.abs(attacked(name, ATTACKS[name].strengths[0], pixels) - pixels.astype(int)).max() < 5


def test_noise_is_drawn_from_the_generator_given_and_as_loud_as_told():
    grey = np.full((128, 128, 3), 128, np.uint8)
    once = attacked("noise", 5, grey, seed=1)
    assert (once != attacked("noise", 5, grey, seed=2)).mean() > 0.5
    assert (once - 128.0).std() == pytest.approx(5, rel=0.03)
    assert abs((once - 128.0).mean()) < 0.1


def test_values_beyond_black_and_white_stay_black_and_white():
    for level in (0, 255):
        result = attacked("noise", 5, np.full((32, 32, 3), level, np.uint8)).astype(int)
        assert np.abs(result - level).max() < 30
        assert (result == level).mean() == pytest.approx(0.54, abs=0.05)


def test_an_exponent_above_one_darkens():
    grey = np.full((4, 4, 3), 128, np.uint8)
    assert (attacked("gamma", 2, grey) == round(128**2 / 255)).all()
    assert (attacked("gamma", 0.5, grey) == round(math.sqrt(128 * 255))).all()


def test_jpeg_is_stored_with_halved_chroma():
    # Red and blue lines of one luma: halved chroma mixes them.
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:, ::2] = (150, 60, 0)
    pixels[:, 1::2] = (0, 113, 150)
    result = attacked("jpeg", 95, pixels).astype(int)
    assert np.abs(result[:, ::2, 0] - result[:, 1::2, 0]).mean() < 20


def test_the_second_file_of_two_is_of_quality_90():
    pixels = picture(4)
    assert (
        attacked("jpeg_twice", 60, pixels) == attacked("jpeg", 90, attacked("jpeg", 60, pixels))
    ).all()


def test_equalised_luma_fills_the_range():
    dull = (picture(5) // 4 + 90).astype(np.uint8)
    luma = cv2.cvtColor(attacked("equalise", 1, dull), cv2.COLOR_RGB2GRAY)
    assert luma.std() > 3 * cv2.cvtColor(dull, cv2.COLOR_RGB2GRAY).std()


@pytest.mark.parametrize("name", ["crop", "social"])
def test_the_centre_stays_in_the_centre_and_the_edge_goes(name):
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[28:36, 28:36] = 200
    pixels[0] = pixels[-1] = pixels[:, 0] = pixels[:, -1] = 255
    result = attacked(name, 90 if name == "social" else 0.9, pixels).astype(float)
    assert result[0, 5:-5].mean() < 100
    rows, columns = np.indices((SIDE, SIDE))
    inside = result[8:-8, 8:-8, 1]
    for axis in (rows, columns):
        assert (axis[8:-8, 8:-8] * inside).sum() / inside.sum() == pytest.approx(31.5, abs=0.6)
    assert inside.sum() > 1.05 * 200 * 64


def test_check_tells_what_is_wrong():
    assert check("jpg", 90) == "jpg: no such attack, did you mean jpeg?"
    assert "there are jpeg, " in check("zzzz", 1)
    assert check("noise", -1) == (
        "noise: strength -1 is outside 0 to 100 "
        "(standard deviation of white Gaussian noise, grey levels)"
    )
    assert check("median", 4) == (
        "median: strength 4 is not 3 to 31 in steps of 2 (side of the window, odd, pixels)"
    )
    assert "in steps of 1" in check("jpeg", 92.5)
    assert "is outside" in check("gamma", math.nan)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("jpegs", 90, picture(0)), "did you mean jpeg"),
        (("jpeg", 101, picture(0)), "outside 1 to 100"),
        (("jpeg", 90, picture(0)[..., 0]), r"uint8 \(H, W, 3\), got uint8 \(64, 64\)"),
        (("jpeg", 90, picture(0) / 255), "got float64"),
        (("jpeg", 90, picture(0)[:0]), r"got uint8 \(0, 64, 3\)"),
        (("jpeg", 90, picture(0), np.zeros((64, 64))), "needs no pattern"),
        (("fingerprint_removal", 1, picture(0)), "pattern of a generator"),
        (("camera_fingerprint", 0.01, picture(0)), "pattern of a camera"),
        (("camera_fingerprint", 0.01, picture(0), np.ones((64, 64))), "flat"),
        (("camera_fingerprint", 0.01, picture(0), np.full((64, 64), np.nan)), "finite"),
        (("fingerprint_removal", 1, picture(0), np.zeros((64, 60, 3))), "got float64"),
        (("fingerprint_removal", 1, picture(0), np.zeros((64, 64, 3), int)), "got int64"),
        (("webp", 90, np.zeros((1, 16_384, 3), np.uint8)), "does not fit into a .webp"),
    ],
)
def test_wrong_input_is_refused_in_one_line(arguments, told):
    name, strength, pixels, *pattern = arguments
    with pytest.raises(ValueError, match=told) as error:
        attack(name, strength, pixels, np.random.default_rng(0), *pattern)
    assert "\n" not in str(error.value)


def test_a_fingerprint_is_the_mean_residual_of_pictures_of_one_size():
    pictures = [picture(seed) for seed in range(3)]
    mean = np.mean([channel_residuals(pixels) for pixels in pictures], 0).transpose(1, 2, 0)
    fingerprint = estimated_fingerprint(iter(pictures))
    assert fingerprint.dtype == np.float32
    assert fingerprint == pytest.approx(mean, abs=1e-5)
    with pytest.raises(ValueError, match="no image"):
        estimated_fingerprint([])
    with pytest.raises(ValueError, match="one size"):
        estimated_fingerprint([picture(0), picture(0, 64, 66)])
    with pytest.raises(ValueError, match=r"uint8 \(H, W, 3\)"):
        estimated_fingerprint([picture(0)[..., 0]])


def test_fingerprint_removal_takes_the_common_pattern_out_of_other_pictures():
    common = np.random.default_rng(8).normal(0, 1, (SIDE, SIDE, 3))
    fingerprint = estimated_fingerprint(
        picture(s, grain=1.5, added=common) for s in range(100, 140)
    )
    left, before, overdone = 0.0, 0.0, 0.0
    for seed in range(200, 205):
        pixels = picture(seed, grain=1.5, added=common)
        before += carried(pixels, common)
        left += abs(carried(removed(pixels, 1, fingerprint), common))
        overdone += carried(removed(pixels, 3, fingerprint), common)
    assert before > 5 * 0.3
    assert left < before / 2
    # A fingerprint subtracted too often is there again, with the other sign.
    assert overdone < 0


def carried(pixels, common):
    return correlation(channel_residuals(pixels).transpose(1, 2, 0), common)


def test_a_camera_s_pattern_makes_pictures_correlate():
    own, other = (camera_pattern(np.random.default_rng(seed), SIDE, SIDE) for seed in (9, 10))

    def residual(seed, pattern, strength=0.02):
        taken = attack(
            "camera_fingerprint", strength, picture(seed), np.random.default_rng(0), pattern
        )
        return noise_residual(taken)

    first = residual(20, own)
    assert correlation(first, residual(21, own)) > 0.1
    assert abs(correlation(first, residual(21, other))) < 0.05
    assert abs(correlation(noise_residual(picture(20)), noise_residual(picture(21)))) < 0.05


def test_a_camera_s_pattern_is_relative_to_the_light_and_takes_any_unit():
    pattern = camera_pattern(np.random.default_rng(11), 128, 128)
    assert pattern.dtype == np.float32
    assert pattern.mean() == pytest.approx(0, abs=1e-6)
    assert pattern.std() == pytest.approx(1, abs=1e-5)
    rng = np.random.default_rng(0)
    for level in (60, 180):
        grey = np.full((128, 128, 3), level, np.uint8)
        taken = attack("camera_fingerprint", 0.02, grey, rng, pattern)
        assert taken.astype(float).std() == pytest.approx(
            math.hypot(0.02 * level, 1 / math.sqrt(12)), rel=0.02
        )
    colour = np.repeat(pattern[:, :, None], 3, 2) * np.float32(0.25) + np.float32(3)
    assert (attack("camera_fingerprint", 0.02, grey, rng, colour) == taken).all()
    with pytest.raises(ValueError, match="two pixels"):
        camera_pattern(rng, 1, 1)


def test_psnr_of_a_known_error():
    grey = np.full((16, 16, 3), 100, np.uint8)
    assert psnr(grey, grey) == math.inf
    assert psnr(grey, grey + np.uint8(2)) == pytest.approx(20 * math.log10(255 / 2))
    with pytest.raises(ValueError, match="one size"):
        psnr(grey, grey[:8])


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.integers(11, 40), st.integers(11, 40))
def test_ssim_is_symmetric_one_for_equal_pictures_and_falls_with_noise(seed, height, width):
    pixels = picture(seed, height, width)
    assert ssim(pixels, pixels) == 1
    likeness = [ssim(pixels, attacked("noise", sigma, pixels, seed)) for sigma in (1, 5, 25)]
    assert 1 > likeness[0] > likeness[1] > likeness[2]
    noisy = attacked("noise", 5, pixels, seed)
    assert ssim(noisy, pixels) == pytest.approx(ssim(pixels, noisy), abs=1e-12)


def test_ssim_of_flat_pictures_is_that_of_their_means():
    dark, light = (np.full((20, 20, 3), level, np.uint8) for level in (100, 120))
    floor = 2.55**2
    expected = (2 * 100 * 120 + floor) / (100**2 + 120**2 + floor)
    assert ssim(dark, light) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="11 pixels"):
        ssim(dark[:10], light[:10])


def test_ssim_is_that_of_the_publication_window_by_window():
    pixels = picture(12, 16, 20)
    changed = attacked("blur", 1, pixels)
    offset = np.arange(-5, 6)
    weights = np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * 1.5**2))
    weights /= weights.sum()
    luma = [p @ np.array([0.299, 0.587, 0.114]) for p in (pixels, changed)]
    likeness = []
    for top, left in np.ndindex(16 - 10, 20 - 10):
        x, y = (plane[top : top + 11, left : left + 11] for plane in luma)
        mx, my = (weights * x).sum(), (weights * y).sum()
        vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
        both = (weights * (x - mx) * (y - my)).sum()
        c1, c2 = 2.55**2, 7.65**2
        likeness.append(
            (2 * mx * my + c1) * (2 * both + c2) / (mx**2 + my**2 + c1) / (vx + vy + c2)
        )
    assert ssim(pixels, changed) == pytest.approx(np.mean(likeness), abs=1e-5)


def test_ssim_agrees_with_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    pixels = picture(12)
    for name in ("noise", "blur", "gamma"):
        changed = attacked(name, ATTACKS[name].strengths[-1], pixels)
        theirs = metrics.structural_similarity(
            *(cv2.cvtColor(np.float32(p), cv2.COLOR_RGB2GRAY) for p in (pixels, changed)),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
        )
        assert ssim(pixels, changed) == pytest.approx(theirs, abs=1e-3)
