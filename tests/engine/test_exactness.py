"""The options deterministic and compile: set, recorded, and undone after the run; ``test_options.py`` has workers."""

from pathlib import Path

import pandas as pd
import pytest
import tiny
import torch
from torch import nn

import bench
from bench.plugin.attack import Objective
from bench.plugin.values import LabelledImages
from bench.toolbox.training import Recipe, train


def run(folder: Path, **options: object) -> pd.DataFrame:
    """The table of a run with a defense that computes exactly and one that does not."""
    request = {**tiny.GRID, "attacks": "corner", "defenses": "halve,inexact", "executor": "inline"}
    request["plugin"] = [tiny.plugins(folder), tiny.PLUGIN_FOLDER / "inexact.py"]
    return bench.run(**request, store=folder / "store", **options).frame.set_index("defense")


@pytest.fixture(scope="module")
def usual(tmp_path_factory) -> pd.DataFrame:
    """The table without the option."""
    return run(tmp_path_factory.mktemp("usual"))


def test_deterministic_fails_inexact_operations_and_is_recorded(tmp_path, usual):
    assert usual.status.eq("done").all()
    assert not usual.deterministic.any()
    exact = run(tmp_path, deterministic=True)
    assert exact.status.to_dict() == {"halve": "done", "inexact": "failed"}
    assert "does not have a deterministic implementation" in exact.reason["inexact"]
    assert exact.deterministic["halve"]
    assert not torch.are_deterministic_algorithms_enabled()
    assert exact.key.to_dict() == usual.key.to_dict()


class Counted(Objective):
    pass


@pytest.mark.parametrize(("objective", "compiled"), [(None, True), (Objective(), True), (Counted(), False)])
def test_a_network_is_compiled_for_whole_batches_and_the_usual_objective(monkeypatch, images, objective, compiled):
    """The compiler itself is torch's; here it is one that counts."""
    seen: list[int] = []

    def counting(model):
        def forward(batch):
            seen.append(len(batch))
            return model(batch)

        return forward

    monkeypatch.setattr(torch, "compile", counting)
    model = nn.Sequential(nn.Flatten(), nn.Linear(images.images[0].numel(), 5))
    before = model[1].weight.clone()
    once = Recipe(epochs=1, batch_size=25, learning_rate=0.01, schedule="cosine")
    data = LabelledImages(images.images, images.labels)
    train(model, data, once, torch.Generator().manual_seed(0), objective=objective, compiled=True)
    assert seen == ([25, 25] if compiled else [])  # and ten more as they are
    assert not torch.equal(model[1].weight, before)


@pytest.mark.slow
def test_a_compiled_training_is_the_same_but_for_rounding(tmp_path):
    options = {"datasets": "digits[train_size=300]", "models": "resnet18[width=4]", "recipes": "quick[epochs=4]"}
    frames = [
        bench.run(attacks="badnets", defenses="none", store=tmp_path / str(on), workers=1, compile=on, **options).frame
        for on in (False, True)
    ]
    assert [frame.compiled.item() for frame in frames] == [False, True]
    assert frames[1].acc.item() == pytest.approx(frames[0].acc.item(), abs=0.1)
