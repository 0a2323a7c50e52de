"""Fingerprints: they change with the code of a plugin and of its helpers, and with nothing else."""

import sys
from pathlib import Path

import pytest

from bench.plan import fingerprints
from bench.plan.entries import file_of
from bench.plan.registry import Registry

# a text, not a file of plugins/: the tests vary its imports and its docstring
PLUGIN = """
from typing import ClassVar
from bench import Repair
{imports}

class Mine(Repair):
    \"\"\"Doubles.\"\"\"
    name: ClassVar[str] = "mine"
    def repair(self, model, known, context):
        return model
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("helper", "deeper"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "deeper.py").write_text("FACTOR = 2")
    (tmp_path / "helper.py").write_text("import deeper\nimport json, torch\n")
    (tmp_path / "unrelated.py").write_text("x = 1")
    (tmp_path / "mine.py").write_text(PLUGIN.format(imports="from helper import deeper"))
    return tmp_path


@pytest.mark.parametrize(
    ("file", "text", "changes"),
    [
        ("deeper.py", "FACTOR = 3", True),
        ("helper.py", "import deeper\nimport json, torch\nx = 1\n", True),
        ("mine.py", PLUGIN.format(imports="from helper import deeper\nX = 2"), True),
        ("unrelated.py", "x = 2", False),
        ("deeper.py", '"""What it is."""\n\nFACTOR = 2  # as in the paper\n', False),
        ("mine.py", PLUGIN.format(imports="from helper import deeper").replace("Doubles.", "Halves."), False),
    ],
)
def test_code_counts_but_comments_docstrings_and_unrelated_modules_do_not(folder, file, text, changes):
    before = fingerprints.of_file(folder / "mine.py")
    (folder / file).write_text(text)
    assert (fingerprints.of_file(folder / "mine.py") != before) == changes


def test_a_one_file_plugin_imports_modules_beside_it_and_is_named_by_their_code(folder):
    registry = Registry([folder / "mine.py"])
    assert registry.problems == []
    assert registry.fingerprint("defense", "mine") == fingerprints.of_file(folder / "mine.py")


def test_a_helper_is_refused_if_another_of_its_name_was_loaded_before(folder, tmp_path_factory):
    assert Registry([folder / "mine.py"]).problems == []
    other = tmp_path_factory.mktemp("other")
    (other / "deeper.py").write_text("FACTOR = 7")
    (other / "yours.py").write_text(PLUGIN.format(imports="import deeper").replace("mine", "yours"))
    [problem] = Registry([other / "yours.py"]).problems
    assert "another module 'deeper' was loaded before" in problem


def test_a_package_of_plugins_is_named_by_all_that_it_imports_of_itself(tmp_path):
    package = tmp_path / "mypackage"
    (package / "parts").mkdir(parents=True)
    for file in ("__init__.py", "parts/__init__.py"):
        (package / file).touch()
    (package / "plugin.py").write_text("from .parts import core\nimport numpy\n")
    (package / "parts" / "core.py").write_text("X = 1")
    before = fingerprints.of_module("mypackage.plugin", package / "plugin.py")
    (package / "parts" / "core.py").write_text("X = 2")
    assert fingerprints.of_module("mypackage.plugin", package / "plugin.py") != before


def test_every_built_in_has_a_fingerprint_that_covers_its_helpers():
    registry = Registry()
    entries = [entry for kind in ("dataset", "model", "attack", "defense") for entry in registry.entries(kind)]
    made = {(entry.kind, entry.name): registry.fingerprint(entry.kind, entry.name) for entry in entries}
    assert len(set(made.values())) == len(entries) > 60
    covered = fingerprints.of_package("bench.defenses.tac", file_of("bench.defenses.tac"))
    assert {"bench.defenses._shift_tuning", "bench.toolbox.networks", "bench.toolbox.training"} <= covered.keys()
    assert not any(name.startswith(("bench.store", "bench.plan", "bench.cell")) for name in covered)
