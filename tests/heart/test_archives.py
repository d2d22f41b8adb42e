"""Archives: every member is listed once and read as it went in, and damage raises nothing."""

import io
import tarfile
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noisescope_core import archives
from noisescope_core.archives import content, is_zip, members, unpacked

NAMES = ("a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz", "a.zip")

contents = st.lists(st.binary(max_size=3000), max_size=8)


def packed(name, files):
    """An archive of these contents under the names 0, 1 and so on."""
    stream = io.BytesIO()
    if is_zip(name):
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for number, data in enumerate(files):
                archive.writestr(f"in/{number}.png", data)
        return stream.getvalue()
    packing = archives.TAR_ENDINGS[name[1:]]
    with tarfile.open(fileobj=stream, mode=f"w:{packing}") as archive:
        for number, data in enumerate(files):
            entry = tarfile.TarInfo(f"in/{number}.png")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def read(data, name):
    """Contents by name, in order, and the reasons of what cannot be read."""
    found, reasons = {}, []
    listed = list(members(io.BytesIO(data), name))
    file = unpacked(io.BytesIO(data), listed[0].packing if listed else "")
    for member in listed:
        if member.reason:
            reasons.append(member.reason)
            continue
        try:
            found[member.name] = content(file, member, is_zip(name))
        except ValueError as error:
            reasons.append(str(error))
    return found, reasons


@pytest.mark.parametrize("name", NAMES)
@given(files=contents)
@settings(max_examples=15, deadline=None)
def test_what_went_in_comes_out(name, files):
    found, reasons = read(packed(name, files), name)
    assert found == {f"in/{number}.png": data for number, data in enumerate(files)}
    assert not reasons or (not files and len(reasons) == 1)


@pytest.mark.parametrize("name", NAMES)
@given(
    files=contents.filter(any), where=st.floats(0, 1), cut=st.booleans(), flip=st.integers(1, 255)
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_damage_is_told_and_raises_nothing(name, files, where, cut, flip):
    data = bytearray(packed(name, files))
    place = int(where * (len(data) - 1))
    if cut:
        del data[place:]
    else:
        data[place] ^= flip
    found, reasons = read(bytes(data), name)
    whole = {f"in/{number}.png": file for number, file in enumerate(files)}
    if cut and len(found) < len(whole):
        assert reasons
    if cut:
        assert found.items() <= whole.items()


@pytest.mark.parametrize("name", NAMES)
@given(data=st.binary(max_size=4000))
@settings(max_examples=40, deadline=None)
def test_noise_is_no_archive(name, data):
    found, reasons = read(data, name)
    assert len(reasons) == 1 and not found


def test_a_name_that_comes_twice_is_two_files():
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for data in (b"first", b"second"):
            entry = tarfile.TarInfo("a.png")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    assert read(stream.getvalue(), "a.tar")[0] == {"a.png": b"first", "a.png#2": b"second"}


def test_links_and_what_is_no_file_are_told():
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, kind in (("link", tarfile.SYMTYPE), ("pipe", tarfile.FIFOTYPE),
                           ("folder", tarfile.DIRTYPE)):  # fmt: skip
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
    listed = {member.name: member.reason for member in members(stream, "a.tar")}
    assert listed == {"link": archives.LINK, "pipe": "not a plain file of a tar"}


def test_what_a_zip_encrypts_or_packs_otherwise_is_told():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("secret", b"x")
        archive.writestr("packed", b"x" * 100, zipfile.ZIP_LZMA)
    data = bytearray(stream.getvalue())
    data[data.index(b"PK\1\2") + 8] |= archives.ENCRYPTED
    listed = {member.name: member.reason for member in members(io.BytesIO(bytes(data)), "a.zip")}
    assert listed["secret"] == "encrypted in its archive"
    assert "method 14" in listed["packed"]


def test_a_member_that_is_larger_than_it_says_is_not_unpacked():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(50_000_000))
    (member,) = members(stream, "a.zip")
    small = archives.Member("bomb", 100, member.offset, member.stored, member.packing)
    with pytest.raises(ValueError, match="not as long as it says"):
        content(stream, small, True)


def test_a_header_of_any_length_is_not_read():
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", format=tarfile.GNU_FORMAT) as archive:
        entry = tarfile.TarInfo("n" * (2 * archives.MOST_OF_HEADER))
        archive.addfile(entry)
    (member,) = members(stream, "a.tar.gz")
    assert "header of" in member.reason
