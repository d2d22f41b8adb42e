"""Folders as people have them: every file once, and a reason for each that is not read."""

import os

import pytest

from noisescope_core.app.folders import spelt, walk, why_unread


def fill(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(folder):
    return [os.path.relpath(path, folder) for path in walk(str(folder)).files]


def test_a_plain_folder_is_a_tree(tmp_path):
    fill(tmp_path, "a.png", "b [1]/c.png", "b [1]/10:20.png")
    walked = walk(str(tmp_path))
    assert (walked.is_tree, walked.closed) == (True, {})
    assert names(tmp_path) == ["a.png", "b [1]/10:20.png", "b [1]/c.png"]


def test_links_in_circles_are_entered_once(tmp_path):
    fill(tmp_path, "a.png", "sub/b.png")
    (tmp_path / "again").symlink_to(".")
    (tmp_path / "sub/up").symlink_to("..")
    (tmp_path / "self").symlink_to("self")
    walked = walk(str(tmp_path))
    assert not walked.is_tree
    assert walked.circles == [str(tmp_path / "again"), str(tmp_path / "sub/up")]
    assert names(tmp_path) == ["a.png", "self", "sub/b.png"]


def test_a_folder_that_only_a_link_leads_to_is_entered(tmp_path):
    fill(tmp_path, "images/a.png", "elsewhere/b.png")
    (tmp_path / "images/more").symlink_to("../elsewhere")
    (tmp_path / "images/twice").symlink_to("../elsewhere")
    assert names(tmp_path / "images") == ["a.png", "more/b.png"]
    assert walk(str(tmp_path / "images")).circles == []


def test_a_folder_that_is_closed_costs_itself_alone(tmp_path, monkeypatch):
    fill(tmp_path, "a.png", "closed/b.png", "open/c.png")
    scandir = os.scandir

    def refuse(place):
        if str(place).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refuse)
    walked = walk(str(tmp_path))
    assert names(tmp_path) == ["a.png", "open/c.png"]
    assert not walked.is_tree
    ((place, reason),) = walked.closed.items()
    assert place == str(tmp_path / "closed")
    assert reason.startswith("folder that cannot be listed (Permission denied)")


def test_what_cannot_be_read_has_its_reason(tmp_path):
    fill(tmp_path, "_metadata.png", ".git/config", "c.png._COPYING_", "sound.png")
    (tmp_path / "nowhere").symlink_to("gone")
    os.mkfifo(tmp_path / "pipe")
    with open(os.fsencode(tmp_path) + b"/\xff.png", "wb") as stream:
        stream.write(b"x")
    found = {spelt(path): why_unread(path) or "" for path in walk(str(tmp_path)).files}
    told = {os.path.relpath(path, tmp_path): reason[:4] for path, reason in found.items()}
    assert told == {
        "_metadata.png": "", ".git/config": "", "c.png._COPYING_": "not ",
        "sound.png": "", "nowhere": "link", "pipe": "not ", "\\xff.png": "name",
    }  # fmt: skip


@pytest.mark.parametrize("script", ["make_links.py"])
def test_shared_cases_of_links(shared, tmp_path, script):
    import subprocess
    import sys

    if not (shared / "cases" / script).exists():
        pytest.skip(f"{script} is not at {shared / 'cases'}")
    fill(tmp_path / "sources", *(f"{k:02d}.png" for k in range(20)))
    command = [sys.executable, shared / "cases" / script, tmp_path / "out", tmp_path / "sources"]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})
    for name in ("one", "two"):
        assert len(names(tmp_path / "out" / name)) == 20
