"""What a worker of a cluster checks on its node before it takes stages."""

import pickle
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch

from bench.cell.apart.forks import Forks
from bench.engine.ray.actor import Opened, RayOrder, Worker
from bench.errors import RequestError
from bench.plan.plan import Request, make_plan
from bench.plan.plugin_files import read
from bench.plan.registry import Registry


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """With the plugins of the tiny grid. What starts processes for their code starts with the first of these."""
    monkeypatch.setattr(Forks, "start", lambda forks: None)
    tiny.plugins(tmp_path)
    return tmp_path


def opened(folder: Path, **changes) -> tuple[Worker, Opened]:
    """A worker, and what its opening by an order with these changes said."""
    probe = folder / "store" / "tmp" / "probe"
    order = RayOrder(tiny.settings(folder), probe.name, "auto", gpu=False)
    probe.mkdir(exist_ok=True)
    worker = Worker()
    return worker, worker.open(replace(order, **changes))


def test_a_worker_is_refused_that_does_not_see_the_drivers_own_store(folder, tmp_path):
    assert opened(folder)[1].problem is None
    assert "is another store here" in opened(folder, probe="gone")[1].problem
    elsewhere = replace(tiny.settings(folder), store=tmp_path / "s")
    assert f"--store {tmp_path / 's'}: cannot be seen here" in opened(folder, settings=elsewhere)[1].problem


def test_a_worker_of_another_version_or_without_its_gpu_is_refused(folder):
    assert "has defensebench" in opened(folder, version="0")[1].problem
    if not torch.cuda.is_available():
        assert "torch" in opened(folder, gpu=True, device="cuda")[1].problem
        assert opened(folder, gpu=True)[1].device == "cpu"


def test_one_file_plugins_need_not_be_on_the_node(folder, tmp_path):
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "far_helper.py").write_text("STRENGTH = 3")
    away = tmp_path / "away" / "away.py"
    away.write_text((tiny.PLUGIN_FOLDER / "mine.py").read_text() + "\nfrom far_helper import STRENGTH\n")
    settings = replace(tiny.settings(folder), plugin_files=(read(away),))
    shutil.rmtree(away.parent)
    worker, answer = opened(folder, settings=pickle.loads(pickle.dumps(settings)))
    assert answer.problem is None
    assert sys.modules[worker._workshop.registry.load("defense", "mine").__module__].STRENGTH == 3


def test_a_plugin_that_cannot_be_imported_on_the_node_fails_its_stages_with_the_reason(folder, tmp_path):
    (tmp_path / "needs.py").write_text("import nowhere_to_be_found")
    settings = replace(tiny.settings(folder), plugin_files=(read(tmp_path / "needs.py"),))
    worker, answer = opened(folder, settings=settings)
    assert answer.problem is None
    with pytest.raises(RequestError, match=r"needs.py: ModuleNotFoundError: No module named 'nowhere_to_be_found'"):
        worker._workshop.registry.load("defense", "mine")


def test_on_a_node_without_the_data_the_stage_fails_with_the_reason_of_the_dataset(folder, tmp_path):
    plan = make_plan(
        Request(defenses="none", attacks="none", models="linear", datasets="cifar10"),
        Registry([folder / "tiny_plugins.py"]),
        tmp_path,
    )
    worker, _ = opened(folder, settings=replace(tiny.settings(folder), data=tmp_path))
    outcome = worker.work(plan.cells[0].victim, 0)
    assert outcome.status == "failed"
    assert "cifar10: not found" in outcome.reason
