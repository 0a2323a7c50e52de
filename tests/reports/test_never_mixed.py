"""Two sets of records that share every label but differ in what they are of: no figure is a mean over both."""

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
from report_frames import grid, one_attack

from bench.reports.blocks import AVERAGE, Block, blocks
from bench.reports.legend import legend
from bench.reports.records import MEANS, VALIDATION

EARLIER, LATER = "2026-01-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"
CODES = {"dataset": "d", "model": "m", "attack": "a", "defense": "f"}
KINDS = list(CODES)
DIFFERING: dict[str, dict[str, object]] = {
    **{f"{kind}'s parameters": {f"{kind}_params": '{"x":1}'} for kind in KINDS},
    **{f"{kind}'s name": {kind: "other"} for kind in KINDS},
    **{f"{kind}'s code": {"fingerprints": json.dumps(CODES | {kind: "z"})} for kind in KINDS},
    "values of a recipe": {"recipe_params": '{"epochs":2}'},
    "code that was not recorded": {"fingerprints": "{}"},
    "profile": {"profile": "paper"},
    "recipe": {"recipe": "paper[epochs=3]"},
    "what is given": {"knowledge": "50 clean"},
    "what is given, unknown": {"knowledge": ""},
    "references of an oracle": {"knowledge": "everything", "oracle": True, "reference": 50},
    "suspects of an oracle": {"knowledge": "everything", "oracle": True, "suspects": 3},
    "an oracle": {"oracle": True},
    "what is evaluated": {"evaluated_on": "validation"},
    "how suspects are drawn": {"suspects_purity": 1.0},
}
OWN = {"references of an oracle": {"knowledge": "everything", "oracle": True}}
OWN["how suspects are drawn"] = {"knowledge": "200 clean + 64 suspected", "suspects_purity": float("nan")}
OWN["values of a recipe"] = {"recipe_params": '{"epochs":1}'}
OWN["suspects of an oracle"] = OWN["references of an oracle"]


def both(what: str, *, seed: int, der: float) -> pd.DataFrame:
    """Records of a defense with DER 0.5, and with another seed others of the same labels, which differ in ``what``."""
    common = {"fingerprints": json.dumps(CODES), "finished": EARLIER, **OWN.get(what, {})}
    one = one_attack(a=0.5).assign(**common)
    other = one_attack(a=der).assign(**{**common, "finished": LATER, "seed": seed, **DIFFERING[what]})
    for kind in KINDS:
        other[f"{kind}_label"] = one[f"{kind}_label"]
    return pd.concat([one, other], ignore_index=True)


def ders(compared: list[Block]) -> set[float]:
    stats = [cell.stat("der").mean for block in compared for cell in block.cells.values()]
    return {round(mean, 6) for mean in stats if not np.isnan(mean)}


@pytest.mark.parametrize("what", DIFFERING)
@pytest.mark.parametrize("seed", [0, 1])
def test_no_cell_is_a_mean_over_both(what: str, seed: int) -> None:
    assert 0.9 in ders(blocks(both(what, seed=seed, der=0.9)))
    assert ders(blocks(both(what, seed=seed, der=0.9))) <= {0.5, 0.9, 0.99}


@pytest.mark.parametrize("what", DIFFERING)
def test_no_average_over_attacks_is_over_both(what: str) -> None:
    rows = []
    for number, attack in enumerate(["blend", "sig", "wanet", "badnets"]):
        half = both(what, seed=0, der=0.9)
        half = half[half["finished"] == (LATER if number % 2 else EARLIER)]
        rows.append(half.assign(attack=attack, attack_label=attack, victim_key=attack))
    compared = blocks(pd.concat(rows, ignore_index=True))
    own_kind = what.startswith("attack")  # each attack is a row of its own, whatever makes it
    averages = {
        round(block.cells[AVERAGE, name].stat("der").mean, 6)
        for block in compared
        for name in block.defenses
        if AVERAGE in block.row_names and name.startswith("a")
    }
    assert averages <= ({0.7} if own_kind else {0.5, 0.9})


