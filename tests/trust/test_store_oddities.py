"""What a file system can hold and no store should: odd names, files for folders, what is no file, what is unreadable.

One store has all of it at once. Every command says what is damaged, and what lies beside it is not lost.
"""

import errno
import io
import json
import os
import platform
import shutil
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path

import forged
import pytest
import torch
from stores import SELECTED, bench

from bench.api import open_registry
from bench.engine import scheduler
from bench.errors import Damaged
from bench.plan.plan import make_plan
from bench.plan.request import Request
from bench.store import drafts, files
from bench.store.store import SECTIONS, Section, Store
from bench.store.verify import verify

NAMES = [
    b"a\nb",
    b"\x1b[31m",
    b"\xff\xfe",
    b"x" * 255,
    "\u202e".encode(),
    b"[red]",
    b"\xff.lock",
    b"a" * 32 + b".lock\n",
]
COMMANDS = ("verify", "status", "plan", "show", "report", "measure", "take", "give", "gc", "run")


@pytest.fixture(scope="module")
def plan():
    return make_plan(Request(**{**SELECTED, "seeds": "0-5"}), open_registry(), Path())


@pytest.fixture(scope="module")
def whole(tmp_path_factory, plan) -> Path:
    store = Store(tmp_path_factory.mktemp("whole") / "store")
    forged.fill(store, plan)
    return store.root


def named(folder: Path, name: bytes) -> Path:
    """A path in the folder, of a name that may be no text."""
    return Path(os.fsdecode(os.fsencode(folder) + b"/" + name))


def bind(path: Path) -> None:
    """Make a socket: its whole path may be too long for one."""
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


def in_place(make: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: (shutil.rmtree(folder), make(folder))


def in_place_of_files(make: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: [(path.unlink(), make(path)) for path in list(folder.iterdir())]


OF_A_STAGE = {
    "a file": in_place(Path.touch),
    "a pipe": in_place(os.mkfifo),
    "a socket": in_place(bind),
    "empty": in_place(Path.mkdir),
    "of sockets": in_place_of_files(bind),
    "of folders": in_place_of_files(Path.mkdir),
    "with odd names": lambda folder: [named(folder, name).touch() for name in NAMES],
    "with a store in it": lambda folder: Store(folder / "inner"),
}  # what is done to the folder of a stage; each is damage


def oddities(store: Store) -> set[str]:
    """Put all of them into a store; the names of the stages that are damaged now."""
    damaged = set()
    for section in SECTIONS:
        for key, harm in zip(store.keys(section), OF_A_STAGE.values(), strict=False):
            harm(store.folder(section, key))
            damaged.add(f"{section}/{key}")
    (store.root / "claims").mkdir()
    for place in ("", "cells", "victims", "claims", "tmp"):
        for name in NAMES:
            named(store.root / place, name).touch()
    for pid in ("²", "٣", "9" * 20, str(2**31), "-1", ""):
        (store.root / "tmp" / f"{pid}-x@{platform.node()}").mkdir()
    Store(store.root / "inner")
    (store.root / "verified.json").write_text('{"at": "0001-01-01T00:00:00+23:59", "host": "\\u202e\\u001b[31m"}')
    return damaged


def words(command: str, place: Path, key: str) -> list[str]:
    at, selected = ["--store", str(place / "store")], forged.options("0-5")
    return {
        **{name: [name, *at] for name in ("verify", "measure")},
        **{name: [name, *selected, *at] for name in ("status", "plan")},
        "show": ["show", key, *at],
        "report": ["report", *at, "--out", str(place / "report")],
        "take": ["merge", str(place / "own"), str(place / "store")],
        "give": ["merge", str(place / "store"), str(place / "own")],
        "gc": ["gc", "--yes", *at],
        "run": ["run", *selected, *at, "--executor", "inline"],
    }[command]


@pytest.fixture
def place(tmp_path, whole) -> Path:
    shutil.copytree(whole, tmp_path / "store")
    shutil.copytree(whole, tmp_path / "own")
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_tells_what_is_odd_and_loses_nothing_else(place, capsys, monkeypatch, command):
    monkeypatch.setattr(scheduler, "execute", lambda work, *others: {})  # what it computes does not matter here
    store = Store(place / "store")
    damaged = oddities(store)
    others = {f"{section}/{key}" for section in SECTIONS for key in store.keys(section)} - damaged
    before = {one: store.contents(*one.split("/")) for one in others}
    whole_cell = next(one.partition("/")[2] for one in sorted(others) if one.startswith("cells"))
    status, out, err = bench(capsys, *words(command, place, whole_cell))
    assert status in (0, 1), err
    assert (out + err).replace("\n", "").isprintable()
    assert "Traceback" not in err
    if command != "run":
        assert all(line.startswith("bench: ") for line in err.splitlines())
    if command == "verify":
        assert all(f"damaged   {one}: " in out for one in damaged)
    lost = {one for one in others if not store.has(*one.split("/"))}
    assert lost <= ({one for one in others if one.startswith("victims")} if command == "gc" else set())
    derived = {one for one in others if one.startswith("cells") and command == "measure"}  # from what was invented
    assert all(store.contents(*one.split("/")) == before[one] for one in others - lost - derived)


def test_a_file_that_has_the_name_of_a_folder_of_stages_is_replaced(place, plan, capsys):
    store = Store(place / "store")
    key = next(cell.key for cell in plan.cells if store.has("cells", cell.key))
    content = store.contents("cells", key)
    shutil.rmtree(store.folder("cells", key).parent)
    store.folder("cells", key).parent.touch()
    assert store.record(key) is None
    assert bench(capsys, *words("plan", place, key))[0] == 0
    store.write("cells", key, content)
    assert store.contents("cells", key) == content


@pytest.mark.parametrize("pid", ["²", "٣", "9" * 20, "9" * 200, "-1", ""])
def test_a_draft_of_nobody_is_left_alone(tmp_path, pid):
    store = Store(tmp_path / "s")
    draft = store.root / drafts.FOLDER / f"{pid}-x@{platform.node()}"
    draft.mkdir(parents=True)
    store.sweep()
    assert draft.exists()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EIO])
