"""The reference set made like the test set: what is changed, and into what."""

import io
from collections import Counter

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from noisescope_core.images.compression import Compression, compression_of, saved_again
from noisescope_core.images.reference import (
    Header,
    Preparation,
    across_sizes,
    preparations,
    prepared,
    unlike,
)
from tests.conftest import picture

PIXELS = np.clip(picture(np.random.default_rng(0), (96, 128)), 0, 255).astype(np.uint8)
FACTORS = {"4:2:0": 0x221111, "4:4:4": 0x111111}


def jpeg(pixels, quality, sampling):
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    flags += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, FACTORS[sampling]]
    bgr = np.ascontiguousarray(pixels[:, :, ::-1])
    return cv2.imencode(".jpg", bgr, flags)[1].tobytes()


def compression(quality, sampling="4:2:0"):
    return compression_of(Image.open(io.BytesIO(jpeg(PIXELS, quality, sampling))))


J85, J95, PNG = compression(85), compression(95), Compression("PNG")
FULL = compression(95, "4:4:4")


def headers(count, size, kind, start=0):
    return [Header(f"{k:04d}", size, kind) for k in range(start, start + count)]


@pytest.mark.parametrize("quality", [30, 75, 85, 95])
@pytest.mark.parametrize("sampling", FACTORS)
def test_saved_again_as_the_header_says_is_to_the_bit_what_the_encoder_made(quality, sampling):
    data = jpeg(PIXELS, quality, sampling)
    found = compression_of(Image.open(io.BytesIO(data)))
    assert (found.format, found.quality) == (f"JPEG {sampling}", quality)
    assert str(found) == f"JPEG {sampling} quality {quality}"
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    assert np.array_equal(saved_again(PIXELS, found), expected)


def test_grey_and_other_formats():
    stream = io.BytesIO()
    Image.fromarray(PIXELS[:, :, 0]).save(stream, "JPEG", quality=80)
    found = compression_of(Image.open(stream))
    assert (found.format, len(found.tables), found.quality) == ("JPEG grey", 64, 80)
    assert saved_again(PIXELS[:, :, 0], found).shape == PIXELS.shape[:2]
    assert saved_again(PIXELS, found).shape == PIXELS.shape
    assert saved_again(PIXELS, PNG) is PIXELS
    assert PNG.quality is None


def test_alike_sets_are_left_alone():
    size = (64, 64)
    tested = {(size, PNG): 100, (size, J85): 100}
    reference = headers(90, size, J85)
    assert preparations(tested, reference, 20, 60, 1000) == {}


def test_uncompressed_references_are_saved_again_as_the_tested_images_were():
    size = (64, 64)
    done = preparations({(size, J85): 300, (size, J95): 100}, headers(200, size, PNG), 20, 60, 1000)
    assert len(done) == 200
    made = [step.compression for steps in done.values() for step in steps]
    assert made.count(J85) + made.count(J95) == 200
    assert 120 < made.count(J85) < 180


def test_only_what_is_too_many_is_changed():
    size = (64, 64)
    reference = headers(100, size, J95) + headers(100, size, J85, 100)
    done = preparations({(size, J85): 400}, reference, 20, 60, 1000)
    assert set(done) == {f"{k:04d}" for k in range(100)}
    assert {steps[0] for steps in done.values()} == {Preparation(size, J85)}


def test_few_different_ones_are_left_alone():
    size = (64, 64)
    reference = headers(30, size, PNG) + headers(170, size, J85, 100)
    assert preparations({(size, J85): 400}, reference, 20, 60, 1000) == {}


def test_compression_that_cannot_be_undone_is_left_alone_and_told():
    size = (64, 64)
    assert preparations({(size, PNG): 400}, headers(100, size, J85), 20, 60, 1000) == {}
    assert unlike({PNG: 400}, {J85: 100}) == 1
    assert unlike({PNG: 300, J85: 100}, {J85: 100}) == 0.75
    assert unlike({J85: 10}, {J85: 100}) == 0


def test_a_size_without_reference_gets_larger_ones():
    tested = {((64, 48), J85): 30, ((200, 200), PNG): 30, ((10, 10), PNG): 3}
    reference = headers(100, (128, 96), PNG) + headers(100, (60, 200), PNG, 100)
    done = preparations(tested, reference, 20, 60, 80)
    assert len(done) == 80
    assert {steps[0] for steps in done.values()} == {Preparation((64, 48), J85)}
    assert set(done) < {f"{k:04d}" for k in range(100)}


