"""One-file plugins are run from the texts that were read, whatever becomes of their files."""

import importlib
import inspect
import pickle
import shutil
import sys
import traceback
from pathlib import Path

import pytest

from bench.plan import plugin_files
from bench.plan.registry import Registry

PLUGIN = """
from pathlib import Path
from typing import ClassVar
from bench.plugin import Repair
{imports}

DATA = Path(__file__).with_name("data.txt")

class One(Repair):
    name: ClassVar[str] = "{name}"

    def repair(self, model, known, context):
        raise RuntimeError("old text")
"""
LAYOUTS = {
    "module": ({"fresh_part.py": "VALUE = 1"}, "from fresh_part import VALUE"),
    "package": ({"fresh_part/__init__.py": "", "fresh_part/a.py": "VALUE = 1"}, "from fresh_part.a import VALUE"),
    "package of a package": (
        {"fresh_part/__init__.py": "VALUE = 0", "fresh_part/b/__init__.py": "from .c import VALUE",
         "fresh_part/b/c.py": "VALUE = 1"},
        "from fresh_part.b import VALUE",
    ),
    "folder": ({"fresh_part/a.py": "VALUE = 1"}, "from fresh_part import a\nVALUE = a.VALUE"),
    "folder of a folder": ({"fresh_part/in_it/a.py": "VALUE = 1"}, "import fresh_part.in_it.a as a\nVALUE = a.VALUE"),
    "helper of a helper": (
        {"fresh_part.py": "from fresh_other import VALUE", "fresh_other.py": "VALUE = 1"},
        "from fresh_part import VALUE",
    ),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Where nothing is left of earlier tests."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    forget(monkeypatch)
    return tmp_path


def forget(monkeypatch) -> None:
    """Forget helper modules and the texts they came from."""
    monkeypatch.setattr(plugin_files._helpers, "sources", {})
    for name in [name for name in sys.modules if name.split(".")[0] in ("fresh_part", "fresh_other")]:
        monkeypatch.delitem(sys.modules, name)


def write(folder: Path, files: dict[str, str], imports: str = "", name: str = "one") -> Path:
    """A plugin's file with the files beside it."""
    for relative, text in files.items():
        (folder / relative).parent.mkdir(parents=True, exist_ok=True)
        (folder / relative).write_text(text)
    path = folder / f"{name}.py"
    path.write_text(PLUGIN.format(imports=imports, name=name))
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_texts_suffice_where_the_files_are_not(folder, layout, monkeypatch):
    path = write(folder, *LAYOUTS[layout])
    sent = pickle.dumps(plugin_files.read(path))
    shutil.rmtree(folder)
    assert plugin_files.load(pickle.loads(sent)).VALUE == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_edited_helper_is_run_anew_in_the_same_process(folder, layout):
    path = write(folder, *LAYOUTS[layout])
    before = plugin_files.read(path)
    assert plugin_files.load(before).VALUE == 1
    edited = next(file for file in folder.rglob("*.py") if file.read_text() == "VALUE = 1")
    edited.write_text("VALUE = 2")
    after = plugin_files.read(path)
    assert plugin_files.load(after).VALUE == 2
    assert plugin_files.load(before).VALUE == 1
    assert before.fingerprint() != after.fingerprint()


def test_a_plugin_keeps_its_place_and_its_source(folder):
    path = write(folder, {"data.txt": "data", "fresh_part.py": "def f():\n    return 1  # old\n"}, "import fresh_part")
    module = plugin_files.load(plugin_files.read(path))
    text = path.read_text()
    for file in (path, folder / "fresh_part.py"):
        file.write_text("# an edit\n" * 40)
    assert module.DATA.read_text() == "data"
    assert module.__file__ == str(path)
    assert inspect.getsource(module.One) == text[text.index("class One") :]
    assert inspect.getsource(module.fresh_part.f) == "def f():\n    return 1  # old\n"
    with pytest.raises(RuntimeError) as caught:
        module.One().repair(None, None, None)
    shown = "".join(traceback.format_exception(caught.value))
    assert 'raise RuntimeError("old text")' in shown
    assert str(path) in shown


def test_a_helper_that_is_imported_late_is_of_the_text_that_was_read(folder):
    path = write(
        folder, {"fresh_part.py": "VALUE = 1"}, "def late():\n    import fresh_part\n    return fresh_part.VALUE"
    )
    module = plugin_files.load(plugin_files.read(path))
    (folder / "fresh_part.py").write_text("VALUE = 2")
    assert module.late() == 1


def test_afterwards_helpers_come_last(folder, tmp_path_factory, monkeypatch):
    """A module of the same name that is installed is what others get."""
    path = write(folder, {"fresh_part.py": "VALUE = 1"}, "def late():\n    import fresh_part")
    plugin_files.load(plugin_files.read(path))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "fresh_part.py").write_text("VALUE = 'installed'")
    monkeypatch.syspath_prepend(elsewhere)
    assert importlib.import_module("fresh_part").VALUE == "installed"


def test_a_worker_runs_a_file_only_for_its_own_plugins(folder, monkeypatch):
    """A file that does something to torch as it is run, say, does not do it to the stages of other plugins."""
    monkeypatch.setitem(sys.modules, "fresh_ran", ran := type(sys)("fresh_ran"))
    ran.files = []
    paths = [write(folder, {}, f"import fresh_ran\nfresh_ran.files.append('{name}')", name) for name in ("one", "two")]
    files = Registry(paths).files
    assert ran.files == ["one", "two"]
    for module in [name for name in sys.modules if name.startswith("bench_plugin_")]:
        monkeypatch.delitem(sys.modules, module)
    ran.files.clear()
    worker = Registry(files, lazily=True)
    assert worker.create("attack", "badnets", {}).name == "badnets"
    assert worker.fingerprint("defense", "one") == files[0].fingerprint()
    assert ran.files == []
    assert worker.load("defense", "two").name == "two"
    assert ran.files == ["two"]


def test_finding_installed_plugins_imports_none_of_their_packages(folder, monkeypatch):
    package = folder / "fresh_part"
    write(package, {"__init__.py": "raise SystemExit('imported')", "in_it/__init__.py": "raise SystemExit('imported')"})
    (package / "in_it" / "plugin.py").write_text('"""What it is."""\n' + PLUGIN.format(imports="", name="deep"))
    info = folder / "fresh_part-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fresh_part\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[bench.defenses]\ndeep = fresh_part.in_it.plugin:One\n")
    monkeypatch.syspath_prepend(folder)
    registry = Registry()
    assert registry.entry("defense", "deep").summary == "What it is."
    assert len(registry.fingerprint("defense", "deep")) == 16
    assert "fresh_part" not in sys.modules
