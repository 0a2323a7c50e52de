"""Checkpoints of all usual forms are read, and nothing in a file is run."""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_files import Small, saved, unusable, wrapped
from safetensors.torch import save_file

from bench.checkpoint.read import read
from bench.errors import RequestError

TENSORS = Small().state_dict()
BESIDE = {  # what trainings save with a network
    "epoch": 3,
    "best": np.float64(0.5),
    "history": np.arange(3),
    "args": argparse.Namespace(out=Path("runs/1"), lr=0.1),
    "optimizer": torch.optim.SGD([torch.zeros(1)], lr=0.1).state_dict(),
}


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (TENSORS, ()),
        ({"state_dict": TENSORS, **BESIDE}, ("state_dict",)),
        ({"model_state_dict": TENSORS, **BESIDE}, ("model_state_dict",)),
        ({"net": TENSORS, **BESIDE}, ("net",)),
        ({"model": {"state_dict": TENSORS}, **BESIDE}, ("model", "state_dict")),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else "",
)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_state_dict_is_found_wherever_it_usually_lies(tmp_path, content, place, zipped):
    found = read(saved(tmp_path, content, _use_new_zipfile_serialization=zipped))
    assert found.place == place
    assert list(found.tensors) == list(TENSORS)
    assert all(torch.equal(value, TENSORS[name]) for name, value in found.tensors.items())
    assert set(found.beside) == set(content) - {*place[:1], *TENSORS}


def test_safetensors_are_read_with_their_metadata(tmp_path):
    save_file(wrapped(TENSORS, "module."), tmp_path / "net.anything", {"from": "elsewhere"})
    found = read(tmp_path / "net.anything")
    assert found.metadata == {"from": "elsewhere"}
    assert set(found.tensors) == {f"module.{name}" for name in TENSORS}


def test_what_is_no_checkpoint_is_refused_in_one_line_and_runs_nothing(tmp_path):
    unfit = unusable(tmp_path)
    before = sorted(tmp_path.iterdir())
    for path, said in unfit.values():
        with warnings.catch_warnings(action="error"), pytest.raises(RequestError) as caught:
            read(path)
        assert said in str(caught.value), path
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before
