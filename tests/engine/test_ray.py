"""The Ray executor: on GPUs that Ray only believes in, on two nodes, and when workers and nodes die."""

import importlib.util
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import psutil
import pytest
import tiny
import torch

import bench
from bench.engine.display import Silent
from bench.engine.executor import WorkerSettings
from bench.engine.ray import nodes
from bench.engine.ray.nodes import Node
from bench.errors import RequestError
from bench.plan.plan import Request, make_plan
from bench.plan.registry import Registry
from bench.store.store import Store

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'defensebench[ray]'")

from ray.cluster_utils import Cluster as FakeCluster  # noqa: E402

from bench.engine.ray import session  # noqa: E402
from bench.engine.ray.actor import RayOrder, Worker  # noqa: E402
from bench.engine.ray.cluster import Cluster  # noqa: E402

DEFENSES = '''
import os, time
from pathlib import Path
from typing import ClassVar
from bench.plugin import Repair

class Where(Repair):
    """Says which GPU Ray gave its worker."""
    name: ClassVar[str] = "where"
    n: int = 0
    def repair(self, model, known, context):
        context.note("gpus", os.environ.get("CUDA_VISIBLE_DEVICES"))
        time.sleep(0.3)
        return model

class Stay(Repair):
    """Waits to be killed, the first time that it meets a worker without a GPU."""
    name: ClassVar[str] = "stay"
    n: int = 0
    def repair(self, model, known, context):
        context.note("gpus", os.environ.get("CUDA_VISIBLE_DEVICES"))
        if not os.environ.get("CUDA_VISIBLE_DEVICES"):
            try:
                Path(os.environ["TINY_LOG"]).with_name("stays").touch(exist_ok=False)
            except FileExistsError:
                return model
            time.sleep(600)
        time.sleep(0.5)
        return model
'''
OBJECTS = {"object_store_memory": session.OBJECTS}


class Told(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """With the plugins; in the environment of all that is started from now on."""
    made = tmp_path_factory.mktemp("ray")
    tiny.plugins(made)
    (made / "nodes.py").write_text(DEFENSES)
    return made


@pytest.fixture(scope="module")
def cluster(folder):
    """A node with two GPUs that are none, and no processors for workers; this process has joined it."""
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
    files = [folder / "tinyplugins.py", folder / "nodes.py"]
    return bench.run(**{**tiny.GRID, "store": folder / store, "plugin": files, **options})


def settings(folder: Path, **options) -> WorkerSettings:
    Store(folder / "store")
    return WorkerSettings(folder / "store", folder, (folder / "tinyplugins.py",), 1, **options)


def stage(folder: Path, defense: str, attack: str = "corner"):
    registry = Registry([folder / "tinyplugins.py"])
    [cell] = make_plan(Request(defense, attack, "linear", "dots", reference="8", suspects=4), registry, folder).cells
    return cell


# --- section --------------------------------------------------------------------------------------------


BIG, SMALL = Node("1", "big", 16, 2), Node("2", "small", 4, 0)


@pytest.mark.parametrize(
    ("device", "threads", "share", "expected"),
    [
        ("auto", 1, 1.0, {"big gpu": 2, "small": 4}),
        ("auto", 2, 0.5, {"big gpu": 4, "small": 2}),
        ("auto", 3, 1 / 3, {"big gpu": 6, "small": 1}),
        ("cuda", 1, 0.7, {"big gpu": 2}),
        ("cpu", 4, 1.0, {"big": 4, "small": 1}),
    ],
)
def test_workers_get_what_the_nodes_have(device, threads, share, expected):
    found = nodes.places([BIG, SMALL], device, threads, share)
    names = [f"{place.node.name}{' gpu' if place.gpu else ''}" for place in found]
    assert {name: names.count(name) for name in names} == expected
    assert all(place.cpus == (0 if place.gpu else threads) for place in found)
    assert names == sorted(names, key=lambda name: " gpu" not in name)  # the quick ones first


def test_the_first_workers_are_on_different_nodes():
    found = nodes.places([Node("1", "a", 4, 0), Node("2", "b", 4, 0)], "auto", 1)
    assert [place.node.name for place in found][:4] == ["a", "b", "a", "b"]


def test_no_room_is_said():
    with pytest.raises(RequestError, match=r"no section for a GPU on small \(4 CPU, 0 GPU\)"):
        nodes.places([SMALL], "cuda", 1)
    with pytest.raises(RequestError, match="no section for a worker of 5 threads"):
        nodes.places([SMALL], "auto", 5)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"device": "cuda:0"}, "--device cuda:0: expected auto, cpu or cuda"),
        ({"workers": 0}, "--workers 0: expected at least 1"),
        ({"threads": 0}, "--threads 0: expected at least 1"),
        ({"gpu_share": 1.5}, "--gpu-share 1.5: expected more than 0 and at most 1"),
        ({"executor": "local", "address": "auto"}, "--address auto: goes with --executor ray"),
    ],
)
def test_a_wrong_request_is_told_before_anything_is_made(folder, options, expected):
    with pytest.raises(RequestError, match=expected):
        run(folder, "never", **{"executor": "ray", **options})
    assert not (folder / "never").exists()