def test_what_is_resized_grows_with_the_images_and_not_with_their_sizes():
    reference = headers(500, (300, 300), PNG)
    tested = {((100 + k, 90), J85): 20 for k in range(40)}
    done = preparations(tested, reference, 20, 60, 1000)
    assert Counter(step.size for steps in done.values() for step in steps) == {
        size: 200 for size, _ in tested
    }
    large = preparations({((100, 90), J85): 90}, reference, 20, 60, 400)
    assert len(large) == 400
    few = preparations({((100, 90), J85): 3}, reference, 2, 60, 400)
    assert len(few) == 60


def of_many_sizes(count, kind, start=0):
    return [Header(f"{k:04d}", (100 + k, 90), kind) for k in range(start, start + count)]


def test_images_of_sizes_that_occur_once_are_saved_again_in_their_own_size():
    reference = of_many_sizes(60, PNG) + of_many_sizes(40, J85, 60)
    done = across_sizes({J85: 30, J95: 30}, reference, {}, ())
    # Half of the reference is to be of quality 95; ten of the others are too few already.
    assert done.keys() == {f"{k:04d}" for k in range(60)}
    sizes = {header.image_id: header.size for header in reference}
    assert all([step.size for step in steps] == [sizes[name]] for name, steps in done.items())
    made = [step.compression for steps in done.values() for step in steps]
    assert set(made) == {J85, J95} and 40 < made.count(J95) < 60


def test_across_sizes_few_different_ones_and_what_cannot_be_undone_are_left_alone():
    few = of_many_sizes(15, PNG) + of_many_sizes(85, J85, 15)
    assert across_sizes({J85: 50}, few, {}, ()) == {}
    assert across_sizes({PNG: 50}, of_many_sizes(50, J85), {}, ()) == {}
    # What compression took cannot be given back.
    assert across_sizes({J95: 50}, of_many_sizes(50, J85), {}, ()) == {}
    assert across_sizes({FULL: 50}, of_many_sizes(50, J95), {}, ()) == {}
    assert len(across_sizes({J85: 50}, of_many_sizes(50, FULL), {}, ())) == 50
    assert across_sizes({}, few, {}, ()) == across_sizes({J85: 50}, [], {}, ()) == {}


def test_across_sizes_an_image_keeps_what_its_size_was_made_for():
    size = (64, 64)
    of_size = headers(100, size, PNG)
    in_place = preparations({(size, J95): 30}, of_size, 20, 60, 1000)
    others = of_many_sizes(100, PNG, 200)
    done = across_sizes({J95: 50, J85: 50}, of_size + others, in_place, {size})
    assert {name: done[name] for name in in_place} == in_place
    # Those of the size are of quality 95 by now, so all others are what lacks.
    of_others = {name: steps for name, steps in done.items() if name not in in_place}
    assert of_others.keys() == {header.image_id for header in others}
    assert {step.compression for steps in of_others.values() for step in steps} == {J85}


def test_an_image_that_was_resized_for_another_size_is_saved_again_in_its_own_besides():
    in_place = {"0200": [Preparation((64, 64), J85)]}
    done = across_sizes({J85: 50}, of_many_sizes(100, PNG, 200), in_place, {(64, 64)})
    assert done["0200"] == [Preparation((64, 64), J85), Preparation((300, 90), J85)]


@given(st.permutations(range(40)))
def test_order_changes_nothing(order):
    reference = headers(20, (128, 96), PNG) + headers(20, (64, 64), J95, 20)
    tested = {((64, 64), J85): 30}
    shuffled = [reference[k] for k in order]
    assert preparations(tested, shuffled, 20, 30, 25) == preparations(tested, reference, 20, 30, 25)
    made = across_sizes({J85: 30}, reference, {}, ())
    assert made and across_sizes({J85: 30}, shuffled, {}, ()) == made


def test_prepared_images_have_the_size_and_the_compression():
    small = prepared(PIXELS, "a", Preparation((64, 64), J85))
    assert small.shape == (64, 64, 3)
    assert np.array_equal(small, prepared(PIXELS, "a", Preparation((64, 64), J85)))
    assert not np.array_equal(small, prepared(PIXELS, "b", Preparation((64, 64), J85)))
    same = prepared(PIXELS, "a", Preparation((128, 96), J85))
    assert np.array_equal(same, saved_again(PIXELS, J85))
    assert prepared(PIXELS[:, :, 0], "a", Preparation((50, 40))).shape == (40, 50)
