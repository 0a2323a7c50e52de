"""What is measured of a guard's verdicts and of the classes that a defense names, from invented predictions."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from stores import ABCD, EF01, FACTS
from torch import Tensor
from torch.nn.functional import one_hot

from bench.cell.measure import measure, measure_again
from bench.records import Record
from bench.store.store import Store

LABELS = torch.tensor([0, 1, 2, 1, 2, 0])
TARGETS = torch.zeros(6, dtype=torch.int64)  # the images 1 to 4 are eligible
CLEAN, TRIGGERED = torch.tensor([0, 1, 2, 0, 2, 1]), torch.tensor([0, 0, 0, 0, 2, 0])  # the victim's classes
SOME = {"clean_flagged": [1, 0, 0, 0, 0, 1], "triggered_flagged": [0, 1, 1, 0, 1, 1]}
NONE = {name: [0] * 6 for name in SOME}
REPAIRED = {"triggered": LABELS}


def logits(classes: Tensor) -> Tensor:
    return one_hot(classes, 3).float()


def answers(flags: dict[str, list[int]] | None = None, **changed: Tensor) -> dict[str, Tensor]:
    """A defense's predictions: the victim's, but for what is ``changed``, and its verdicts."""
    given = {
        f"{part}_logits": logits(value) for part, value in ({"clean": CLEAN, "triggered": TRIGGERED} | changed).items()
    }
    return given | {name: torch.tensor(value).bool() for name, value in (flags or {}).items()}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with the victim, whose target is class 0."""
    store = Store(tmp_path / "store")
    predictions = answers() | {"labels": LABELS, "targets": TARGETS}
    facts = {**FACTS, "n_test": 6, "n_triggered": 4}
    store.write("victims", ABCD, {"predictions.safetensors": predictions, "stage.json": facts})
    return store


def measured(store: Store, after: dict[str, Tensor], declared: bool | None = False, **notes: Any) -> dict[str, Any]:
    return measure(ABCD, store, after, notes, declared)


def test_rates_have_both_denominators(store: Store) -> None:
    columns = measured(store, answers(SOME))
    assert columns["tpr"] == 3 / 4  # of the images 1 to 4
    assert columns["tpr_assigned"] == 2 / 3  # without image 4, which the trigger does not lead to the target
    assert columns["fpr"] == 2 / 6
    assert columns["fpr_assigned"] == 1 / 2  # of the images 0 and 3, which the victim takes for the target
    assert not {"tpr", "fpr", "tpr_assigned", "fpr_assigned"} & measured(store, answers()).keys()


def test_the_victim_s_base_rate_largest_class_and_classes_are_measured(store: Store) -> None:
    columns = measured(store, answers(**REPAIRED))
    assert columns["base_rate"] == 1 / 4  # image 3
    assert columns["majority"] == 1 / 3
    assert json.loads(columns["class_acc_before"]) == [0.5, 0.5, 1.0]


@pytest.mark.parametrize(
    ("after", "declared", "only"),
    [
        (answers(SOME), True, True),
        (answers(SOME), False, False),  # a mitigation that had nothing to change says that it is none
        (answers(SOME, **REPAIRED), True, False),  # what is seen counts, and not what is said
        (answers(SOME), None, True),  # from here on: records of before it was declared
        (answers(NONE), None, False),  # as of a mitigation that found nothing
        (answers(), None, False),
        (answers(SOME, **REPAIRED), None, False),
    ],
)
def test_a_defense_that_only_flags_has_no_der(store: Store, after: Any, declared: bool | None, only: bool) -> None:
    columns = measured(store, after, declared)
    assert columns["detects_only"] is only
    assert math.isnan(columns["der"]) is only


@pytest.mark.parametrize(
    ("flagged", "expected"), [([0], "right"), ([0, 1], "wrong"), ([2], "wrong"), ([], "none")], ids=str
)
def test_the_classes_that_a_defense_names_are_held_against_the_targets(store, flagged, expected) -> None:
    statistic = {"name": "z", "values": [-2.0, None, 1.0], "flagged": flagged}
    assert measured(store, answers(), class_statistic=statistic)["identified"] == expected


@pytest.mark.parametrize("note", [{}, {"class_statistic": {"flagged": "0"}}, {"class_statistic": [0]}], ids=str)
def test_without_a_statistic_nothing_is_identified(store: Store, note: dict[str, Any]) -> None:
    assert measured(store, answers(), **note)["identified"] == ""


def older(store: Store, **columns: Any) -> None:
    """Put a cell of a detector into the store as it was before these metrics were there, but for ``columns``."""
    names = {kind: kind for kind in ("dataset", "model", "attack", "defense")}
    texts = {f"{kind}_label": kind for kind in names} | {f"{kind}_params": "{}" for kind in names}
    given = {"seed": 0, "reference": 1, "suspects": 0, "profile": "quick", "recipe": "quick", "knowledge": "1 clean"}
    noted = {"class_statistic": {"name": "z", "values": [-2.0, 0.5, 1.0], "flagged": [0]}}
    found = {"status": "done", "der": 0.5, "diagnostics": json.dumps(noted)}
    record = {"key": EF01, "victim_key": ABCD, **names, **texts, **given, **found, **columns}
    store.write("cells", EF01, {"predictions.safetensors": answers(SOME), "record.json": json.dumps(record)})


def test_records_of_before_are_given_what_they_lack(store: Store) -> None:
    older(store)
    [(before, after)] = measure_again(store, pytest.fail)
    assert (before.detects_only, before.der, before.identified) == (False, 0.5, "")
    assert (after.detects_only, after.identified) == (True, "right")
    assert math.isnan(after.der)
    expected = measured(store, answers(SOME), None)
    for name in ("tpr_assigned", "fpr_assigned", "base_rate", "majority", "class_acc_before"):
        assert getattr(after, name) == expected[name]
    assert list(measure_again(store, pytest.fail)) == []
    assert isinstance(store.record(EF01), Record)


def test_what_a_record_declares_is_not_derived_again(store: Store) -> None:
    older(store, detects_only=False)
    [(_, after)] = measure_again(store, pytest.fail)
    assert after.detects_only is False
    assert after.der == 0.5


def test_scores_have_their_three_figures(store: Store) -> None:
    scores = {"clean_score": torch.tensor([0.1, 0.2, 0.3, 0.9, 0.0, 0.0])}
    scores["triggered_score"] = torch.tensor([0.0, 0.95, 0.8, 0.7, 0.99, 0.0])
    columns = measured(store, answers() | scores)
    assert columns["tpr_at_1_fpr"] == 2 / 4  # of the images 1 to 4, those above every clean image
    assert columns["auroc"] == pytest.approx(22 / 24)
    assert 0.75 < columns["average_precision"] < 1
    assert not {"tpr_at_1_fpr", "average_precision"} & measured(store, answers()).keys()
