"""Selections of records: what ``bench run`` with the same words would have made, and a line where that is nothing."""

from types import SimpleNamespace
from typing import Any

import pytest
from some_records import cell

from bench.errors import RequestError
from bench.plan.matching import matching
from bench.plan.request import Request

CELLS = [
    cell("none", "none", reference=0, knowledge="nothing"),
    cell("badnets", "none", reference=0, knowledge="nothing"),
    cell("badnets", "tac", defense_params={"beta": 1.0, "solver": "nnls", "layers": [0, 3]}),
    cell("badnets", "tac[beta=2.0]", defense_params={"beta": 2.0}),
    cell("badnets", "tac[paper]", defense_params={"beta": 3.0}),
    cell("blend[alpha=0.1569]", "bna", seed=1, attack_params={"alpha": 40 / 255}),
    cell("blend", "fire", suspects_purity=0.5, suspects_classes=1),
    cell("sig", "ft", profile="paper", recipe="paper", status="failed", reason="no", dataset="cifar10",
         dataset_label="cifar10", evaluated_on="validation", reference=400),
]  # fmt: skip


def labels(**selections: Any) -> list[str]:
    matched = matching(Request.read(selections), CELLS)
    return [f"{one.attack_label} {one.defense_label}" for one in matched.records]


def test_without_a_selection_everything_is_selected() -> None:
    assert matching(Request(), CELLS).records == CELLS
    assert matching(Request.read({"data": "d", "plugin": ["p.py"]}), CELLS).records == CELLS


@pytest.mark.parametrize(
    ("defenses", "expected"),
    [
        ("tac", ["tac"]),  # what a run of tac makes, not its variants
        ("tac*", ["tac", "tac[beta=2.0]", "tac[paper]"]),
        ("tac[beta=2]", ["tac[beta=2.0]"]),
        ("tac[beta=1]", ["tac"]),  # a default that is spelled out
        ("tac[beta=1|2]", ["tac", "tac[beta=2.0]"]),
        ("tac[layers=0+3]", ["tac"]),
        ("tac[paper]", ["tac[paper]"]),
        ("tac*[beta=3]", ["tac[paper]"]),
        ("none,bna", ["none", "none", "bna"]),
        ("all", [one.defense_label for one in CELLS]),
    ],
)
def test_a_defense_is_matched_as_a_run_names_it(defenses: str, expected: list[str]) -> None:
    matched = matching(Request(defenses=defenses), CELLS)
    assert [one.defense_label for one in matched.records] == expected


@pytest.mark.parametrize("alpha", ["0.1569", "40/255"])
def test_a_number_is_matched_as_it_is_and_as_tables_print_it(alpha: str) -> None:
    assert labels(attacks=f"blend[alpha={alpha}]") == ["blend[alpha=0.1569] bna"]


def test_a_preset_is_what_the_profile_of_its_name_takes() -> None:
    assert labels(defenses="ft[paper]") == labels(defenses="ft") == ["sig ft"]


def test_a_class_or_an_instance_selects_what_it_stands_for() -> None:
    from bench.attacks.badnets import BadNets

    assert all(text.startswith("badnets") for text in labels(attacks=[BadNets]))


@pytest.mark.parametrize(
    ("selection", "count"),
    [
        ({"seeds": "1"}, 1),
        ({"seeds": range(2)}, len(CELLS)),
        ({"profile": "paper"}, 1),
        ({"recipes": "paper"}, 1),
        ({"evaluate": "validation"}, 1),
        ({"datasets": "cifar10"}, 1),
        ({"reference": "200"}, len(CELLS) - 1),  # a control is given nothing
        ({"reference": "5%"}, len(CELLS) - 1),
        ({"reference": "10%"}, 3),
        ({"suspects_purity": 0.5}, 1),
        ({"suspects_classes": 1}, 1),
        ({"attacks": "badnets", "defenses": "tac"}, 1),
    ],
)
def test_every_option_restricts(selection: dict[str, Any], count: int) -> None:
    if "suspects_purity" in selection or "suspects_classes" in selection:
        found = matching(Request.read(selection), [one for one in CELLS if one.suspects]).records
        assert len(found) == count
    else:
        assert len(labels(**selection)) == count


def test_victims_made_elsewhere_are_matched_by_what_their_files_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.imported.read.read", lambda path: SimpleNamespace(digest=path.stem))
    named = {"attack": "imported", "attack_label": "theirs"}
    theirs = cell("blend", "bna", attack_params={"content": "abc"}, recipe="imported").model_copy(update=named)
    records = [*CELLS, theirs]
    assert matching(Request.read({"victims": ["abc.pt"]}), records).records == [theirs]
    both = matching(Request.read({"victims": ["abc.pt"], "attacks": "sig"}), records).records
    assert [one.attack_label for one in both] == ["sig", "theirs"]
    with pytest.raises(RequestError, match=r"--victims def.pt: no record; there are badnets"):
        matching(Request.read({"victims": ["def.pt"]}), records)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"attacks": "badnet"}, "--attacks badnet: no record; there are badnets, blend, .*; did you mean 'badnets'"),
        ({"attacks": "sig", "defenses": "bna"}, "no record fits all of them together; there are attacks badnets"),
        ({"models": "resnet18"}, r"there are resnet18\[width=16\]; resnet18\* selects resnet18\[width=16\]"),
        ({"seeds": "7"}, "--seeds 7: no record; there are 0, 1"),
        ({"profile": "cpu"}, "--profile cpu: no record; there are paper, quick"),
        ({"reference": "0"}, "--reference 0: expected a number of images"),
        ({"attacks": "a["}, "cannot read"),
    ],
)
def test_nothing_selected_is_a_line_that_names_what_there_is(selection: dict[str, Any], expected: str) -> None:
    with pytest.raises(RequestError, match=expected) as caught:
        matching(Request.read(selection), CELLS)
    assert "\n" not in str(caught.value)


def test_a_part_of_a_selection_that_nothing_fits_is_said_and_the_rest_selected() -> None:
    matched = matching(Request(attacks="sig,wanet,blnd"), CELLS)
    assert [one.attack_label for one in matched.records] == ["sig"]
    assert matched.notes == ["--attacks wanet: no record", "--attacks blnd: no record"]
    matched = matching(Request(defenses="ft,tac[beta=5],bna"), CELLS)
    assert matched.notes == ["--defenses tac[beta=5]: no record; tac* selects tac, tac[beta=2.0], tac[paper]"]


def test_the_order_of_a_selection_is_kept() -> None:
    matched = matching(Request(attacks="sig,b*,none", defenses="bna,all"), CELLS)
    assert matched.given["attack"] == ["sig", "badnets", "blend", "blend[alpha=0.1569]", "none"]
    assert matched.given["defense"][0] == "bna"


def test_labels_that_no_selection_can_spell_are_matched_by_name_alone() -> None:
    odd = [cell("badnets", "mine").model_copy(update={"defense_label": "mine [] x"})]
    assert matching(Request(defenses="mine*"), odd).records == odd
    assert matching(Request(defenses="mine"), odd).records == odd
