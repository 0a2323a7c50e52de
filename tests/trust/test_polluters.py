"""Plugins that pollute their process, and built-in cells after them in the same worker: not a bit of these changes."""

import itertools
import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from unittest import mock

import pytest
import tiny

import bench
from bench.records import Record
from bench.store.store import Store

with mock.patch.object(sys, "path", [str(tiny.PLUGIN_FOLDER), *sys.path]):
    POLLUTIONS = list(runpy.run_path(str(tiny.PLUGIN_FOLDER / "pollutions.py"))["POLLUTIONS"])
SMALL = {"datasets": "digits[train_size=100]", "models": "resnet18[width=4]", "attacks": "badnets", "reference": 20}
SMALL |= {"suspects": 10, "recipes": "quick[epochs=1]", "defenses": "none,ft,strip,clp", "workers": 1, "seeds": 0}
BUILT_IN = SMALL["defenses"].split(",")
DEFENSES = ["repairs", "returns", "guards", "learns", "reveals"]
OF_TORCH = ["auroc", "metric", "toolbox", "dtype", "device", "deterministic", "threads", "mkldnn", "cudnn", "precision"]
OF_TORCH += ["grad", "anomaly", "denormal", "forward_hook", "convolution", "relu", "seeds"]
OF_TORCH += ["cross_entropy", "argmax", "randperm", "generator", "deepcopy", "numpy", "garbage"]
NOT_PUT_BACK = {  # where plans are made
    "descriptors": "no process raises the bound of its own limits again: the run ends with an error that names them",
    "limits": "no process raises the bound of its own limits again: the run ends with an error that names them",
}
OF_PLANS = ["backward_hook", "call", "dumps", "path", "streams", "modules", "python"]
OTHERS = {"poisons": "attacks", "builds": "models", "loads": "datasets"}
ASKED_IN_PLANS = ("builds", "loads")
Run = subprocess.CompletedProcess[str]
NOT_MEASURED = ("seconds", "ms_", "peak_memory", "started", "finished", "command")


def bench_run(store: Path, files: Sequence[str] = (), **changed: object) -> Run:
    """A run with one worker, and polluters before what is built in."""
    words = [sys.executable, "-m", "bench", "run", "--store", str(store)]
    words += [word for file in files for word in ("--plugin", str(tiny.PLUGIN_FOLDER / file))]
    for name, value in {**SMALL, **changed}.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    environment = {**os.environ, "POLLUTED": str(store)}
    return subprocess.run(words, capture_output=True, text=True, timeout=1500, env=environment)


def bits(store: Store, record: Record) -> tuple[object, ...]:
    """All of a cell that may not change: figures and predictions, and the network and predictions of its victim."""
    figures = {name: value for name, value in record.model_dump().items() if not name.startswith(NOT_MEASURED)}
    figures = {name: value for name, value in figures.items() if not name.endswith(NOT_MEASURED)}
    victim = store.contents("victims", record.victim_key)
    kept = ("model.safetensors", "predictions.safetensors", "learned.safetensors")
    return figures, store.contents("cells", record.key)["predictions.safetensors"], [victim[name] for name in kept]


