"""What a plugin may say by its context, and what is refused."""

import json

import pytest
import torch

from bench.plugin import Context


@pytest.fixture
def said() -> Context:
    return Context(torch.device("cpu"), torch.Generator())


def test_a_class_statistic_is_kept_in_the_form_that_the_report_reads(said):
    said.note_class_statistic("z", [1.0, float("inf"), float("nan"), -2], {3, 0})
    assert said.diagnostics["class_statistic"] == {"name": "z", "values": [1.0, None, None, -2.0], "flagged": [0, 3]}
    json.dumps(said.diagnostics, allow_nan=False)


def test_a_flagged_class_without_a_value_is_refused(said):
    with pytest.raises(ValueError, match=r"flagged \[5\]: expected classes below 2"):
        said.note_class_statistic("z", [1.0, 2.0], [5])


def test_shifts_are_kept_by_class_and_refused_in_another_shape(said):
    said.note_latent_shifts({3: torch.tensor([1 / 3, 2.0])})
    assert said.diagnostics["latent_shifts"] == {"3": [0.33333, 2.0]}
    with pytest.raises(ValueError, match=r"shift of class 1: expected \(d,\), got \(2, 2\)"):
        said.note_latent_shifts({1: torch.zeros(2, 2)})


@pytest.mark.parametrize("name", ["class_statistic", "latent_shifts", "shift_truth", "stream_curve"])
def test_a_free_note_cannot_take_the_name_of_a_typed_one(said, name):
    with pytest.raises(ValueError, match=f"note '{name}': expected another name"):
        said.note(name, {})
