"""The digest of an image folder stands for the contents of its pictures, not for their times."""

import os

import pytest
from dataset_files import fill

from bench.datasets import _image_folder_digest
from bench.datasets._image_folder_digest import digest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A directory with three pictures that have not changed for long, and a user's cache of its own."""
    monkeypatch.setattr(_image_folder_digest.platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr(_image_folder_digest, "SETTLED", -(10**12))
    return fill(tmp_path / "d", 3, 0)


FILES = ["0.png", "1.png", "2.png"]


def test_a_copy_with_other_times_has_the_same_digest(folder, tmp_path):
    before = digest(folder, FILES)
    os.utime(folder / "1.png", (1, 1))
    assert digest(folder, FILES) == before
    assert digest(fill(tmp_path / "copy", 3, 0), FILES) == before
    assert digest(folder, FILES[:2]) != before


def test_a_change_is_seen_though_size_and_time_are_set_back(folder):
    before, facts, content = digest(folder, FILES), (folder / "1.png").stat(), (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(content[:-1] + b"!")
    os.utime(folder / "1.png", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert digest(folder, FILES) != before


def test_unchanged_files_are_not_read_again(folder, monkeypatch):
    before = digest(folder, FILES)
    monkeypatch.setattr(_image_folder_digest, "_of_file", lambda file: pytest.fail("read again"))
    assert digest(folder, FILES) == before


def test_files_that_have_just_changed_are_read_again(folder, monkeypatch):
    monkeypatch.setattr(_image_folder_digest, "SETTLED", 2 * 10**9)
    digest(folder, FILES)
    assert not (folder.parent / "cache").exists()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"0" * 100, b"0000000000000000 no digest at all"])
def test_a_damaged_memory_is_ignored(folder, content):
    before = digest(folder, FILES)
    [memory] = (folder.parent / "cache").rglob("digests/*")
    memory.write_bytes(content)
    assert digest(folder, FILES) == before


def test_a_cache_that_cannot_be_written_is_done_without(folder, tmp_path):
    (tmp_path / "cache").write_text("no directory")
    assert digest(folder, FILES) == digest(folder, FILES)
