"""Archives are unpacked completely or not at all, and nothing in them leads out of them."""

import tarfile

import numpy as np
import pytest
from dataset_files import files_below, tarred, zipped

from bench.datasets._download import unpack
from bench.errors import RequestError

CONTENT = np.random.default_rng(0).integers(0, 256, 100_000, dtype=np.uint8).tobytes()


def link(kind: bytes, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo("set/link")
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_members_are_moved_to_their_targets(tmp_path, pack):
    (tmp_path / "archive").write_bytes(pack({"set/a.txt": b"1", "set/deep/b.txt": b"2", "list.csv": b"3"}))
    (tmp_path / ".here.half").mkdir()
    (tmp_path / ".here.half" / "of a killed process").touch()
    unpack(tmp_path / "archive", {"set": tmp_path / "here", "list.csv": tmp_path / "there" / "list.csv"})
    assert (tmp_path / "here" / "deep" / "b.txt").read_bytes() == b"2"
    assert files_below(tmp_path) == ["a.txt", "archive", "b.txt", "deep", "here", "list.csv", "there"]


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("name", ["../evil", "set/../../evil", "/tmp/evil", "C:\\evil", "..\\evil"])
def test_no_path_leads_out_of_an_archive(tmp_path, pack, name):
    home = tmp_path / "data"
    home.mkdir()
    (home / "archive").write_bytes(pack({"set/a": b"1", name: b"evil"}))
    with pytest.raises(RequestError, match="unsafe archive: it holds the path"):
        unpack(home / "archive", {"set": home / "set"})
    assert files_below(tmp_path) == ["archive", "data"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["../../../outside", "/etc/passwd"])
def test_no_link_leads_out_of_an_archive(tmp_path, kind, target):
    (tmp_path / "archive").write_bytes(tarred({"set/a": b"1", "set/link": link(kind, target)}))
    with pytest.raises(RequestError, match="damaged or unsafe archive"):
        unpack(tmp_path / "archive", {"set": tmp_path / "set"})
    assert files_below(tmp_path) == ["archive"]


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.7, 0.999])
def test_a_truncated_archive_leaves_nothing(tmp_path, pack, share):
    content = pack({"set/a": CONTENT, "set/b": CONTENT[::-1]})
    (tmp_path / "archive").write_bytes(content[: int(share * len(content))])
    with pytest.raises(RequestError, match="archive: ") as caught:
        unpack(tmp_path / "archive", {"set": tmp_path / "set"})
    assert "\n" not in str(caught.value)
    assert files_below(tmp_path) == ["archive"]


def test_an_archive_of_other_content_is_refused(tmp_path):
    (tmp_path / "archive").write_bytes(zipped({"other/a": b"1"}))
    with pytest.raises(RequestError, match="expected it to hold set"):
        unpack(tmp_path / "archive", {"set": tmp_path / "set"})
    assert files_below(tmp_path) == ["archive"]
