"""``Dataset.prepare`` may download: a run calls it before any work starts, planning never calls it."""

import pytest

import bench
from bench.cli.main import main
from bench.errors import RequestError

PLUGIN = """
from pathlib import Path
from bench.datasets.digits import Digits
from bench.plugin import RequestError

class Remote(Digits):
    name = "remote"

    def prepare(self, folder):
        raise RequestError(f"remote: {self.train_size}: the download was started")
"""
REQUEST = {"datasets": "remote[train_size=100]", "models": "resnet18", "attacks": "none", "defenses": "none"}


@pytest.fixture
def plugin(plugin_file):
    return plugin_file("remote", PLUGIN)


def test_planning_does_not_prepare_a_data_set(plugin, tmp_path, capsys):
    words = [word for name, value in REQUEST.items() for word in (f"--{name}", value)]
    with pytest.raises(SystemExit) as ended:
        main(["plan", *words, "--plugin", str(plugin), "--data", str(tmp_path), "--store", str(tmp_path / "store")])
    printed = capsys.readouterr()
    assert ended.value.code == 0, printed.err
    assert "remote" in printed.out


def test_a_run_prepares_a_data_set_before_any_work_starts(plugin, tmp_path):
    with pytest.raises(RequestError, match="remote: 100: the download was started"):
        bench.run(**REQUEST, plugin=[plugin], data=tmp_path, store=tmp_path / "store", executor="inline")
    assert not list((tmp_path / "store").rglob("*.safetensors"))
