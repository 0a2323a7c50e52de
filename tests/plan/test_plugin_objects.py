"""Plugins given as objects: classes of a script, a notebook or a module, and what their code is."""

import importlib
import linecache
import pickle
import sys
import threading

import cloudpickle
import pytest
import tiny

import bench
from bench.defenses.ft import FT
from bench.errors import RequestError
from bench.plan.plugin_objects import files_of
from bench.plan.registry import Registry

CELL = """
from typing import ClassVar
import threading
import torch
from pydantic import Field
from bench import Attack, Repair

SCALE = {"weight": 0.5}
model = "of no plugin's business"

def scaled(network, beta):
    for value in network.parameters():
        value.data.mul_(1 - beta * SCALE["weight"])
    return network

class Base(Repair):
    def scaled(self, network):
        return scaled(network, self.beta)

class Mine(Base):
    \"\"\"What it is.\"\"\"
    name: ClassVar[str] = "mine"
    beta: float = Field(0.1, ge=0)
    words: tuple[str, ...] = ("a,b]",)

    @torch.no_grad()
    def repair(self, model, known, context):
        return self.scaled(model)
"""
NEEDS_A_LOCK = CELL.replace('SCALE = {"weight": 0.5}', 'SCALE = {"weight": 0.5, "lock": threading.Lock()}')


def run_cell(text: str, number: int = 1) -> dict[str, object]:
    """The names of a notebook's cell after it has run, as IPython runs it."""
    name = f"<ipython-input-{number}>"
    linecache.cache[name] = len(text), None, text.splitlines(keepends=True), name
    space: dict[str, object] = {"__name__": "__main__"}
    exec(compile(text, name, "exec"), space)
    return space


def fingerprint_of(text: str, number: int = 1) -> str:
    [file] = files_of([run_cell(text, number)["Mine"]], sent=False)
    return file.fingerprint()


def in_another_process(files, monkeypatch) -> Registry:
    """The registry of a worker, which has only what was sent to it."""
    for name in [name for name in sys.modules if name.startswith("bench_plugin_")]:
        monkeypatch.delitem(sys.modules, name)
    for known in ("_DYNAMIC_CLASS_TRACKER_BY_CLASS", "_DYNAMIC_CLASS_TRACKER_BY_ID"):  # the classes of this process
        monkeypatch.setattr(cloudpickle.cloudpickle, known, type(getattr(cloudpickle.cloudpickle, known))())
    return Registry(pickle.loads(pickle.dumps(files)), lazily=True)


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("self.scaled(model)", "model", True),
        ("1 - beta", "1 + beta", True),
        ('"weight": 0.5', '"weight": 0.6', True),
        ("scaled(network, self.beta)", "scaled(network, 1)", True),
        ("of no plugin's business", "nobody's", False),
        ("What it is.", "It.", False),
        ("    @torch.no_grad()", "    # a comment\n    @torch.no_grad()", False),
    ],
)
def test_the_fingerprint_is_of_what_the_class_uses_and_of_nothing_else(old, new, counts):
    assert old in CELL
    assert (fingerprint_of(CELL) != fingerprint_of(CELL.replace(old, new), 2)) == counts


def test_an_edited_helper_beside_a_script_is_another_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    head = "\ndef scaled(network, beta):"
    text = "import fresh_aid" + CELL.replace(head, f"{head}\n    fresh_aid")
    prints = []
    for value in (1, 2):
        (tmp_path / "fresh_aid.py").write_text(f"VALUE = {value}")
        prints.append(fingerprint_of(text, value))
    monkeypatch.delitem(sys.modules, "fresh_aid")
    assert prints[0] != prints[1]


