"""A case, which plugins look at before anything is trained."""

import torch

from bench.attacks.none import NoAttack
from bench.datasets.digits import Digits
from bench.defenses.none import NoDefense
from bench.models.resnet18 import ResNet18
from bench.plugin import Case


def test_a_case_shows_its_network_in_eval_mode_and_an_image_to_run_it_on():
    case = Case(Digits(), ResNet18(width=4), NoAttack(), NoDefense())
    assert not case.network.training
    before = {name: value.clone() for name, value in case.network.state_dict().items()}
    assert case.network(case.example).shape == (1, 10)
    assert all(torch.equal(value, before[name]) for name, value in case.network.state_dict().items())
