"""How far a running stage is, for ``bench status``: written beside its lock, gone with it, and never trusted."""

import json
import os

import pytest
from stores import ABCD, bench

from bench.store import locks, logs, progress
from bench.store.store import Store


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


def test_progress_is_there_while_a_stage_is_computed(store, monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with locks.lock(store.root, ABCD), progress.written(store.root, ABCD, "victim x", 15) as write:
        write(0.42)
        found = progress.read(store.root, ABCD)
        assert (found.title, found.share, found.epoch, found.epochs) == ("victim x", 0.42, 7, 15)
        progress.sweep(store.root)  # nothing that runs is swept
        status, out, _ = bench(capsys, "status", "--store", store.root)
        assert status == 0
        assert "running   victim x, 42%, epoch 7 of 15, for " in out
        [running] = json.loads(bench(capsys, "status", "--store", store.root, "--json")[1])["running"]
        assert (running["key"], running["epoch"], running["share"]) == (ABCD, 7, 0.42)
    assert list((store.root / locks.FOLDER).iterdir()) == []


def test_it_is_written_seldom(store, monkeypatch):
    (store.root / locks.FOLDER).mkdir()
    puts = []
    monkeypatch.setattr(progress, "_put", lambda path, content: puts.append(content))
    with progress.written(store.root, ABCD, "x") as write:
        for step in range(1000):
            write(step / 1000)
    assert len(puts) == 1


def test_what_a_dead_process_left_is_swept(store):
    (store.root / locks.FOLDER).mkdir()
    left = store.root / locks.FOLDER / f"{ABCD}{progress.ENDING}"
    left.write_text("{}")
    progress.sweep(store.root)
    assert not left.exists()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"title": "x", "share": 2, "began": 0}', b'{"title": 1}', b"\xff" * 9000]
)
def test_what_cannot_be_progress_is_none(store, content):
    (store.root / locks.FOLDER).mkdir()
    (store.root / locks.FOLDER / f"{ABCD}{progress.ENDING}").write_bytes(content)
    assert progress.read(store.root, ABCD) is None


def test_a_title_of_somebody_else_steers_nothing(store):
    (store.root / locks.FOLDER).mkdir()
    said = {"title": "a\x1b[2J\nb", "share": 0.5, "began": 0}
    (store.root / locks.FOLDER / f"{ABCD}{progress.ENDING}").write_text(json.dumps(said))
    assert progress.read(store.root, ABCD).title.isprintable()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/etc/passwd")])
def test_what_is_no_file_is_neither_read_nor_written(store, make):
    (store.root / locks.FOLDER).mkdir()
    make(store.root / locks.FOLDER / f"{ABCD}{progress.ENDING}")
    assert progress.read(store.root, ABCD) is None
    with progress.written(store.root, ABCD, "x") as write:
        write(0.5)
    (store.root / logs.FOLDER).mkdir()
    make(logs.path(store.root, ABCD))
    assert logs.read(store.root, ABCD) is None


def test_what_a_stage_printed_is_kept_and_can_be_read_without_harm(store):
    assert logs.put(store.root, ABCD, b"a\x1b[31mb\n") == logs.path(store.root, ABCD)
    assert logs.read(store.root, ABCD) == "a\\x1b[31mb\n"
    assert logs.put(store.root, ABCD, b"again") is not None
    assert logs.read(store.root, ABCD) == "again"
    assert list(logs.files(store.root)) == [(ABCD, logs.path(store.root, ABCD))]
