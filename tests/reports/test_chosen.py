"""What is shown of results: order, display names, metrics, and rows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_frames import grid, one_attack

from bench.reports import Shown, WrongChoice, shown
from bench.reports.blocks import blocks
from bench.reports.figures import der_grid
from bench.reports.records import METRICS
from bench.reports.rows import rows
from bench.reports.tables.csv import csv


def test_without_a_choice_a_block_is_what_it_was() -> None:
    frame = grid(1)
    [plain], [chosen] = blocks(frame), blocks(frame, shown=shown())
    assert (chosen.attacks, chosen.groups, chosen.metrics) == (plain.attacks, plain.groups, tuple(METRICS))
    assert rows(chosen) == rows(plain)


def test_metrics_are_the_columns_in_their_order() -> None:
    [block] = blocks(grid(1), shown=shown(metrics="DER, acc,der", rows="defenses"))
    assert block.heads == ["DER", "ACC"]
    assert block.heads_before == ["ACC"]
    assert block.defenses_as_rows
    [all_of_them] = blocks(grid(1))
    for attack in block.attacks:
        for defense in block.defenses:
            expected = all_of_them.cell(attack, defense).stat("der").mean
            text = next(
                cell for row in rows(block) if row.attack == attack for cell in row.cells if cell.defense == defense
            )
            assert not text.done or np.isnan(expected) or text.figures[0] == f"{100 * expected:.1f}"


def test_given_is_the_order_of_the_selections_within_equal_knowledge() -> None:
    labels = {"attack": ["wanet", "sig"], "defense": ["fire", "tac[beta=1.0]", "fine_pruning"]}
    [block] = blocks(grid(1), shown=shown(order="given", given=labels, rename="sig=SIG"))
    assert block.attacks == ["none", "wanet", "SIG", "badnets[poisoning_rate=0.05]", "blend"]
    assert [group.defenses for group in block.groups] == [["tac[beta=1.0]", "fine_pruning", "bna"], ["fire"]]


def test_der_puts_the_best_defense_and_the_hardest_attack_first() -> None:
    [block] = blocks(grid(1), shown=shown(order="der"))
    [group] = [one for one in block.groups if len(one.defenses) > 1]
    ders = {name: [block.cell(row, name).stat("der").mean for row in block.attacks] for name in group.defenses}
    places = {name: (np.isnan(own).sum(), -np.nanmean(own)) for name, own in ders.items()}
    assert group.defenses == sorted(places, key=places.__getitem__)
    assert block.attacks[0] == "none"
    of_attack = [
        np.nanmean([block.cell(row, name).stat("der").mean for name in block.rivals]) for row in block.attacks[1:]
    ]
    assert of_attack == sorted(of_attack)


def test_a_defense_without_a_der_for_some_attacks_comes_after_those_with_all() -> None:
    frame = grid(1)
    frame = frame[(frame["status"] == "done") & ~frame["defense"].isin(["fine_pruning", "fire"])]
    frame = frame.assign(der=frame["der"].mask((frame["defense"] == "bna") & frame["der"].notna(), 1.0))
    [whole] = blocks(frame, shown=shown(order="der"))
    [part] = blocks(frame[(frame["attack"] != "blend") | (frame["defense"] != "bna")], shown=shown(order="der"))
    assert whole.defenses == part.defenses[::-1] == ["bna", "tac[beta=1.0]"]
    for block in (whole, part):
        drawn = der_grid.grid(block, 400.0)
        assert drawn
        assert [name for _, names in drawn.groups for name in names] == block.defenses


def test_a_name_is_for_all_variants_of_a_plugin_and_a_label_for_one() -> None:
    frame = grid(1)
    [block] = blocks(frame, shown=shown(rename=["badnets=BadNets,sig=SIG", "tac[beta=1.0]=Ours, mnist5k=MNIST"]))
    assert block.attacks == ["none", "BadNets[poisoning_rate=0.05]", "SIG", "blend", "wanet"] or set(block.attacks) == {
        "none", "BadNets[poisoning_rate=0.05]", "SIG", "blend", "wanet"}  # fmt: skip
    assert "Ours" in block.defenses
    assert block.title.startswith("MNIST ")
    assert ",Ours," in csv([block])
    assert frame.equals(grid(1))


def test_a_display_name_leaves_every_figure_as_it_is() -> None:
    [plain] = blocks(grid(3))
    [block] = blocks(grid(3), shown=shown(rename={"bna": "Zeta", "sig": "Alpha"}))
    for row in rows(plain):
        other = next(one for one in rows(block) if one.attack == row.attack.replace("sig", "Alpha"))
        own = {cell.defense: cell.figures for cell in other.cells}
        assert {cell.defense and cell.defense.replace("bna", "Zeta"): cell.figures for cell in row.cells} == own


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"metrics": "acc,asx"}, "metrics asx: expected some of acc, acc_target, asr, ra, der; did you mean 'asr'?"),
        ({"metrics": ""}, "metrics : expected some of"),
        ({"order": "dre"}, "order dre: expected one of name, given, der; did you mean 'der'?"),
        ({"order": "given"}, "order given: expected a selection"),
        ({"rows": "defences"}, "rows defences: expected one of attacks, defenses; did you mean 'defenses'?"),
        ({"rename": "tac"}, "rename tac: expected NAME=DISPLAY"),
        ({"rename": "bna=A,bna=B"}, "'bna' is given two names|bna is given two names"),
        ({"rename": "bna="}, "rename bna=: expected a display name of 1 to 100"),
        ({"rename": {"bna": "x\ny"}}, "expected a display name"),
        ({"rename": {"bna": "x (oracle)"}}, "expected a name without"),
        ({"rename": "bnaa=A"}, "rename bnaa=A: expected the name of an attack.*did you mean 'bna'?"),
        ({"rename": "bna=X,fire=X"}, "would have the same name"),
        ({"rename": "bna=fire"}, "would have the same name"),
        ({"rename": "none=Benign,sig=Benign"}, "would have the same name"),
    ],
)
def test_what_cannot_be_shown_is_one_line(words: dict[str, object], expected: str) -> None:
    with pytest.raises(WrongChoice, match=expected) as caught:
        blocks(grid(1), shown=shown(**words))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_the_undefended_network_keeps_its_place_under_any_name() -> None:
    [block] = blocks(grid(1), shown=shown(rename="none=Benign"))
    assert block.attacks[0] == "Benign"
    assert block.done_records("sig", "none") is not None
    assert block.row_names[-1] == "Average"


@settings(max_examples=15)
@given(st.dictionaries(st.sampled_from(["a", "b", "blend"]), st.text(max_size=20), max_size=3))
def test_no_display_name_puts_two_things_into_one_place(rename: dict[str, str]) -> None:
    frame = one_attack(a=0.5, b=0.9)
    try:
        [block] = blocks(frame, shown=shown(rename=rename))
    except WrongChoice:
        return
    assert len(block.defenses) == 2
    assert sorted(block.cell(block.attacks[0], name).stat("der").mean for name in block.defenses) == [0.5, 0.9]
    assert all(text.isprintable() for text in [*block.defenses, *block.attacks])


def test_a_frame_without_labels_is_renamed_too() -> None:
    frame = pd.DataFrame({"attack": ["sig"], "defense": ["bna"], "acc": [0.5]})
    [block] = blocks(frame, shown=Shown(rename={"bna": "Ours"}))
    assert block.defenses == ["Ours"]
