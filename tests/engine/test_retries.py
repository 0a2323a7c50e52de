"""Stages of real runs that are tried or made again, in this process."""

import pandas as pd
import pytest
import tiny

import bench
from bench.cell.make import make
from bench.engine.display import Silent
from bench.plan.stages import CellStage
from bench.store.store import Store


def test_a_gpu_out_of_memory_is_tried_once_more(tmp_path):
    """The error of a GPU, raised here without one: the second try fails or succeeds."""
    request = {**tiny.GRID, "attacks": "corner", "defenses": "bad[how=starve|starve-once],halve"}
    results = bench.run(**request, plugin=[tiny.plugins(tmp_path)], store=tmp_path / "store", executor="inline")
    ends = {record.defense_label: (record.status, record.reason) for record in results.records}
    assert ends["bad[how=starve]"] == ("failed", "OutOfMemoryError: CUDA out of memory, both times")
    assert ends["bad[how=starve-once]"] == ends["halve"] == ("done", None)
    assert tiny.log(tmp_path) == {"corner[n=0]": 1, "starve": 2, "starve-once": 2, "halve[n=1]": 1}


def test_a_victim_that_disappears_during_a_run_is_made_again(tmp_path, monkeypatch):
    """As if it had been damaged, or somebody had removed it, in the middle of a run."""
    request = {**tiny.GRID, "attacks": "corner", "defenses": "none,halve", "plugin": [tiny.plugins(tmp_path)]}
    expected = bench.run(**request, store=tmp_path / "whole", executor="inline")
    cells = []

    def make_without_victim(stage, workshop):
        if isinstance(stage, CellStage):
            if not cells:
                workshop.store.forget("victims", stage.victim.key)
            cells.append(stage)
        return make(stage, workshop)

    monkeypatch.setattr("bench.engine.worker.make_stage", make_without_victim)
    (tmp_path / "log").unlink()
    results = bench.run(**request, store=tmp_path / "store", executor="inline")
    pd.testing.assert_frame_equal(tiny.table(results.frame), tiny.table(expected.frame))
    assert tiny.log(tmp_path)["corner[n=0]"] == 2


@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_a_cell_that_is_lost_after_it_was_made_has_failed(tmp_path, how):
    """As where a worker of an edited package writes what this process cannot read. The next run makes it again."""

    class Loses(Silent):
        def ended(self, outcome):
            store = Store(tmp_path / "store")
            if isinstance(outcome.stage, CellStage) and outcome.stage.defense.name == "halve":
                key = outcome.stage.key
                if how == "gone":
                    store.forget("cells", key)
                else:
                    [path] = (tmp_path / "store" / "cells").glob(f"*/{key}/record.json")
                    path.write_text("{}")

    request = {**tiny.GRID, "attacks": "corner", "defenses": "none,halve", "plugin": [tiny.plugins(tmp_path)]}
    results = bench.run(**request, store=tmp_path / "store", executor="inline", listener=Loses())
    assert not results.ok
    assert [(record.defense, record.status) for record in results.records] == [("none", "done"), ("halve", "failed")]
    assert "cannot be read" in results.records[1].reason
    assert bench.run(**request, store=tmp_path / "store", executor="inline").ok
