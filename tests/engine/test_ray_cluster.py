"""Runs on a Ray cluster: on GPUs that Ray only believes in, on two nodes, and when workers and nodes die."""

import json
import re
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
import tiny
import torch

import bench
from bench.engine.display import Silent
from bench.plan.plan import Request, make_plan
from bench.plan.registry import Registry

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'defensebench[ray]'")

from ray.cluster_utils import Cluster as FakeCluster  # noqa: E402

from bench.engine.ray import session  # noqa: E402
from bench.engine.ray.cluster import Cluster  # noqa: E402

OBJECTS = {"object_store_memory": session.OBJECTS}
REQUEST = {"attacks": "corner[n=0|1]", "defenses": "stay[n=0|1|2],none,halve,where"}


class Notes(Silent):
    """A listener that remembers the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """With the plugins, and the log of all that is started from now on."""
    made = tmp_path_factory.mktemp("ray")
    tiny.plugins(made)
    shutil.copy(tiny.PLUGIN_FOLDER / "node_plugins.py", made)
    return made


@pytest.fixture(scope="module")
def cluster(folder):
    """A node with two invented GPUs and no processors for workers; this process has joined it."""
    files = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**session.ENVIRONMENT, "RAY_TMPDIR": files}.items():
            patch.setenv(name, value)
        quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 300, "health_check_failure_threshold": 3}
        head = {
            "_system_config": quick,
            "num_cpus": 0,
            "num_gpus": 2,
            "include_dashboard": False,
            **OBJECTS,
        }
        made = FakeCluster(initialize_head=True, head_node_args=head)
        ray.init(address=made.address, **session.QUIET)
        yield made
        ray.shutdown()
        made.shutdown()
    shutil.rmtree(files, ignore_errors=True)


def run(folder: Path, store: str, **options) -> bench.Results:
    """Run the tiny grid with all plugins."""
    files = [folder / "tiny_plugins.py", folder / "node_plugins.py"]
    return bench.run(**{**tiny.GRID, "store": folder / store, "plugin": files, **options})


def stage(folder: Path, defense: str, attack: str = "corner"):
    """The cell of this attack and defense."""
    registry = Registry([folder / "tiny_plugins.py"])
    [cell] = make_plan(Request(**{**tiny.GRID, "defenses": defense, "attacks": attack}), registry, folder).cells
    return cell


@pytest.fixture(scope="module")
def expected(folder) -> pd.DataFrame:
    """The table of the request, computed in this process."""
    (folder / "stays").touch()
    return tiny.table(run(folder, "inline", **REQUEST, executor="inline", device="cpu").frame)


@pytest.mark.slow
def test_two_gpus_of_one_node_give_the_same_table(folder, cluster, expected):
    """The next test has both GPUs and the same table, beside a node that dies."""
    listener = Notes()
    frame = run(folder, "gpus", **REQUEST, executor="ray", listener=listener).frame
    pd.testing.assert_frame_equal(tiny.table(frame), expected)
    assert gpus(frame) == {"0", "1"}
    assert any(note.startswith("workers: 2 on") for note in listener.notes)
    assert not list((folder / "gpus" / "tmp").iterdir())


def gpus(frame: pd.DataFrame) -> set[str | None]:
    """The GPUs that Ray gave the workers of cells that say so."""
    return {json.loads(text)["gpus"] for text in frame[frame.defense.isin(["stay", "where"])].diagnostics}


def test_a_node_that_dies_loses_only_its_stage(folder, cluster, expected):
    """Of two nodes the one without a GPU dies in the middle of a stage, which is done again on the other.

    Each worker on the other sees a GPU of its own. Where torch sees no GPU, the worker computes on the CPU, and a note
    says so.
    """
    listener, killed = Notes(), doomed_node(folder, cluster)
    frame = run(folder, "nodes", **REQUEST, executor="ray", listener=listener).frame
    assert killed.wait(20)
    pd.testing.assert_frame_equal(tiny.table(frame), expected)
    assert 3 in map(workers, listener.notes), listener.notes
    assert any("stay" in note and "the worker died" in note for note in listener.notes), listener.notes
    assert gpus(frame) >= {"0", "1"}
    if not torch.cuda.is_available():
        assert any("GPUs that torch cannot use" in note for note in listener.notes)
    assert not list((folder / "nodes" / "tmp").iterdir())


@pytest.mark.slow
def test_when_no_node_is_left_the_rest_fails_with_one_reason(folder, cluster):
    killed = doomed_node(folder, cluster)
    frame = run(folder, "left", attacks="corner", defenses="stay,halve[n=1|2]", executor="ray", device="cpu").frame
    assert killed.wait(20)
    assert (frame.status == "failed").all()
    assert frame.reason.str.startswith("no worker is left").all(), frame.reason.tolist()


def workers(note: str) -> int:
    """How many a note tells of, such as "workers: 2 on one node, 1 on another"."""
    return sum(map(int, re.findall(r"(\d+) on ", note))) if note.startswith("workers: ") else 0


def doomed_node(folder: Path, cluster: FakeCluster) -> threading.Event:
    """Add a node that is killed as soon as a stage waits there; the event is set when Ray reports it dead."""
    (folder / "stays").unlink(missing_ok=True)
    node, killed = cluster.add_node(num_cpus=1, **OBJECTS), threading.Event()

    def kill() -> None:
        while not (folder / "stays").exists():
            time.sleep(0.05)
        cluster.remove_node(node, allow_graceful=False)
        while len(session.alive_nodes()) > 1:
            time.sleep(0.05)
        killed.set()

    threading.Thread(target=kill, daemon=True).start()
    return killed


def ended(engine: Cluster, count: int = 1) -> list:
    """Wait until as many stages have ended; their outcomes."""
    outcomes = []
    while len(outcomes) < count:
        outcomes += engine.wait(0.2)
    return outcomes


@pytest.mark.slow  # it waits for what hangs; the test of the node that dies holds that a dead worker is replaced
@pytest.mark.usefixtures("built_in")
def test_dead_and_hanging_workers_are_replaced(folder, cluster):
    """Asking for the progress never waits, not even for a worker that keeps the interpreter's lock."""
    engine = Cluster(tiny.settings(folder))
    try:
        assert engine.slots == 2
        dies, hangs = stage(folder, "bad[how=exit]"), stage(folder, "bad[how=freeze]", "corner[n=1]")
        for slot, cell in enumerate((dies, hangs)):
            engine.start(slot, cell.victim)
        assert {outcome.status for outcome in ended(engine, 2)} == {"done"}
        engine._settings = tiny.settings(folder, timeout=8)  # now that everything is imported there
        engine.start(0, dies)
        engine.start(1, hangs)
        asked, outcomes = [], {}
        while len(outcomes) < 2:
            outcomes |= {outcome.slot: outcome for outcome in engine.wait(0.1)}
            began = time.monotonic()
            engine.progress(1)
            asked.append(time.monotonic() - began)
        assert max(asked) < 0.5
        assert (outcomes[0].status, outcomes[1].status) == ("died", "timeout")
        assert outcomes[0].reason.startswith("the worker died (node ")
        assert outcomes[1].reason == "stopped after the timeout of 8 s"
        while not (engine.ready(0) and engine.ready(1)):
            assert engine.wait(0.1) == []
        engine._settings = tiny.settings(folder)
        for slot in (0, 1):
            engine.start(slot, stage(folder, f"halve[n={slot + 1}]"))
        assert {outcome.status for outcome in ended(engine, 2)} == {"done"}
        assert statistics.median(overheads(engine, folder)) < 0.05
        engine.start(0, stage(folder, "bad[how=pollute]"))
        [outcome] = ended(engine)
        assert outcome.changed == ("the default dtype changed (torch.float64)",)
        assert outcome.remedy == "its worker was replaced"
        assert not engine.ready(0)  # the new one is still starting
        for slot in engine._workers.slots:  # as when all nodes are gone
            slot.kill()
            slot.reservation = None
        assert engine.ready(0)
        engine.start(0, hangs)
        [outcome] = ended(engine)
        assert outcome.status == "failed"
        assert outcome.reason.startswith("no worker is left")
    finally:
        engine.close()


@pytest.mark.slow
def test_a_node_that_comes_back_is_found(folder, cluster):
    node = cluster.add_node(num_cpus=1, **OBJECTS)
    engine = Cluster(tiny.settings(folder))
    try:
        assert engine.slots == 3
        cluster.remove_node(node, allow_graceful=False)
        while engine.ready(2):
            engine.progress(2)
        while engine._workers.slots[2].reservation is not None:
            engine.wait(0.1)
        node = cluster.add_node(num_cpus=1, **OBJECTS)
        while not engine.ready(2):
            engine.wait(0.1)
        engine.start(2, stage(folder, "none").victim)
        assert [outcome.status for outcome in ended(engine)] == ["done"]
    finally:
        engine.close()
        cluster.remove_node(node)


def overheads(engine: Cluster, folder: Path, count: int = 50) -> list[float]:
    """Seconds of the executor for a stage, less its own: of a stage that is in the store already."""
    seconds, done = [], stage(folder, "halve[n=1]")
    for _ in range(count):
        while not engine.ready(0):
            pass
        began = time.perf_counter()
        engine.start(0, done)
        [outcome] = ended(engine)
        seconds.append(time.perf_counter() - began - outcome.seconds)
        assert outcome.status == "done"
    return seconds
