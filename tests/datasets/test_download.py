"""Downloads of one file: they are resumed and checked, and a failure leaves nothing behind."""

import errno

import numpy as np
import pytest
from dataset_files import files_below, md5

from bench.datasets._download import fetch
from bench.errors import RequestError

CONTENT = np.random.default_rng(0).integers(0, 256, 100_000, dtype=np.uint8).tobytes()


def test_an_interrupted_download_continues_where_it_stopped(server, tmp_path):
    server.files["a"], server.breaks = CONTENT, [30_000, 20_000]
    fetch(f"{server.url}/a", tmp_path / "sub" / "a", md5(CONTENT))
    assert (tmp_path / "sub" / "a").read_bytes() == CONTENT
    assert server.asked == [("a", None), ("a", "bytes=30000-"), ("a", "bytes=50000-")]
    assert files_below(tmp_path) == ["a", "sub"]
    fetch(f"{server.url}/a", tmp_path / "sub" / "a", md5(CONTENT))
    assert len(server.asked) == 3  # nothing more to ask for


def test_what_a_killed_process_left_is_continued(server, tmp_path):
    server.files["a"] = CONTENT
    (tmp_path / "a.part").write_bytes(CONTENT[:77_000])
    fetch(f"{server.url}/a", tmp_path / "a", md5(CONTENT))
    assert server.asked == [("a", "bytes=77000-")]
    assert (tmp_path / "a").read_bytes() == CONTENT
    (tmp_path / "b.part").write_bytes(CONTENT)  # killed just before its rename
    fetch(f"{server.url}/a", tmp_path / "b", md5(CONTENT))
    assert files_below(tmp_path) == ["a", "b"]


def test_a_server_that_cannot_continue_starts_over(server, tmp_path):
    server.files["a"], server.ranges = CONTENT, False
    (tmp_path / "a.part").write_bytes(CONTENT[:77_000])
    fetch(f"{server.url}/a", tmp_path / "a", md5(CONTENT))
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_wrong_hash_is_one_line_and_leaves_nothing(server, tmp_path):
    server.files["a"] = CONTENT
    with pytest.raises(RequestError, match=f"a.part: damaged: its MD5 is {md5(CONTENT)}, expected 0000") as caught:
        fetch(f"{server.url}/a", tmp_path / "a", "0000")
    assert "\n" not in str(caught.value)
    assert files_below(tmp_path) == []


def test_a_damaged_file_of_the_user_is_reported_and_not_removed(server, tmp_path):
    (tmp_path / "a").write_bytes(b"mine")
    with pytest.raises(RequestError, match="delete it to have it downloaded again"):
        fetch(f"{server.url}/a", tmp_path / "a", md5(CONTENT))
    assert (tmp_path / "a").read_bytes() == b"mine"
    assert server.asked == []


def test_a_full_disk_leaves_no_partial_file(server, tmp_path):
    server.files["a"] = CONTENT
    (tmp_path / "a.part").symlink_to("/dev/full")  # every write to it fails with ENOSPC
    with pytest.raises(OSError, match="No space left") as caught:
        fetch(f"{server.url}/a", tmp_path / "a", md5(CONTENT))
    assert caught.value.errno == errno.ENOSPC
    assert files_below(tmp_path) == []


def test_a_refused_request_is_not_repeated(server, tmp_path):
    with pytest.raises(OSError, match=r"http://127.0.0.1:\d+/gone: HTTP Error 404"):
        fetch(f"{server.url}/gone", tmp_path / "gone", "0000")
    assert len(server.asked) == 1
    assert files_below(tmp_path) == []
