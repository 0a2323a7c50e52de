"""What foreign plugins do while a plan is made changes neither the process nor what the plan says of others."""

import sys
from pathlib import Path

import forked
import pytest

from bench.api import check_data, open_registry
from bench.engine.process_state import Snapshot
from bench.plan.plan import make_plan
from bench.plan.request import Request

MUDDY = """
import json
import os
from typing import ClassVar

import torch
from torch import nn

from bench.plugin import Attack, Dataset, ImageSpec, LabelledImages, Model, Repair, Splits

nn.modules.module.register_module_full_backward_hook(lambda module, taken, given: (taken[0] * 0,))


class Muddy(Repair):
    name: ClassVar[str] = "muddy"

    def model_post_init(self, context):
        before = nn.Module.__call__
        nn.Module.__call__ = lambda self, *given: before(self, *given) * 0.5

    def resolve(self, spec):
        json.dumps = lambda *given, **named: "{}"
        return self

    @property
    def wants_pairs(self):
        torch.set_grad_enabled(False)
        return False

    def unsupported(self, case):
        torch.set_default_dtype(torch.float64)

    def repair(self, model, known, context):
        return model


class Loads(Dataset):
    name: ClassVar[str] = "loads"

    def located(self, folder):
        os.chdir("/")
        return self

    @property
    def spec(self):
        os.umask(0o777)
        return ImageSpec(3, 32, 32, classes=4, mean=(0.5,) * 3, std=(0.25,) * 3)

    def prepare(self, folder):
        os.environ["PREPARED"] = "yes"

    def load(self, folder):
        torch.set_num_threads(7)
        images = torch.zeros(40, 3, 32, 32, dtype=torch.uint8)
        return Splits(LabelledImages(images, torch.arange(40) % 4), LabelledImages(images, torch.arange(40) % 4))


class Builds(Model):
    name: ClassVar[str] = "builds"

    def build(self, spec):
        torch.use_deterministic_algorithms(True)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(3600, spec.classes))
"""
WORDS = ["hooks of all modules", "Module.__call__", "json.dumps", "the gradient mode", "the default dtype", "directory",
         "the umask", "the environment", "number of threads", "deterministic algorithms"]  # fmt: skip
ENTRY_POINTS = """
[bench.defenses]
muddy = muddy_package.plugins:Muddy
[bench.datasets]
loads = muddy_package.plugins:Loads
[bench.models]
builds = muddy_package.plugins:Builds
"""


def installed(folder: Path) -> list[Path]:
    """The plugins as those of a package, and no file."""
    for name in ("muddy_package", "muddy_package-1.dist-info"):
        (folder / name).mkdir()
    (folder / "muddy_package" / "__init__.py").touch()
    (folder / "muddy_package" / "plugins.py").write_text(MUDDY)
    (folder / "muddy_package-1.dist-info" / "METADATA").write_text("Name: muddy_package\nVersion: 1\n")
    (folder / "muddy_package-1.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS)
    sys.path.insert(0, str(folder))
    return []


def one_file(folder: Path) -> list[Path]:
    (folder / "muddy.py").write_text(MUDDY)
    return [folder / "muddy.py"]


@pytest.mark.parametrize("given", [installed, one_file])
def test_a_plan_is_the_same_whatever_foreign_plugins_do_meanwhile(tmp_path, given):
    def planned() -> tuple[list[tuple[str, str, str | None]], tuple[str, ...], list[str]]:
        notes: list[str] = []
        before, files = Snapshot.take(), given(tmp_path)
        registry = open_registry(files, notes.append)
        options = {"datasets": "digits,loads", "models": "resnet18[width=4],builds", "attacks": "badnets"}
        request = Request(**options, defenses="muddy,none,clp,ft", reference="8", suspects=4)
        plan = make_plan(request, registry, tmp_path)
        check_data(plan, tmp_path)
        said = [(cell.victim.model.name, cell.defense.name, plan.unsupported(cell)) for cell in plan.cells]
        return said, before.changes(), notes

    said, changes, notes = forked.result(planned)
    assert len(said) == 16
    assert [reason for *_, reason in said] == [None] * 16
    assert changes == ()
    assert [word for word in WORDS if not any(word in note for note in notes)] == []
    assert all("; put back" in note for note in notes), notes
