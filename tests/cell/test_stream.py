"""A stream's curve, against a case worked out by hand."""

import torch

from bench.cell.stream import stream_curve

CLASSES, TARGET = 3, 1


def test_a_stream_is_measured_in_parts_in_its_own_order():
    labels, targets = torch.tensor([0, 1, 2, 2, 0]), torch.full((5,), TARGET)
    logits = torch.eye(CLASSES)
    clean, attacked = logits[torch.tensor([0, 1, 2, 0, 0])], logits[torch.tensor([1, 1, 1, 2, 0])]
    stream = torch.tensor([5, 0, 6, 3, 7, 1, 8, 2, 9, 4])  # a triggered image, a clean one, and so on
    curve = stream_curve({"clean_logits": clean, "triggered_logits": attacked}, labels, targets, stream)
    assert curve["triggered"] == [1, 1, 1, 1, 2, 2, 3, 3, 4, 4]  # image 6 is of the target class
    assert curve["asr"] == [1, None, None, None, 1, None, 0, None, 0, None]
    assert curve["ra"] == [0, None, None, None, 0, None, 1, None, 1, None]
    assert curve["acc"] == [None, 1, None, 0, None, 1, None, 1, None, 1]