def built_in(store: Store) -> dict[str, Record]:
    """The records of cells in which nothing is foreign, by their defense."""
    plugins = ("dataset", "model", "attack", "defense")
    known = ("digits", "resnet18", "badnets", *BUILT_IN)
    return {
        record.defense: record
        for record in store.records()
        if all(getattr(record, plugin) in known for plugin in plugins)
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> MappingProxyType[str, tuple[object, ...]]:
    """Computed by another executor, in this process."""
    root = tmp_path_factory.mktemp("undisturbed") / "store"
    assert bench.run(**{**SMALL, "executor": "inline"}, store=root).ok
    store = Store(root)
    return MappingProxyType({name: bits(store, record) for name, record in built_in(store).items()})


def check(run: Run, root: Path, undisturbed, expected: Sequence[str] = BUILT_IN) -> list[Record]:
    """That a run has ended as it should, and its built-in cells are what they are alone.

    Returns the records of the polluters' own cells: done, or failed with one line.
    """
    assert run.returncode in (0, 1), run.stderr
    assert not tracebacks(run.stderr), run.stderr
    store = Store(root)
    there = built_in(store)
    assert {name: record.status for name, record in there.items()} == dict.fromkeys(expected, "done"), run.stderr
    for name, record in there.items():
        assert bits(store, record) == undisturbed[name], name
    own = [record for record in store.records() if record.key not in {one.key for one in there.values()}]
    assert run.returncode == (0 if all(record.status == "done" for record in own) else 1), run.stderr
    for record in own:
        assert record.status in ("done", "failed"), (record.status, record.reason)
        assert record.status == "done" or (record.reason and "\n" not in record.reason)
    ended = max((record.finished for record in own if record.status == "done"), default="")
    assert ended <= min(record.started for record in there.values()), "the built-in cells did not come last"
    return own


def tracebacks(err: str) -> list[str]:
    """The lines before tracebacks, but for those of errors that Python ignores while a plugin's process ends."""
    lines = ["", *err.splitlines()]
    before = [line for line, after in itertools.pairwise(lines) if after.startswith("Traceback")]
    return [line for line in before if not line.startswith("Exception ignored in")]


def cells(kind: str, ways: Sequence[str]) -> str:
    """What selects a polluter of a kind in each of these ways."""
    return f"{kind}[how={'|'.join(ways)}]"


@pytest.mark.parametrize("ways", [POLLUTIONS[::8], pytest.param(POLLUTIONS, marks=pytest.mark.slow)], ids=len)
def test_no_defense_changes_what_is_computed_after_it(tmp_path, undisturbed, ways):
    """Pollutions, while a defense repairs, when its network is asked, or by its guard; some by other kinds."""
    defenses = [cells(kind, ways[number::3]) for number, kind in enumerate(("repairs", "returns", "guards"))]
    defenses += [cells("learns", ["dtype", "relu"]), cells("reveals", ["dtype", "store", "metric"])]
    run = bench_run(tmp_path, ["polluters.py"], defenses=",".join([*defenses, *BUILT_IN]))
    own = check(run, tmp_path, undisturbed)
    assert len(POLLUTIONS) > 48
    assert len(own) == len(ways) + 5
    assert sum(record.status == "done" for record in own) > len(own) * 0.7


@pytest.mark.slow
def test_no_attack_changes_what_is_computed_after_it(tmp_path, undisturbed):
    attacks = cells("poisons", ["dtype", "store"])
    run = bench_run(tmp_path, ["polluters.py"], attacks=f"{attacks},badnets", defenses="none,ft")
    assert len(check(run, tmp_path, undisturbed, ["none", "ft"])) == 4


@pytest.mark.slow
def test_no_file_changes_what_is_computed_beside_it(tmp_path, undisturbed, monkeypatch):
    """In the process that plans, it may do what it likes, when it is imported and when it is made."""
    monkeypatch.setenv("POLLUTES", f"import+construction {' '.join(OF_TORCH + OF_PLANS)}")
    run = bench_run(tmp_path, ["pollutes_early.py"], defenses=f"early,{','.join(BUILT_IN)}")
    assert len(check(run, tmp_path, undisturbed)) == 1
    assert "pollutes_early.py left loaded modules replaced (" in run.stderr
    assert "defense 'early' left loaded modules replaced (" in run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", POLLUTIONS)
def test_no_defense_of_any_kind_changes_what_is_computed_after_it(tmp_path, undisturbed, how):
    defenses = [f"{kind}[how={how}]" for kind in DEFENSES]
    own = check(bench_run(tmp_path, ["polluters.py"], defenses=",".join([*defenses, *BUILT_IN])), tmp_path, undisturbed)
    assert len(own) == len(DEFENSES)


@pytest.mark.slow
@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("how", POLLUTIONS)
def test_nothing_else_that_is_foreign_changes_what_is_computed_after_it(request, tmp_path, undisturbed, kind, how):
    if kind in ASKED_IN_PLANS and how in NOT_PUT_BACK:
        request.applymarker(pytest.mark.xfail(reason=NOT_PUT_BACK[how]))
    option = OTHERS[kind]
    run = bench_run(tmp_path, ["polluters.py"], **{option: f"{kind}[how={how}],{SMALL[option]}"})
    assert len(check(run, tmp_path, undisturbed)) == len(BUILT_IN)


def marked(how: str) -> object:
    known = pytest.mark.xfail(how in NOT_PUT_BACK, reason=NOT_PUT_BACK.get(how, ""))
    return pytest.param(how, marks=[pytest.mark.slow, known])


@pytest.mark.parametrize("when", ["import", "construction"])
@pytest.mark.parametrize("how", [marked(how) for how in POLLUTIONS])
def test_no_file_changes_what_is_computed_beside_it_in_any_way(tmp_path, undisturbed, monkeypatch, when, how):
    monkeypatch.setenv("POLLUTES", f"{when} {how}")
    run = bench_run(tmp_path, ["pollutes_early.py"], defenses=f"early,{','.join(BUILT_IN)}")
    assert len(check(run, tmp_path, undisturbed)) == 1
