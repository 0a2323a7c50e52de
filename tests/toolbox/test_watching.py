"""Watching the inputs and outputs of modules."""

import pytest
import torch
from torch import nn

from bench.toolbox.networks import watching


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def test_outputs_and_inputs_are_shown_in_the_order_in_which_modules_run():
    model, images = network(), torch.rand(5, 3)
    outputs, inputs = [], []
    with watching(model, lambda module, value: outputs.append(value)):
        answer = model(images)
    with watching([model[2], model[0]], lambda module, value: inputs.append((module, value)), inputs=True):
        model(images)
    assert torch.equal(outputs[0], answer)
    assert [module for module, _ in inputs] == [model[0], model[2]]
    assert torch.equal(inputs[0][1], images)


def test_watching_changes_nothing_and_leaves_no_hook():
    model, images = network(), torch.rand(5, 3)
    expected = model(images)
    with watching(model, lambda module, value: value * 0):
        assert torch.equal(model(images), expected)
    with pytest.raises(StopIteration), watching(model[1], lambda *_: next(iter([]))):
        model(images)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
