"""Devices and apps that the reference lacks, by formats and tables: who is told of, who is not."""

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from noisescope_core.config import Config
from noisescope_core.extraction import counterparts_in_words
from noisescope_core.images.compression import Compression
from noisescope_core.images.counterparts import lacking_in_words, without_counterpart
from noisescope_core.in_memory import detect
from tests.conftest import picture
from tests.heart.test_reference import J85, J95, PNG, compression


def phone(number):
    """Tables as no common encoder writes them."""
    tables = np.random.default_rng(number).integers(3, 12, 128).astype(np.uint8)
    return Compression("JPEG 4:2:0", tables.tobytes())


def test_a_phone_that_the_reference_lacks_is_told_of_and_one_that_it_has_is_not():
    tested = {J85: 150, phone(1): 30, phone(2): 20}
    (told,) = lacking_in_words(tested, {J85: 150, phone(2): 20}, {})
    tens = phone(1).quality // 10
    assert f"30 of 200 (JPEG 4:2:0 quality {tens}0 to {tens}9: 30)" in told
    assert lacking_in_words(tested, {J85: 150, phone(1): 20, phone(2): 20}, {}) == []
    # One photograph among two hundred is hardly a counterpart of 15 in a hundred.
    assert lacking_in_words(tested, {J85: 180, phone(1): 1, phone(2): 20}, {})


def test_few_images_are_not_told_of():
    assert lacking_in_words({J85: 100, PNG: 9}, {J85: 100}, {}) == []
    assert lacking_in_words({J85: 1000, PNG: 50}, {J85: 100}, {}) == []
    assert lacking_in_words({J85: 1000, PNG: 60}, {J85: 100}, {})
    assert lacking_in_words({}, {}, {}) == []


def test_common_tables_differ_by_format_and_tens_alone():
    assert without_counterpart({J85: 5, compression(88): 5}, {compression(81): 5}, {}) == {}
    assert without_counterpart({J85: 5}, {J95: 5, compression(85, "4:4:4"): 5}, {}) == {
        ("JPEG 4:2:0", 8): 5
    }


def test_what_was_saved_again_is_a_counterpart_of_common_tables_and_of_no_phones():
    made = {("JPEG 4:2:0", 8): 50}
    assert lacking_in_words({J85: 50}, {PNG: 50}, made) == []
    own = phone(1)
    kind = ("JPEG 4:2:0", own.quality // 10)
    assert without_counterpart({own: 50}, {PNG: 50}, {kind: 50}) == {kind: 50}


def test_tables_that_are_new_in_any_sample_are_not_told_of():
    # Some encoders make tables for each image: as many are new here as are there once.
    many = {phone(number): 1 for number in range(40)}
    others = {phone(number): 1 for number in range(100, 140)}
    assert lacking_in_words({J85: 60, **many}, {J85: 60, **others}, {}) == []
    assert lacking_in_words({J85: 60, **many}, {J85: 100}, {})


@given(st.permutations([J85, J95, PNG, phone(1), phone(2), phone(3), phone(4), phone(5)]))
def test_order_changes_nothing(order):
    counts = {J85: 30, J95: 20, PNG: 12, **{phone(k): 11 for k in range(1, 6)}}
    (told,) = lacking_in_words(counts, {J85: 40}, {})
    assert lacking_in_words({one: counts[one] for one in order}, {J85: 40}, {}) == [told]


def row(kind, prepared=None):
    return {"format": kind.format, "quantization": kind.tables, "prepared": prepared}


def test_rows_of_a_reference_are_counted_as_they_are_by_now():
    resized = row(PNG, "resized to 80 x 72, saved again as JPEG 4:2:0 quality 85")
    again = row(PNG, "saved again as JPEG 4:2:0 quality 85")
    assert counterparts_in_words({J85: 20}, [(again, 40)]) == []
    assert counterparts_in_words({PNG: 20}, [(row(PNG), 40), (resized, 40)]) == []
    (told,) = counterparts_in_words({PNG: 20, J85: 20}, [(row(PNG), 40), (resized, 40)])
    assert "20 of 40 (JPEG 4:2:0 quality 80 to 89: 20)" in told


def test_a_search_in_memory_says_so():
    def files(ending, count):
        rng = np.random.default_rng(count)
        pixels = (np.clip(picture(rng), 0, 255).astype(np.uint8) for _ in range(count))
        return {f"{k}": cv2.imencode(ending, one)[1].tobytes() for k, one in enumerate(pixels)}

    notes = []
    detect(files(".png", 12), files(".jpg", 13), Config(), notes.append)
    assert "hardly any reference image has: 12 of 12 (PNG: 12)" in notes[0]
    notes.clear()
    detect(files(".png", 12), files(".png", 13), Config(), notes.append)
    assert not any("hardly" in note for note in notes)
