"""What a stage starts, prints or changes in its worker is not there for the next stage, nor after the run."""

import subprocess
import time
from pathlib import Path

import pytest
import stores
import tiny

import bench
from bench.engine.display import Silent
from bench.provenance import command_line
from bench.store.store import Store


class Notes(Silent):
    """A listener that remembers the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)


def run(folder: Path, defenses: str, **options) -> tuple[bench.Results, list[str]]:
    """The results of a run of these defenses by one worker, and the notes."""
    listener = Notes()
    request = {**tiny.GRID, "attacks": "corner", "plugin": tiny.with_leaves(folder), "store": folder / "store"}
    results = bench.run(**request, defenses=defenses, listener=listener, **{"workers": 1, **options})
    return results, listener.notes


@pytest.fixture(scope="module")
def neighbour(tmp_path_factory):
    """The metrics of the cell that the tests compute after others, alone."""
    results, _ = run(tmp_path_factory.mktemp("alone"), "halve", executor="inline")
    return tiny.table(results.frame)


def check_neighbour(results, neighbour) -> None:
    assert results.ok, [record.reason for record in results.records]
    frame = tiny.table(results.frame)
    assert frame[frame.defense_label == "halve"].reset_index(drop=True).equals(neighbour)


@pytest.fixture(scope="module")
def command(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A command whose foreign stage leaves all sorts of things behind and prints: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("command")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "100")
        run = tiny.start_leaving(folder, "leaves[how=children+thread+dtype+relu+draw+prints],halve")
        out, err = run.communicate(timeout=120)
    return folder, subprocess.CompletedProcess(run.args, run.returncode, out, err)


def test_a_foreign_stage_that_leaves_something_behind_changes_nothing_for_the_next(command, neighbour):
    folder, run = command
    assert run.returncode == 0, run.stderr
    results = bench.load(folder / "store")
    check_neighbour(results, neighbour)
    assert {record.command for record in results.records} == {command_line(run.args[3:])}
    assert len(tiny.children(folder)) == 4
    assert not tiny.alive(tiny.children(folder), 0)


@pytest.mark.usefixtures("built_in")
def test_a_stage_that_leaves_something_behind_in_its_worker_changes_nothing_for_the_next(tmp_path, neighbour):
    hows = ["children+twin+thread+dtype+relu+draw", "prints"]
    results, notes = run(tmp_path, ",".join([*(f"leaves[how={how}]" for how in hows), "halve"]))
    check_neighbour(results, neighbour)
    pids = tiny.children(tmp_path)
    assert len(pids) == 4
    assert not tiny.alive(pids, 0)
    [left] = [note for note in notes if "; its worker was replaced" in note]
    for words in (
        "1 thread running (mine)",
        "processes running",
        "the default dtype changed (torch.float64)",
        "torch.nn.functional.relu replaced",
    ):
        assert words in left, notes
    head = next(number for number, note in enumerate(notes) if "leaves[how=prints] seed 0 printed 5,000," in note)
    [first] = [number for number, note in enumerate(notes) if note.endswith(" first \\x1b[31mline\\x1b[0m")]
    assert first > head or "leaves[how=prints] seed 0 prints: first" in notes[first]  # told while it ran
    [kept] = [Path(note.split("all of it: ")[1]) for note in notes if "all of it: " in note]
    assert "first \x1b[31mline\x1b[0m\n" in kept.read_text()
    assert "from a child\nand to stderr\nlast line\n" in kept.read_text()
    assert sum(map(len, notes)) < 10_000


def test_the_standard_output_has_the_table_alone(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    _, run = command
    out, err = run.stdout, run.stderr
    assert run.returncode == 0, err
    assert out == stores.bench(capsys, *run.args[3:])[1]  # nothing runs this time
    assert "leaves" in out
    for line in ("from C", "from a child", "and to stderr", "last line", "imported, as a plugin may say"):
        assert line not in out
        assert line in err
    assert len(err) < 20_000


@pytest.mark.slow
@pytest.mark.usefixtures("built_in")
def test_what_a_worker_says_when_it_dies_is_kept(tmp_path):
    results, notes = run(tmp_path, "leaves[how=crash]")
    [record] = results.records
    assert "signal SIGSEGV" in record.reason
    kept = Store(tmp_path / "store").text("failures", record.key, "traceback.txt")
    assert "Segmentation fault" in kept
    assert "in crash" in kept
    assert sum("before the crash" in note for note in notes) == 2  # it was tried twice


@pytest.mark.slow
def test_a_stage_that_is_stopped_takes_all_that_it_started_along(tmp_path):
    results, _ = run(tmp_path, "leaves[how=children+hang]", timeout=5)
    assert [record.status for record in results.records] == ["timeout"]
    pids = tiny.children(tmp_path)
    assert len(pids) == 8  # it was tried twice
    assert not tiny.alive(pids)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["copies+freeze", "copies+hang"])
def test_nothing_in_a_workers_group_outlives_a_run_that_is_killed(tmp_path, how):
    """Not even where the worker is killed with it, by the system, in code that never lets another thread run."""
    run = tiny.start_leaving(tmp_path, f"leaves[how={how}]")
    while len(tiny.children(tmp_path)) < 3 and run.poll() is None:
        time.sleep(0.02)
    run.kill()
    run.wait()
    assert not tiny.alive(tiny.children(tmp_path))
    assert tiny.gone(run.pid)


def test_a_process_that_stays_is_put_back_as_it_was(tmp_path, neighbour, capsys):
    """The executor inline cannot replace this process."""
    results, notes = run(tmp_path, "leaves[how=dtype+relu+prints],halve", executor="inline")
    check_neighbour(results, neighbour)
    [left] = [note for note in notes if "left" in note]
    assert left.endswith("; put back as far as possible")
    out, err = capsys.readouterr()
    assert "first" not in out
    assert "first" in err
