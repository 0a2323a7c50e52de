"""For tests of code that is edited: the tiny grid, a one-file plugin with a helper module, and an installed package."""

import json
import sys
from pathlib import Path

import pytest
import tiny
from stores import bench

from bench.plan import registry as registry_module
from bench.store.store import Store

HELPED = """
from typing import ClassVar
from bench.plugin import Repair
from strength import STRENGTH

class Helped(Repair):
    name: ClassVar[str] = "helped"

    def unsupported(self, case):
        return "too strong" if STRENGTH > 5 else None

    def repair(self, model, known, context):
        context.log(f"strength {STRENGTH}")
        model[1].weight.data *= STRENGTH
        return model
"""
FAR = """
from typing import ClassVar
from bench.plugin import Attack
from . import parts

class Far(Attack):
    name: ClassVar[str] = "far"

    def trigger(self, images, context):
        images = images.clone()
        images[..., -1, parts.COLUMN] = 1
        return images
"""
ENTRY_POINT = "[bench.attacks]\nfar = farpackage.plugin:Far\n"
METADATA = "Metadata-Version: 2.1\nName: farpackage\nVersion: 1\n"


def prepare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fill the folder, and forget what earlier tests have imported."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(registry_module, "_codes", {})
    for name in [name for name in sys.modules if name.split(".")[0] in ("strength", "farpackage")]:
        monkeypatch.delitem(sys.modules, name)
    tiny.plugins(folder)
    (folder / "helped.py").write_text(HELPED)
    (folder / "strength.py").write_text("STRENGTH = 1.0")
    installed = folder / "installed"
    (installed / "farpackage").mkdir(parents=True)
    (installed / "farpackage" / "__init__.py").touch()
    (installed / "farpackage" / "plugin.py").write_text(FAR)
    (installed / "farpackage" / "parts.py").write_text("COLUMN = 0")
    (installed / "farpackage-1.dist-info").mkdir()
    (installed / "farpackage-1.dist-info" / "METADATA").write_text(METADATA)
    (installed / "farpackage-1.dist-info" / "entry_points.txt").write_text(ENTRY_POINT)
    monkeypatch.syspath_prepend(installed)
    return folder


def as_in_a_new_process() -> None:
    """Forget what this process has imported of the installed package."""
    registry_module._codes.clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "farpackage"]:
        del sys.modules[name]


def words(folder: Path, command: str = "run", **options: str) -> list[str]:
    """The command on the tiny grid with both files of plugins, in the store of the folder."""
    chosen = {**tiny.GRID, "attacks": "corner", "defenses": "none,helped", "store": folder / "store", **options}
    files = [word for name in ("tiny_plugins", "helped") for word in ("--plugin", str(folder / f"{name}.py"))]
    return [command, *files, *(str(word) for name, value in chosen.items() for word in (f"--{name}", value))]


def run(folder: Path, capsys, **options: str) -> str:
    """What ``bench run`` says on the standard error; every cell is done."""
    status, _, err = bench(capsys, *words(folder, executor="inline", **options))
    assert status == 0, err
    return err


def codes(folder: Path, kind: str) -> dict[str, set[str]]:
    """The fingerprints of a kind's plugins in the records of a store, by plugin."""
    found: dict[str, set[str]] = {}
    for record in Store(folder / "store").records():
        found.setdefault(getattr(record, kind), set()).add(json.loads(record.fingerprints)[kind])
    return found


def made(folder: Path) -> dict[str, str]:
    """When each cell was made, in nanoseconds, by attack, defense and seed."""
    store = Store(folder / "store")
    return {
        f"{record.attack}/{record.defense}/{record.seed}": (store.folder("cells", record.key) / "record.json")
        .stat()
        .st_mtime_ns
        for record in store.records()
    }