@pytest.mark.parametrize("call", ["open", "listdir", "lstat"])
def test_what_the_system_cannot_read_is_damage(place, monkeypatch, number, call):
    store = Store(place / "store")
    key, real = store.keys("cells")[0], getattr(os, call)

    def fail(path, *others, **named):
        if key in os.fspath(path):
            raise OSError(number, os.strerror(number), path)
        return real(path, *others, **named)

    monkeypatch.setattr(os, call, fail)
    damaged: list[Damaged] = []
    records = list(store.records(damaged.append))
    assert [error.key for error in damaged] == [key]
    assert os.strerror(number) in str(damaged[0])
    assert len(records) == store.count("cells") + store.count("failures") - 1


def test_what_the_system_says_of_itself_is_no_damage(place, monkeypatch):
    store = Store(place / "store")

    def fail(*arguments, **named):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(OSError, match="Too many open files"):
        store.record(store.keys("cells")[0])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_stage_without_permissions_is_damage(place, capsys, monkeypatch, command):
    monkeypatch.setattr(scheduler, "execute", lambda work, *others: {})
    store = Store(place / "store")
    several = {section: store.keys(section) for section in SECTIONS}
    for section, keys in several.items():
        store.folder(section, keys[0]).chmod(0)
        for path in store.folder(section, keys[1]).iterdir():
            path.chmod(0)
    status, out, err = bench(capsys, *words(command, place, several["cells"][2]))
    assert status in (0, 1), err
    assert "Traceback" not in err
    assert command != "verify" or all(f"{section}/{keys[0]}: " in out for section, keys in several.items())


def packed(state: object) -> bytes:
    """What torch.save writes, packed."""
    plain, made = io.BytesIO(), io.BytesIO()
    torch.save(state, plain)
    with zipfile.ZipFile(plain) as archive, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as other:
        for entry in archive.infolist():
            other.writestr(entry.filename, archive.read(entry))
    return made.getvalue()


def headed(header: dict) -> bytes:
    """A safetensors file without any data."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


EMPTY = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
LARGE = {
    "state.pt": packed({"model": torch.zeros(2**20)}),
    "model.safetensors": headed({str(number): EMPTY for number in range(80_000)}),
    "predictions.safetensors": headed({"__metadata__": {"a": "x" * files.LARGEST_HEADER}}),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_small_file_does_not_fill_the_memory(place, name):
    store = Store(place / "store")
    section: Section = "checkpoints" if name == "state.pt" else "victims"
    key = store.keys(section)[0]
    (store.folder(section, key) / name).write_bytes(LARGE[name])
    forged.reseal(store, section, key)
    [line] = verify(store).damaged
    assert line.startswith(f"{section}/{key}: {name} cannot be read: ValueError: ")
    assert "expected at most" in line
