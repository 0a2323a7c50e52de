"""What became of every test image, from the predictions in a store."""

from pathlib import Path

import pytest
import torch
from stores import ABCD, EF01, FACTS, spoil
from torch.nn.functional import one_hot

from bench.cell import metrics
from bench.cell.outcomes import outcomes
from bench.errors import Damaged
from bench.records.outcomes import MASKS
from bench.store.store import Store

SIZE = 21


@pytest.fixture
def store(tmp_path: Path) -> tuple[Store, dict[str, torch.Tensor]]:
    """A store with a victim and a cell, and what they answered."""
    draw = torch.Generator().manual_seed(0)
    names = ("labels", "targets", "clean", "triggered", "clean_before", "triggered_before")
    found = {name: torch.randint(0, 3, (SIZE,), generator=draw) for name in names}
    store = Store(tmp_path / "store")
    parts = ("clean", "triggered")
    before = {f"{part}_logits": one_hot(found[f"{part}_before"], 3).float() for part in parts}
    labels = {name: found[name] for name in ("labels", "targets")}
    store.write("victims", ABCD, {"predictions.safetensors": before | labels, "stage.json": FACTS})
    after = {f"{part}_logits": one_hot(found[part], 3).float() for part in parts}
    store.write("cells", EF01, {"predictions.safetensors": after, "record.json": b"{}"})
    return store, found


def test_shares_of_outcomes_are_the_metrics(store: tuple[Store, dict[str, torch.Tensor]]) -> None:
    opened, found = store
    own = outcomes(opened, pytest.fail)(EF01, ABCD)
    assert own is not None
    mask = {name: torch.tensor(own[name]).bool() for name in MASKS}
    labels, targets = found["labels"], found["targets"]
    for suffix in ("", "_before"):
        clean, triggered = (found[f"{part}{suffix}"] for part in ("clean", "triggered"))
        eligible = mask["eligible"]
        assert metrics.share(mask[f"right{suffix}"]) == metrics.accuracy(clean, labels)
        assert metrics.share(mask[f"hit{suffix}"][eligible]) == metrics.attack_success(triggered, labels, targets)
        assert metrics.share(mask[f"robust{suffix}"][eligible]) == metrics.robust_accuracy(triggered, labels, targets)
    classes = targets[targets != labels].unique()
    assert metrics.share(mask["right"][mask["of_target"]]) == metrics.target_accuracy(found["clean"], labels, classes)


def test_what_is_not_there_or_damaged_is_not_known(store: tuple[Store, dict[str, torch.Tensor]]) -> None:
    opened, _ = store
    named: list[Damaged] = []
    assert outcomes(opened, pytest.fail)("0" * 32, ABCD) is None
    assert outcomes(opened, pytest.fail)(EF01, "0" * 32) is None
    spoil(opened, "cells", EF01, "predictions.safetensors")
    assert outcomes(opened, named.append)(EF01, ABCD) is None
    assert len(named) == 1
