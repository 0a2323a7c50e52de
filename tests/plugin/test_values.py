"""What a plugin may note in its context, and what is refused."""

import json

import pytest
import torch


def test_a_class_statistic_is_kept_in_the_form_that_the_report_reads(context):
    context.note_class_statistic("z", [1.0, float("inf"), float("nan"), -2], {3, 0})
    assert context.diagnostics["class_statistic"] == {"name": "z", "values": [1.0, None, None, -2.0], "flagged": [0, 3]}
    json.dumps(context.diagnostics, allow_nan=False)


def test_a_flagged_class_without_a_value_is_refused(context):
    with pytest.raises(ValueError, match=r"flagged \[5\]: expected classes below 2"):
        context.note_class_statistic("z", [1.0, 2.0], [5])


def test_shifts_are_kept_by_class_and_refused_in_another_shape(context):
    context.note_latent_shifts({3: torch.tensor([1 / 3, 2.0])})
    assert context.diagnostics["latent_shifts"] == {"3": [0.33333, 2.0]}
    with pytest.raises(ValueError, match=r"shift of class 1: expected \(d,\), got \(2, 2\)"):
        context.note_latent_shifts({1: torch.zeros(2, 2)})


@pytest.mark.parametrize("name", ["class_statistic", "latent_shifts", "shift_truth", "stream_curve"])
def test_a_free_note_cannot_take_the_name_of_a_typed_one(context, name):
    with pytest.raises(ValueError, match=f"note '{name}': expected another name"):
        context.note(name, {})