def test_without_ray_one_line_says_how_to_get_it(folder, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"pip install 'defensebench\[ray\]'"):
        nodes.check("auto", None, 1, 1.0)


def test_what_a_killed_run_left_is_removed(tmp_path):
    for owner in (2**22 + 1, os.getpid()):
        (tmp_path / f"ray-{owner}-abcd").mkdir()
    session._sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"ray-{os.getpid()}-abcd"]


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:1", "ray://127.0.0.1:1"])
def test_nothing_at_an_address_is_one_line_and_soon(address):
    began = time.monotonic()
    with pytest.raises(RequestError, match=f"--address {address}: ") as caught:
        session.Session(address, "auto", 1)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 15


@pytest.mark.slow
def test_something_else_at_an_address_is_one_line():
    silent = f"no Ray cluster answers there within {session.REACH} s"
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(RequestError, match=silent):
        session.Session(f"127.0.0.1:{server.getsockname()[1]}", "auto", 1)


# --- a worker's opening ------------------------------------------------------------------------------


def opened(folder: Path, **changes):
    probe = folder / "store" / "tmp" / "probe"
    order = RayOrder(settings(folder), ((folder / "tinyplugins.py").read_bytes(),), probe.name, "auto", gpu=False)
    probe.mkdir(exist_ok=True)
    worker = Worker()
    return worker, worker.open(replace(order, **changes))


def test_a_worker_looks_for_the_drivers_own_store(folder, tmp_path):
    assert opened(folder)[1].problem is None
    assert "is another store here" in opened(folder, probe="gone")[1].problem
    elsewhere = replace(settings(folder), store=tmp_path / "s")
    assert f"--store {tmp_path / 's'}: is not to be seen here" in opened(folder, settings=elsewhere)[1].problem


def test_a_worker_of_another_version_or_without_its_gpu_is_refused(folder):
    assert "has defensebench" in opened(folder, version="0")[1].problem
    if not torch.cuda.is_available():
        assert "torch" in opened(folder, gpu=True, device="cuda")[1].problem
        assert opened(folder, gpu=True)[1].device == "cpu"


def test_one_file_plugins_need_not_be_on_the_node(folder, tmp_path):
    away = replace(settings(folder), plugin_files=(tmp_path / "away.py",))
    worker, found = opened(folder, settings=away, plugins=(DEFENSES.encode(),))
    assert found.problem is None
    assert worker._shop.registry.entry("defense", "where")


def test_a_node_without_the_data_fails_the_stage_with_the_data_sets_reason(folder, tmp_path):
    plan = make_plan(Request("none", "none", "linear", "cifar10"), Registry([folder / "tinyplugins.py"]), tmp_path)
    worker, _ = opened(folder, settings=replace(settings(folder), data=tmp_path))
    outcome = worker.work(plan.cells[0].victim, 0)
    assert outcome.status == "failed"
    assert "cifar10: not found" in outcome.reason


# --- the same table ----------------------------------------------------------------------------------


REQUEST = {"attacks": "corner[n=0|1]", "defenses": "stay[n=0|1|2],none,halve,where"}


@pytest.fixture(scope="module")
def expected(folder) -> pd.DataFrame:
    (folder / "stays").touch()
    return tiny.table(run(folder, "inline", **REQUEST, executor="inline", device="cpu").frame)


def test_two_gpus_of_one_node(folder, cluster, expected):
    told = Told()
    frame = run(folder, "gpus", **REQUEST, executor="ray", listener=told).frame
    pd.testing.assert_frame_equal(tiny.table(frame), expected)
    assert gpus(frame) == {"0", "1"}
    assert any(note.startswith("workers: 2 on") for note in told.notes)
    assert not list((folder / "gpus" / "tmp").iterdir())


def gpus(frame: pd.DataFrame) -> set[str | None]:
    """Those that the workers of some of the cells saw."""
    return {json.loads(text)["gpus"] for text in frame[frame.defense.isin(["stay", "where"])].diagnostics}


def test_a_node_that_dies_loses_only_its_stage(folder, cluster, expected):
    """Two nodes, of which one has no GPU: it dies in the middle of a stage, which is done again on the other.

    Each worker on the other sees a GPU of its own; where torch sees none it computes on the CPU, and says so.
    """
    told, killed = Told(), doomed_node(folder, cluster)
    frame = run(folder, "nodes", **REQUEST, executor="ray", listener=told).frame
    assert killed.wait(20)
    pd.testing.assert_frame_equal(tiny.table(frame), expected)
    assert any("stay" in note and "the worker died" in note for note in told.notes), told.notes
    assert gpus(frame) >= {"0", "1"}
    if not torch.cuda.is_available():
        assert any("GPUs that torch cannot use" in note for note in told.notes)
    assert not list((folder / "nodes" / "tmp").iterdir())


