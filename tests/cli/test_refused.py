"""A request that is refused writes nothing and removes nothing, whatever options say where it would write."""

import inspect
from pathlib import Path

import pytest
import tiny
from stores import ABCD, bench, put, train

from bench.cli.main import app
from bench.plan.plan import make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.store.store import Store

NO_DATA = ["--datasets", "cifar10", "--attacks", "none", "--defenses", "none", "--data", "../no data"]
WRITING = {"out", "log", "store", "into", "poisoned"}  # parameters that say where something is written
REFUSED = {
    "run": [
        ["--attacks", "nothing"],
        NO_DATA,
        [*NO_DATA, "--store", "empty"],
        [*NO_DATA, "--store", "full", "--refresh", "defense:none"],
        ["--quiet", "--verbose"],
        ["--refresh", "nothing", "--attacks", "none", "--defenses", "none"],
        ["--device", "cuda:99"],
        ["--plugin", "gone.py"],
        ["--store", "else"],
    ],
    "report": [["--store", "gone"], ["--store", "full", "--order", "x"], ["--store", "full", "--figure", "sweep:x"]],
    "site": [["gone.jsonl"], ["full", "--url", "ftp:x"], ["empty"], []],
    "export": [[ABCD, "--store", "gone"], ["ffff", "--store", "full"]],
    "merge": [["full"], ["new", "gone"], ["new", "full", "gone"], ["else", "full"]],
    "new": [["defense", "tac"], ["colour", "mine"], ["defense", "json"]],
    "scan": [["gone.pt", "--model", "resnet18", "--images", "gone"]],
    "repair": [["gone.pt", "--model", "resnet18", "--images", "gone", "--defense", "ft"]],
    "rm": [["--store", "full", "--yes", "ffff"]],
    "gc": [["--store", "gone", "--yes"]],
    "measure": [["--store", "gone"]],
    "verify": [["--store", "gone"]],
    "plan": [[*NO_DATA[:2], "--attacks", "nothing"]],
    "status": [["--store", "gone"]],
}
WHERE = {"run": ["--log", "log.txt"], "report": ["--out", "out"], "site": ["--out", "out"], "scan": ["--out", "out"]}
WHERE |= {"export": ["--out", "out.safetensors", "--poisoned", "out"], "new": ["--out", "out"]}
WHERE |= {"repair": ["--out", "out.safetensors"]}


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Path:
    """A folder with a store that has results, an empty folder, and one with something else."""
    folder = tmp_path_factory.mktemp("refused")
    options = dict(zip((name[2:] for name in NO_DATA[:6:2]), NO_DATA[1:6:2], strict=True))
    plan = make_plan(Request.read(options), Registry(), folder)
    store = Store(folder / "full")
    train(store, plan.victims[0])
    put(store, plan.cells[0])
    (folder / "empty").mkdir()
    (folder / "else").mkdir()
    (folder / "else" / "mine.txt").write_text("mine")
    return folder


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize(("command", "words"), [(name, words) for name, all in REFUSED.items() for words in all])
def test_nothing_is_written_and_nothing_is_lost(full, capsys, monkeypatch, command, words):
    monkeypatch.chdir(full)
    before = tree(full)
    status, _, err = bench(capsys, command, *words, *WHERE.get(command, []))
    assert status == 2, err
    assert "Traceback" not in err
    assert tree(full) == before


def test_these_are_all_commands_that_write():
    commands = {name: app[name].default_command for name in app if not name.startswith("-")}
    writing = {name for name, made in commands.items() if WRITING & set(inspect.signature(made).parameters)}
    assert writing - {"show"} <= set(REFUSED)
    for name, made in commands.items():
        options = {"out", "log", "poisoned"} & set(inspect.signature(made).parameters)
        assert options <= {word.lstrip("-") for word in WHERE.get(name, [])}, name


def test_a_log_has_all_that_is_said_before_the_run_begins_and_is_appended_to(tmp_path, capsys):
    log, words = tmp_path / "run.log", tiny.command(tmp_path, attacks="corner", defenses="none", executor="inline")[3:]
    log.write_text("before\n")
    assert bench(capsys, *words, "--log", log)[0] == 0
    first, *lines = log.read_text().splitlines()
    assert first == "before"
    assert any("stages to do" in line for line in lines)
    assert any("the attack did not work" in line or ": done, ACC" in line for line in lines)
    assert bench(capsys, *words, "--log", tmp_path / "again.log")[0] == 0  # nothing to do
    assert (tmp_path / "again.log").exists()


@pytest.mark.parametrize("place", ["gone/run.log", ".", "file/run.log", "bad\0name"])
def test_a_place_that_cannot_hold_a_log_is_refused_before_anything_runs(tmp_path, capsys, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    words = tiny.command(tmp_path, attacks="corner", defenses="none", executor="inline")[3:]
    (tmp_path / "file").write_text("")
    before = tree(tmp_path)
    status, _, err = bench(capsys, *words, "--log", place)
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("bench: --log ")
    assert ": cannot be written to: " in err
    assert tree(tmp_path) == before