def test_a_module_that_was_edited_after_its_import_is_named(tmp_path, monkeypatch):
    path = tmp_path / "fresh_module.py"
    path.write_text(CELL)
    monkeypatch.syspath_prepend(tmp_path)
    cls = importlib.import_module("fresh_module").Mine
    assert files_of([cls], sent=False)[0].fingerprint() == fingerprint_of(CELL)
    path.write_text(CELL.replace("self.scaled(model)", "model"))
    with pytest.raises(RequestError, match=r"class Mine: .*fresh_module.py was edited after the class was made"):
        files_of([cls], sent=False)
    del sys.modules["fresh_module"]


def test_a_worker_has_the_class_that_the_notebook_has(monkeypatch):
    space = run_cell(CELL)
    space["SCALE"]["weight"] = 0.25  # by a later cell
    files = files_of([space["Mine"]], sent=True)
    worker = in_another_process(files, monkeypatch)
    made = worker.create("defense", "mine", {"beta": 2})
    assert type(made) is not space["Mine"]
    assert type(made).scaled.__globals__["scaled"].__globals__["SCALE"] == {"weight": 0.25}
    assert worker.fingerprint("defense", "mine") == files[0].fingerprint()
    assert worker.version("defense", "mine").startswith("1+")
    with pytest.raises(RequestError, match="beta=-1: expected greater than or equal to 0"):
        worker.create("defense", "mine", {"beta": -1})


def test_what_no_worker_can_have_is_said_with_what_can_be_done():
    cls = run_cell(NEEDS_A_LOCK)["Mine"]
    with pytest.raises(RequestError, match=r"class Mine: cannot be handed to worker .*lock.*executor=.inline"):
        files_of([cls], sent=True)
    [file] = files_of([cls], sent=False)
    assert file.fingerprint() == files_of([cls], sent=False)[0].fingerprint()


def test_a_class_that_only_changes_a_default_has_a_source_in_a_notebook():
    prints = []
    for number, default in enumerate((0.2, 0.3), 10):
        space = run_cell(
            CELL + f"\nclass Strong(Mine):\n    name: ClassVar[str] = 'strong'\n    beta: float = {default}\n", number
        )
        prints.append(files_of([space["Strong"]], sent=True)[0].fingerprint())
    assert prints[0] != prints[1]


def test_a_class_without_source_is_named():
    space: dict[str, object] = {"__name__": "__main__"}
    exec(CELL, space)
    with pytest.raises(RequestError, match="class Mine: its source cannot be read"):
        files_of([space["Mine"]], sent=False)


def test_instances_classes_and_names_make_one_table(tmp_path):
    space = run_cell(NEEDS_A_LOCK)
    mine = space["Mine"]
    common = {"plugin": [tiny.plugins(tmp_path)], "store": tmp_path / "store", "executor": "inline"} | tiny.GRID
    results = bench.run(defenses=[mine(beta=0.5), "halve", mine], attacks="corner", **common)
    assert results.ok, results.frame.reason.tolist()
    assert results.frame.defense_label.tolist() == ["mine[beta=0.5]", "halve", "mine"]
    again = bench.run(defenses=mine(beta=0.5), attacks="corner", **common)
    assert [record.key for record in again] == [results.records[0].key]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (lambda mine: {"attacks": [mine]}, "--attacks Mine: expected plugins of kind attack, it is of kind defense"),
        (lambda mine: {"defenses": [mine, print]}, "--defenses .*: expected names, as one text or"),
        (lambda mine: {"defenses": [threading.Thread]}, "--defenses .*: expected names, or classes and instances"),
        (lambda mine: {"refresh": [mine]}, "--refresh .*: expected names"),
    ],
)  # fmt: skip
def test_an_object_that_is_no_plugin_of_that_kind_is_refused(tmp_path, given, expected):
    chosen = {"defenses": "none", "attacks": "none", **given(run_cell(CELL)["Mine"])}
    with pytest.raises(RequestError, match=expected):
        bench.run(**chosen, store=tmp_path / "store", executor="inline")


def test_a_built_in_class_is_the_built_in():
    assert files_of([FT], sent=True) == []