@pytest.mark.parametrize("with_invalid", [False, True])
def test_a_row_with_one_seed_is_of_one_victim(with_invalid: bool) -> None:
    frame = one_attack(a=0.9, b=0.8).assign(victim_key="new", finished=LATER, acc_before=0.9)
    frame.loc[frame["defense"] == "b", ["victim_key", "finished", "acc_before"]] = ["old", EARLIER, 0.1]
    [block] = blocks(frame, with_invalid=with_invalid)
    assert block.cells["blend", "a"].status == "done"
    assert "b" not in block.defenses or block.cells["blend", "b"].status == "missing"
    assert block.before["blend"].stat("acc").mean == pytest.approx(0.9)
    [line] = [line for line in legend(block, best="*") if line.startswith("Left out")]
    assert "1 record of attack blend: another victim than the newest" in line


def test_a_cell_that_was_computed_again_on_a_newer_victim_is_left_out_with_a_line() -> None:
    old = one_attack(a=0.5).assign(victim_key="old", finished=EARLIER)
    new = one_attack(a=0.9).assign(victim_key="new", finished=LATER)
    [block] = blocks(pd.concat([old, new], ignore_index=True))
    assert block.cells["blend", "a"].stat("der").mean == 0.9
    [line] = [line for line in legend(block, best="*") if line.startswith("Left out")]
    assert "of attack blend: another victim than the newest" in line


def test_an_attack_that_is_called_like_the_average_is_none() -> None:
    frame = grid(1)
    expected = blocks(frame[frame["attack"] != "blend"])[0]
    frame.loc[frame["attack"] == "blend", ["attack", "attack_label"]] = AVERAGE
    [block] = blocks(frame)
    assert f"{AVERAGE} (attack)" in block.attacks
    assert block.row_names[-1] == AVERAGE
    for defense, metric in product(block.defenses, ("acc", "asr")):
        own = block.cells[f"{AVERAGE} (attack)", defense].stat(metric).mean
        others = [block.cells[attack, defense].stat(metric).mean for attack in expected.attacks if attack != "none"]
        assert block.cells[AVERAGE, defense].stat(metric).mean == pytest.approx(np.nanmean([own, *others]))


OTHER_DATA: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "test images": ({"n_test": 1000}, {"n_test": 2000}),
    "training images": ({"n_train": 4000}, {"n_train": 8000}),
    "names of classes": ({"class_names": '["a", "b"]'}, {"class_names": '["a", "c"]'}),
    "number of classes": ({"class_acc_before": "[0.5, 0.5]"}, {"class_acc_before": "[0.5, 0.5, 0.5]"}),
}


@pytest.mark.parametrize("what", OTHER_DATA)
@pytest.mark.parametrize("seed", [0, 1])
def test_records_of_other_data_under_the_same_names_are_left_out_with_a_line(what: str, seed: int) -> None:
    own, other = OTHER_DATA[what]
    old = one_attack(a=0.5).assign(finished=EARLIER, **own)
    new = one_attack(a=0.9).assign(finished=LATER, seed=seed, victim_key=f"victim-{seed}", **other)
    [block] = blocks(pd.concat([old, new], ignore_index=True))
    assert ders([block]) == {0.9}
    [line] = [line for line in legend(block, best="*") if line.startswith("Left out")]
    assert "of dataset mnist5k: other images or classes than the newest" in line


@pytest.mark.parametrize("what", OTHER_DATA)
def test_what_older_records_do_not_say_of_their_data_keeps_none_of_them_out(what: str) -> None:
    [column] = OTHER_DATA[what][0]
    old = one_attack(a=0.5).assign(finished=EARLIER)
    old[column] = 0 if column.startswith("n_") else "[]"
    new = one_attack(a=0.9).assign(finished=LATER, seed=1, **OTHER_DATA[what][1])
    [block] = blocks(pd.concat([old, new], ignore_index=True))
    assert block.left_out.empty
    assert block.cells["blend", "a"].stat("der").count == 2


def test_a_row_is_of_one_training_of_its_victim() -> None:
    frame = one_attack(a=0.9, b=0.8).assign(finished=LATER, acc_before=0.9, asr_before=1.0)
    frame.loc[frame["defense"] == "b", ["finished", "acc_before"]] = [EARLIER, 0.91]  # on another machine
    [block] = blocks(frame)
    assert block.before["blend"].stat("acc").mean == pytest.approx(0.9)
    [line] = [line for line in legend(block, best="*") if line.startswith("Left out")]
    assert "1 record of attack blend: another training of the same victim than the newest" in line
    assert ders([block]) == {0.9}


