"""bench.scan and bench.repair on networks in memory, with the built-in methods and a backdoor planted by hand."""

import numpy as np
import pytest
import torch
from planted import SIX_COLUMNS, column_victim
from torch import nn

import bench
from bench.plan.profiles import PROFILES
from bench.plan.registry import Registry
from bench.suspect import methods
from bench.suspect import scan as scan_module
from bench.suspect.verdict import combined

DATA = SIX_COLUMNS.draw(120, 1)
# 80 steps of nc are too few in float32: the masks of two classes are small then
METHODS = ["tac[controls=1,control_epochs=5]", "nc[steps=160]"]


@pytest.mark.parametrize(("labels", "methods"), [(DATA.labels, METHODS), (None, METHODS[1:])], ids=["", "no labels"])
def test_a_planted_target_is_found_and_the_network_left_alone(labels, methods):
    network = column_victim().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    found = bench.scan(network, DATA.images, labels, defenses=methods)
    assert torch.rand(1) == expected
    assert found.suspicious
    assert found.verdict.classes == [SIX_COLUMNS.target]
    assert found.accuracy == (None if labels is None else 1)
    assert "SUSPICIOUS: class 2" in repr(found)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    [picture] = found.findings[-1].pictures
    assert picture.target == SIX_COLUMNS.target


def test_a_benign_network_is_not_suspicious():
    assert not bench.scan(
        column_victim(shouts=0), DATA.floats.numpy(), DATA.labels.numpy(), defenses=METHODS
    ).suspicious


HALFWAY = """
from typing import ClassVar
import bench


class Halfway(bench.Repair):
    name: ClassVar[str] = "halfway"
    identifies: ClassVar[bool] = True

    def repair(self, model, known, context):
        context.progress(0.5)
        context.note_class_statistic("nothing", [0.0] * 6, [])
        return model
"""


def test_a_scan_says_which_method_is_at_work_and_how_far(plugin_file, monkeypatch):
    monkeypatch.setattr(scan_module, "EVERY", 0.0)
    said = list[str]()
    file = plugin_file("halfway", HALFWAY)
    found = bench.scan(column_victim(), DATA.images, defenses="halfway", plugin=[file], note=said.append)
    assert [finding.reason for finding in found.findings] == [""]
    assert [line.partition(" after")[0] for line in said[:2]] == ["halfway: begins", "halfway: 50%"]
    assert said[2].endswith(" s")


def test_a_repair_takes_the_backdoor_away_and_says_what_it_costs():
    network = column_victim()
    assert SIX_COLUMNS.rates(network)[1] > 0.9
    repaired = bench.repair(network, METHODS[0], DATA.images, DATA.labels, held_out=0.5)
    accuracy, success = SIX_COLUMNS.rates(repaired.network)
    assert success < 0.5
    assert (repaired.given, repaired.held_out, repaired.flagged, repaired.changed) == (60, 60, [2], True)
    assert repaired.accuracy_before == 1
    assert repaired.accuracy_after == pytest.approx(accuracy, abs=0.1)
    assert SIX_COLUMNS.rates(network)[1] > 0.9


@pytest.mark.parametrize(
    ("network", "images", "labels", "said"),
    [
        (column_victim, DATA.images[:0], None, "images: there are 0"),
        (column_victim, DATA.images[:, 0], None, r"images: got \(120, 8, 8\), expected \(N, C, H, W\)"),
        (column_victim, DATA.images.float(), None, "images: got torch.float32 from 0 to"),
        (column_victim, [[1]], None, "images: got a list"),
        (column_victim, DATA.images, DATA.labels[:3], r"labels: got torch.int64 \(3,\)"),
        (column_victim, DATA.images, DATA.labels + 5, "labels: got 5 to 10, expected 0 to 5"),
        (column_victim, DATA.images, np.zeros(120, np.int64), "images of one class by labels"),
        (column_victim, DATA.images.expand(-1, 3, -1, -1), None, "network: cannot be asked about images"),
        (lambda: nn.Conv2d(1, 1, 1), DATA.images, None, r"network: gives \(120, 1, 8, 8\) for 120 images"),
        (lambda: "net.pt", DATA.images, None, "network: got a str"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(network, images, labels, said):
    with pytest.raises(bench.RequestError, match=said) as caught:
        bench.scan(network(), images, labels, defenses="nc")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("images", "profile"), [(200, "quick"), (2500, None)])
def test_methods_have_the_parameters_for_as_few_images_as_there_are(images, profile):
    chosen = methods.repair_named(Registry(), "ft", methods.profile_for(images)).defense.model_dump()
    quick = PROFILES["quick"].parameters["ft"]
    assert ({name: chosen[name] for name in quick} == quick) == (profile == "quick")


@pytest.mark.parametrize(("images", "profile"), [(200, "quick"), (2500, "cpu")])
def test_a_scan_asks_with_the_parameters_that_its_rates_were_measured_with(images, profile):
    chosen = methods.detectors(Registry(), "bna,nc,tac", methods.profile_for(images, methods.MANY))
    for method in chosen:
        expected = PROFILES[profile].parameters.get(method.defense.name, {})
        dumped = method.defense.model_dump()
        assert {name: dumped[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("flagged", "targets"),
    [
        ({}, []),
        ({"a": []}, []),
        ({"a": [1]}, [1]),
        ({"a": [1], "b": []}, []),
        ({"a": [1], "b": [1]}, [1]),
        ({"a": [1, 2], "b": [2], "c": []}, [2]),
        ({"a": [1], "b": [2], "c": [3]}, []),
        ({"a": [0, 1], "b": [0, 1], "c": [1]}, [0, 1]),
    ],
)
def test_a_class_is_a_target_if_more_than_half_of_the_methods_name_it(flagged, targets):
    assert combined(flagged).classes == targets
