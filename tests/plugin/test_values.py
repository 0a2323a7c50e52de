"""What a plugin may note in its context, and what is refused."""

import json
import math
from typing import Any

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


@pytest.mark.parametrize("name", ["class_statistic", "latent_shifts", "activations", "shift_truth", "stream_curve"])
def test_a_free_note_cannot_take_the_name_of_a_typed_one(context, name):
    with pytest.raises(ValueError, match=f"note '{name}': expected another name"):
        context.note(name, {})


CHANNEL: dict[str, Any] = {"layer": "a", "channel": 0, "low": -1.0, "width": 0.5}
CHANNEL |= {"clean": [0.5, 0.5], "triggered": [0.0, 1.0], "aligned": [1.0, 0.0]}


def test_histograms_of_activations_are_noted_by_target(context):
    context.note_activations({3: [CHANNEL]})
    assert context.diagnostics["activations"] == {"3": [CHANNEL]}


@pytest.mark.parametrize(
    "odd", [{"aligned": [1.0]}, {"width": 0.0}, {"clean": [1.5, 0.0]}, {"low": math.nan}, {"clean": []}, {"more": 1}]
)
def test_histograms_that_do_not_fit_are_refused(context, odd):
    with pytest.raises(ValueError, match="note 'activations': "):
        context.note_activations({3: [CHANNEL | odd]})


def test_more_channels_than_a_figure_shows_are_refused(context):
    with pytest.raises(ValueError, match="at most 8"):
        context.note_activations({3: [CHANNEL] * 9})