@pytest.mark.slow
def test_when_no_node_is_left_the_rest_fails_with_one_reason(folder, cluster):
    killed = doomed_node(folder, cluster)
    frame = run(folder, "left", attacks="corner", defenses="stay,halve[n=1|2]", executor="ray", device="cpu").frame
    assert killed.wait(20)
    assert (frame.status == "failed").all()
    assert frame.reason.str.startswith("no worker is left").all(), frame.reason.tolist()


def doomed_node(folder: Path, cluster: FakeCluster) -> threading.Event:
    """Another node, which is killed as soon as a stage stays there; the event says that it has been."""
    (folder / "stays").unlink(missing_ok=True)
    node, killed = cluster.add_node(num_cpus=1, **OBJECTS), threading.Event()

    def kill() -> None:
        while not (folder / "stays").exists():
            time.sleep(0.05)
        cluster.remove_node(node, allow_graceful=False)
        while len(session.alive()) > 1:
            time.sleep(0.05)
        killed.set()

    threading.Thread(target=kill, daemon=True).start()
    return killed


# --- workers that die --------------------------------------------------------------------------------


def ended(engine: Cluster, count: int = 1) -> list:
    found = []
    while len(found) < count:
        found += engine.wait(0.2)
    return found


def test_dead_and_hanging_workers_are_replaced(folder, cluster):
    """Asking for the progress never waits, not even for a worker that keeps the interpreter's lock."""
    engine = Cluster(settings(folder))
    try:
        assert engine.slots == 2
        dies, hangs = stage(folder, "bad[how=exit]"), stage(folder, "bad[how=freeze]", "corner[n=1]")
        for slot, cell in enumerate((dies, hangs)):
            engine.start(slot, cell.victim)
        assert {outcome.status for outcome in ended(engine, 2)} == {"done"}
        engine._settings = settings(folder, timeout=3)  # now that everything is imported there
        engine.start(0, dies)
        engine.start(1, hangs)
        asked, outcomes = [], {}
        while len(outcomes) < 2:
            outcomes |= {outcome.slot: outcome for outcome in engine.wait(0.1)}
            began = time.monotonic()
            engine.share(1)
            asked.append(time.monotonic() - began)
        assert max(asked) < 0.5
        assert (outcomes[0].status, outcomes[1].status) == ("died", "timeout")
        assert outcomes[0].reason.startswith("the worker died (node ")
        assert outcomes[1].reason == "stopped after the timeout of 3 s"
        while not (engine.ready(0) and engine.ready(1)):
            assert engine.wait(0.1) == []
        engine._settings = settings(folder)
        for slot in (0, 1):
            engine.start(slot, stage(folder, f"halve[n={slot + 1}]"))
        assert {outcome.status for outcome in ended(engine, 2)} == {"done"}
        assert statistics.median(overheads(engine, folder)) < 0.05
        for seat in engine._seats:  # as when all nodes are gone
            seat.kill()
            seat.place = None
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
    engine = Cluster(settings(folder))
    try:
        assert engine.slots == 3
        cluster.remove_node(node, allow_graceful=False)
        while engine.ready(2):
            engine.share(2)
        while engine._seats[2].place is not None:
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
    """Seconds that a stage takes beside its own: of stages that are in the store already."""
    found, done = [], stage(folder, "halve[n=1]")
    for _ in range(count):
        while not engine.ready(0):
            pass
        began = time.perf_counter()
        engine.start(0, done)
        [outcome] = ended(engine)
        found.append(time.perf_counter() - began - outcome.seconds)
        assert outcome.status == "done"
    return found


# --- a Ray of its own --------------------------------------------------------------------------------


def processes(mark: str) -> list[str]:
    """Command lines in which ``mark`` stands."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or ())
        if mark in line and process.info["status"] != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
            found.append(line)
    return found


def test_its_own_ray_is_quiet_and_leaves_nothing(folder):
    """Also when Ctrl-C reaches all of its processes: the stage in flight is finished first."""
    files = tempfile.mkdtemp(prefix="own-", dir="/tmp")
    environment = {**os.environ, "TMPDIR": files}
    words = {"executor": "ray", "workers": 1, "attacks": "corner", "defenses": "halve[n=3|4,seconds=2]"}
    command = tiny.command(folder, "own", **words)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        began = time.monotonic()
        while tiny.log(folder)["halve[n=3]"] < 1 and process.poll() is None and time.monotonic() - began < 90:
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert "raylet" not in err + out
    assert "Traceback" not in err, err
    assert Store(folder / "own").count("cells") >= 1
    assert processes(files) == []
    assert list(Path(files).iterdir()) == []
    shutil.rmtree(files)
