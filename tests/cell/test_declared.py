"""What a plugin declares of itself reaches the record."""

import math

import tiny

import bench

DETECTOR = """
from typing import ClassVar
from bench import Prediction, Runtime

class Doubtful(Runtime):
    name: ClassVar[str] = "doubtful"
    changes: bool = False

    @property
    def detects_only(self):
        return not self.changes

    def guard(self, model, known, context):
        return lambda images: Prediction(model(images), images.mean((1, 2, 3)), images.mean((1, 2, 3)) > 0.1)
"""


def test_a_detector_has_no_der_and_a_guard_that_answers_otherwise_has_one(tmp_path):
    (tmp_path / "doubtful.py").write_text(DETECTOR)
    frame = bench.run(
        **tiny.GRID,
        attacks="corner",
        defenses="strip[overlays=2,on_flag=keep|second],doubtful[changes=false|true],none",
        plugin=[tiny.plugins(tmp_path), tmp_path / "doubtful.py"],
        store=tmp_path / "store",
        executor="inline",
    ).frame
    assert (frame.status == "done").all(), frame.reason.tolist()
    only = dict(zip(frame.defense_label, frame.detects_only, strict=True))
    assert {label for label, flag in only.items() if flag} == {"strip[overlays=2]", "doubtful"}
    assert all(math.isnan(row.der) == row.detects_only for row in frame.itertuples())


def test_an_attack_that_poisons_batches_is_recorded_as_controlling_the_training(tmp_path):
    frame = bench.run(
        **tiny.GRID,
        attacks="wanet[grid=2,poisons=data|batches],bpp[poisons=data|batches]",
        defenses="none",
        plugin=[tiny.plugins(tmp_path)],
        store=tmp_path / "store",
        executor="inline",
    ).frame
    assert (frame.status == "done").all(), frame.reason.tolist()
    for row in frame.itertuples():
        in_batches = "poisons=batches" in row.attack_label
        assert row.controls == ("training" if in_batches else "data")
        assert (row.n_poisoned == 0) == in_batches