def test_of_several_commits_without_a_recorded_code_there_is_a_line() -> None:
    frame = grid(1).assign(fingerprints="{}")
    assert not [line for line in legend(blocks(frame)[0], best="*") if "by which code" in line]
    frame.loc[frame["defense"] == "bna", "commit"] = "fedcba9876543210"
    [line] = [line for line in legend(blocks(frame)[0], best="*") if "by which code" in line]
    assert line.endswith("they are of several commits: 0123abc, fedcba987654.")
    told = frame.assign(fingerprints=json.dumps(CODES))
    assert not [line for line in legend(blocks(told)[0], best="*") if "by which code" in line]


def test_records_that_do_not_say_the_values_of_their_recipe_stay_with_a_line() -> None:
    old = one_attack(a=0.5).assign(finished=EARLIER, recipe="quick")
    new = one_attack(a=0.9).assign(finished=LATER, recipe="quick", seed=1, victim_key="v", recipe_params='{"epochs":2}')
    [block] = blocks(pd.concat([old, new], ignore_index=True))
    assert block.cells["blend", "a"].stat("der").count == 2
    [line] = [line for line in legend(block, best="*") if "values of their recipe" in line]
    assert line == "2 records do not say the values of their recipe (quick); they are taken for the same."
    [alone] = blocks(old)
    assert not [line for line in legend(alone, best="*") if "values of their recipe" in line]


@pytest.mark.parametrize("status", ["failed", "timeout", "not-applicable", "done"])
@pytest.mark.parametrize("newer", ["first", "second"])
def test_what_is_not_shown_of_a_cell_is_counted_and_a_result_is_never_hidden(status: str, newer: str) -> None:
    first = one_attack(a=0.5).assign(finished=LATER if newer == "first" else EARLIER)
    second = one_attack(a=0.9).assign(finished=EARLIER if newer == "first" else LATER, key="another", status=status)
    both = pd.concat([first, second[second["defense"] == "a"]], ignore_index=True)
    [block] = blocks(both)
    expected = 0.9 if status == "done" and newer == "second" else 0.5
    assert (block.cells["blend", "a"].status, block.cells["blend", "a"].stat("der").mean) == ("done", expected)
    [line] = [line for line in legend(block, best="*") if line.startswith("Left out")]
    older = "older than another of the same cell"
    words = older if status == "done" else "without a result, and another of the same cell has one"
    assert f"1 record of defense a: {words}" in line
    assert len(block.left_out) + len(block.records) == len(both)


def by_heading(frame: pd.DataFrame) -> dict[str, Block]:
    return {str(block.records["dataset_label"].iloc[0]): block for block in blocks(frame)}


@pytest.mark.parametrize("finished", [EARLIER, LATER])
@pytest.mark.parametrize("label", ["mnist5k", f"mnist5k{MEANS}"])  # a data set may be called like the heading
@pytest.mark.parametrize("evaluated_on", ["test", "validation"])
def test_a_table_of_means_has_a_heading_of_its_own_beside_records(label: str, evaluated_on: str, finished: str) -> None:
    alike = {"evaluated_on": evaluated_on, **{f"{kind}_params": "{}" for kind in KINDS}}
    own = one_attack(a=0.5).assign(dataset_label=label, finished=LATER, **alike)
    table = one_attack(a=0.9, b=0.8).assign(finished=finished, means_over=3, victim_key="of-table", **alike)
    tables = [table.assign(dataset_label=name) for name in sorted({"mnist5k", label})]
    found = by_heading(pd.concat([own, *tables], ignore_index=True))
    of_means = [block for block in found.values() if (block.records["means_over"] > 0).all()]
    [of_records] = [block for block in found.values() if (block.records["means_over"] == 0).all()]
    assert len(of_means) == len(tables) == len(found) - 1
    assert not any(len(block.left_out) for block in found.values())
    assert (of_records.defenses, ders([of_records])) == (["a"], {0.5})
    assert [ders([block]) for block in of_means] == [{0.9, 0.8}] * len(tables)
    assert {heading.endswith(VALIDATION) for heading in found} == {evaluated_on == "validation"}


def test_a_table_of_means_alone_and_records_alone_keep_their_heading() -> None:
    own = one_attack(a=0.5)
    elsewhere = own.assign(dataset_label="cifar10", dataset="cifar10")
    assert set(by_heading(own)) == set(by_heading(own.assign(means_over=3))) == {"mnist5k"}
    assert set(by_heading(pd.concat([own.assign(means_over=3), elsewhere]))) == {"mnist5k", "cifar10"}
    assert set(by_heading(pd.concat([own.assign(means_over=3), own]))) == {"mnist5k", f"mnist5k{MEANS}"}
