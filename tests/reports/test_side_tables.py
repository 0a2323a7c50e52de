"""The tables beside the results."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from report_frames import one_attack, small

from bench.reports.blocks import blocks
from bench.reports.format import UNDEFINED
from bench.reports.side_table import SideTable
from bench.reports.side_tables import (
    attack_table,
    cost_table,
    detection_table,
    reconstruction_table,
    side_tables,
)


def by_name(table: SideTable) -> dict[str, dict[str, str]]:
    """The lines of a table, under their first column, as heads and texts."""
    return {line[0]: dict(zip(table.heads, line, strict=True)) for line in table.lines}


def test_how_well_each_trigger_hides_and_what_it_poisons() -> None:
    frame = small().assign(psnr=31.25, ssim=0.9876, l0=9.0, l2=1.234, linf=0.5, n_poisoned=400)
    frame["controls"] = np.where(frame["attack"] == "sig", "training", "data")
    frame.loc[frame["attack"] == "sig", "n_poisoned"] = 0
    lines = by_name(attack_table(blocks(frame)[0]))
    hiding = {"PSNR (dB)": "31.2", "SSIM": "0.988", "L0": "9", "L2": "1.23", "L∞": "0.500"}
    assert lines["wanet"].items() >= {"poisoned": "10 %", **hiding}.items()
    assert lines["sig"].items() >= {"poisoned": "in training", **hiding}.items()


@pytest.mark.parametrize(("poisoned", "of"), [(125, 1000), (1, 1), (1, 400), (9999, 10_000), (1, 50_000)])
def test_the_poisoned_share_is_a_number_that_is_near_what_it_was(poisoned: int, of: int) -> None:
    frame = one_attack(a=0.9).assign(n_poisoned=poisoned, n_train=of)
    share, sign = by_name(attack_table(blocks(frame)[0]))["blend"]["poisoned"].split()
    assert sign == "%"
    assert re.fullmatch(r"[\d.]+", share)
    assert float(share) == pytest.approx(100 * poisoned / of, rel=0.005)


@pytest.mark.parametrize(
    ("controls", "shown"), [("data", "0 %"), ("training", "in training"), ("", "0 %, or in training")]
)
def test_only_an_attack_that_controls_training_poisons_in_training(controls: str, shown: str) -> None:
    frame = one_attack(a=0.9).assign(n_poisoned=0, controls=controls)
    assert by_name(attack_table(blocks(frame)[0]))["blend"]["poisoned"] == shown


def test_what_each_defense_is_given_and_costs() -> None:
    frame = small().assign(ms_per_sample=0.7, ms_added=0.5)
    lines = by_name(cost_table(blocks(frame)[0]))
    assert list(lines) == ["bna", "fire"]
    expected = {"given to the defender": "200 clean", "ms a sample": "0.7", "ms added": "0.5", "peak MB": "512"}
    assert lines["bna"].items() >= expected.items()
    assert lines["fire"]["given to the defender"] == "200 clean + 64 suspected"


@pytest.mark.parametrize(
    ("added", "spread", "shown"),
    [
        (0.118, 0.02, "0.118"),
        (-0.118, 0.02, "-0.118"),
        (0.02, 0.118, UNDEFINED),
        (-0.02, 0.118, UNDEFINED),
        (0.0, 0.0, UNDEFINED),
        (0.118, np.nan, UNDEFINED),
        (np.nan, np.nan, UNDEFINED),
    ],
)
def test_milliseconds_added_are_shown_where_they_are_more_than_they_vary(
    added: float, spread: float, shown: str
) -> None:
    frame = one_attack(a=0.9).assign(
        ms_added=added, ms_added_spread=spread, ms_per_sample=0.9, ms_per_sample_before=0.1
    )
    assert by_name(cost_table(blocks(frame)[0]))["a"]["ms added"] == shown
    older = frame.drop(columns=["ms_added", "ms_added_spread"])
    assert by_name(cost_table(blocks(older)[0]))["a"]["ms added"] == UNDEFINED


def test_the_spread_of_milliseconds_added_is_that_of_a_cell() -> None:
    frame = pd.concat([one_attack(a=0.9).assign(seed=seed, ms_added=0.1, ms_added_spread=0.15) for seed in range(100)])
    assert by_name(cost_table(blocks(frame)[0]))["a"]["ms added"] == UNDEFINED


def test_the_base_rate_stands_beside_the_asr_once_a_victim() -> None:
    frame = pd.concat([one_attack(a=0.9).assign(seed=seed, base_rate=seed / 100) for seed in (1, 2)])
    table = attack_table(blocks(frame)[0])
    assert table.heads[table.heads.index("ASR") + 1] == "base rate"
    assert by_name(table)["blend"]["base rate"] == "1.5±0.7"
    assert by_name(attack_table(blocks(frame.drop(columns="base_rate"))[0]))["blend"]["base rate"] == UNDEFINED
    assert by_name(table)["blend"]["ASR benign"] == UNDEFINED
    known = attack_table(blocks(frame.assign(asr_benign=0.25))[0])
    assert by_name(known)["blend"]["ASR benign"].startswith("25.0")


def test_detection_has_a_line_for_each_defense_that_judges_its_inputs_with_both_denominators() -> None:
    names = ["auroc", "tpr_at_1_fpr", "tpr", "fpr", "tpr_assigned", "fpr_assigned"]
    frame = small().assign(**dict.fromkeys(names, np.nan))
    frame.loc[(frame["defense"] == "bna") & (frame["attack"] == "wanet"), names] = [0.987, 0.7, 0.9, 0.051, 0.95, 0.5]
    table = detection_table(blocks(frame)[0])
    assert dict(zip(table.heads, table.lines[0], strict=True)) == {
        "attack": "wanet", "defense": "bna", "AUROC": "98.7", "AP": "–", "TPR at 1 % FPR": "70.0", "TPR": "90.0",
        "FPR": "5.1", "TPR→t": "95.0", "FPR→t": "50.0",
    }  # fmt: skip
    assert len(table.lines) == 1
    assert "→t: only of those that the undefended network assigns to a target class" in table.note


def test_reconstructed_shifts_are_averaged_over_seeds_by_class_and_those_of_oracles_left_out() -> None:
    def noted(cosine: float) -> str:
        truth = {label: {"cosine": cosine, "correlation": 0.5, "length": 0.25} for label in ("10", "3")}
        return json.dumps({"shift_truth": truth})

    frame = pd.concat([one_attack(a=0.9).assign(seed=seed, diagnostics=noted(0.1 + seed / 10)) for seed in (0, 1)])
    [block], [oracle] = blocks(frame), blocks(frame.assign(oracle=True))
    assert reconstruction_table(block).lines == [
        ["blend", "a", label, "2", "0.150", "0.500", "0.250"] for label in ("3", "10")
    ]
    assert reconstruction_table(oracle).lines == []


def test_tables_without_a_line_are_left_out() -> None:
    [block] = blocks(one_attack())
    titles = ["95 % intervals, in %", "The attacks, before any defense"]
    assert [table.title for table in side_tables(block)] == titles
