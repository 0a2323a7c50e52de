"""What TAC identifies a backdoor by: residuals of pairs of classes, and control networks."""

import numpy as np
import torch
from torch import nn

from bench.defenses._tac_evidence import Distances, all_to_all_targets, pair_residuals, reinitialised


def test_an_image_says_nothing_of_its_own_class_or_of_the_class_that_it_is_given():
    values = torch.tensor([[0.0, 2.0, 8.0], [1.0, 0.0, 4.0], [3.0, 0.0, 0.0]])  # image 1 is given the class 2
    distances = Distances(values, torch.tensor([0, 1, 2]))
    np.testing.assert_allclose(distances.of_classes(), [4, 2, 3], rtol=1e-6)
    expected = np.log([[np.nan, 2, 8], [1, np.nan, 4], [3, np.nan, np.nan]])
    np.testing.assert_allclose(distances.of_pairs(), expected, rtol=1e-6)


def test_only_an_all_to_all_backdoor_shows_as_one_in_the_pairs():
    draw = np.random.default_rng(0)
    logs = draw.normal(0, 0.1, (10, 10)) + draw.normal(0, 1, (10, 1)) + draw.normal(0, 1, 10)
    np.fill_diagonal(logs, np.nan)
    assert all_to_all_targets(pair_residuals(logs)) is None
    one = logs.copy()
    one[3] -= 2  # every class is close to a single one: all-to-one
    assert all_to_all_targets(pair_residuals(one)) is None
    crowded = logs.copy()  # five classes share their target with another one
    for source in range(10):
        crowded[[1, 2, 3, 4, 5, 1, 2, 3, 4, 6][source], source] -= 1.0
    assert all_to_all_targets(pair_residuals(crowded)) is None
    for source in range(10):
        logs[(source + 1) % 10, source] -= 1.0
    assert all_to_all_targets(pair_residuals(logs)) == tuple((source + 1) % 10 for source in range(10))


def test_a_control_network_is_new_and_the_same_again():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 36), nn.ReLU(), nn.Linear(36, 8))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    first, again = (reinitialised(net, torch.Generator().manual_seed(5)).state_dict() for _ in range(2))
    other = reinitialised(net, torch.Generator().manual_seed(6)).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], value) for name, value in before.items())
    assert not any(torch.equal(first[name], other[name]) for name in first)
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())
    assert torch.equal(torch.get_rng_state(), state)
