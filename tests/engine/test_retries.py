"""Stages of real runs that are tried or made again, in this process."""

import pandas as pd
import tiny

import bench
from bench.cell.make import make
from bench.plan.stages import CellStage


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
