"""Sweeps: which results are one line, over which values, and what is said where there are none."""

import json
from typing import Any

import pandas as pd
import pytest
from sweep_frames import swept, trial

from bench.reports.blocks import blocks
from bench.reports.sweeps import Sweep, UnknownFigure, sweeps


def points(sweep: Sweep) -> dict[str, dict[str, list[Any]]]:
    """By heading and line the values in order."""
    return {
        heading: {line.label: [value for value in sweep.points if value in line.rows] for line in lines}
        for heading, lines in sweep.lines.items()
    }


def test_a_line_has_everything_else_equal_and_every_attack_is_apart() -> None:
    told = [{"beta": b, "objective": o} for b in (0.5, 2, 10) for o in ("suppress", "restore")]
    rows = [trial(attack, "tac", seed, told=one) for attack in ("sig", "wanet") for one in told for seed in (0, 1)]
    rows += [trial("sig", "tac", told={"beta": 4, "objective": "suppress", "epochs": 9})]  # alone: no line
    [sweep] = swept(rows, "sweep:beta")
    lines = {"tac[objective=suppress]": [0.5, 2, 10], "tac[objective=restore]": [0.5, 2, 10]}
    assert points(sweep) == {"sig": lines, "wanet": lines}
    assert sweep.numeric
    first = next(line for line in sweep.lines["sig"] if "suppress" in line.label)
    expected = [row["acc"] for row in rows if row["key"].startswith("sig-tac[beta=2,objective=suppress]")]
    assert first.rows[2.0]["acc"].tolist() == expected


def test_lines_that_requests_did_not_spell_are_told_apart_by_what_differs() -> None:
    told = [{"beta": b, "epochs": e} for b in (1, 2) for e in (5, 20)]
    rows = [trial("sig", "tac", told=one, defense_label=f"tac[beta={one['beta']}]") for one in told]
    # under one label, only the newest parameters count
    assert points(swept(rows, "sweep:beta")[0]) == {"sig": {"tac": [1, 2]}}
    labels = [f"tac[{'a' * (one['epochs'] == 5)},beta={one['beta']}]".replace("[,", "[") for one in told]
    for row, label in zip(rows, labels, strict=True):
        row["defense_label"] = label
    assert points(swept(rows, "sweep:beta")[0]) == {"sig": {"tac[a]": [1, 2], "tac": [1, 2]}}


def test_defenses_that_share_a_parameter_are_lines_unless_one_is_named() -> None:
    rows = [trial("sig", name, told={"rate": rate}) for name in ("ft", "nad") for rate in (1, 2)]
    assert points(swept(rows, "sweep:rate")[0]) == {"sig": {"ft": [1, 2], "nad": [1, 2]}}
    assert points(swept(rows, "sweep:nad.rate")[0]) == {"sig": {"nad": [1, 2]}}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["tv", "kl"], ["kl", "tv"]),
        ([True, False], ["false", "true"]),
        ([10, None, 2], ["2", "10", "none"]),
        ([["a", "b"], ["a"]], ["a", "a+b"]),
    ],
)
def test_what_is_no_number_makes_categories(values: list[Any], expected: list[str]) -> None:
    rows = [trial("sig", "bna", told={"x": v}, defense_label=f"bna[x={n}]") for n, v in enumerate(values)]
    [sweep] = swept(rows, "sweep:x")
    assert sweep.points == expected
    assert not sweep.numeric


def test_a_class_is_no_quantity() -> None:
    rows = [trial("sig", "tac", told={"poisoned_class": label}) for label in (0, 5, 3)]
    assert swept(rows, "sweep:poisoned_class")[0].points == ["0", "3", "5"]


def test_a_value_that_is_in_no_record_is_read_from_the_label() -> None:
    rows = [trial("sig", "ft", told={"decay": value}) for value in (0, 0.1, 0.5)]
    rows[1]["defense_params"] = "{}"  # the default of a parameter that was added later
    assert swept(rows, "sweep:decay")[0].points == [0, 0.1, 0.5]


def test_an_attacks_parameter_is_swept_for_every_defense() -> None:
    rows = [
        trial("sig", defense, attack_label=f"sig[rate={rate}]", attack_params=json.dumps({"rate": rate, "x": 1}),
              victim_key=f"v{rate}")
        for defense in ("none", "ft", "bna") for rate in (0.01, 0.1)
    ]  # fmt: skip
    assert points(swept(rows, "sweep:rate")[0]) == {"sig": {"bna": [0.01, 0.1], "ft": [0.01, 0.1]}}


def test_what_a_defender_is_given_is_swept() -> None:
    rows = [trial("sig", "ft", told={"x": 1}, reference=count, knowledge=f"{count} clean") for count in (40, 200)]
    assert points(swept(rows, "sweep:reference")[0]) == {"sig": {"ft[x=1]": [40, 200]}}


def test_cells_that_are_not_done_are_no_points() -> None:
    rows = [trial("sig", "tac", told={"beta": b}) for b in (1, 2)] + [
        trial("sig", "tac", told={"beta": 3}, status="failed")
    ]
    assert points(swept(rows, "sweep:beta")[0]) == {"sig": {"tac": [1, 2]}}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("sweep:alpha", ["sweep:alpha", "sweep:ft.rate", "sweep:sig.rate", "sweep:tac.beta"]),
        ("sweep:ft.beta", ["sweep:ft.beta", "sweep:tac.beta"]),
        ("sweep:rate", ["sweep:ft.rate or sweep:sig.rate"]),
        ("acc_asr", ["acc_asr", "expected sweep:"]),
        ("sweep:", ["sweep:tac.beta"]),
        ("sweep:\x1b[31m\n", ["sweep:tac.beta"]),
    ],
)
def test_a_sweep_of_which_there_is_nothing_names_those_that_there_are(asked: str, words: list[str]) -> None:
    rows = [trial("sig", "tac", told={"beta": b, "x": 1}) for b in (1, 2)]
    rows += [trial("sig", "ft", told={"rate": r}) for r in (1, 2)]
    rows += [trial("sig", "bna", attack_label=f"sig[rate={r}]", attack_params=f'{{"rate": {r}}}') for r in (1, 2)]
    with pytest.raises(UnknownFigure) as refused:
        swept(rows, asked)
    line = str(refused.value)
    assert all(word in line for word in words), line
    assert line.isprintable()


def test_where_nothing_varies_that_is_said() -> None:
    with pytest.raises(UnknownFigure, match="nor in anything else"):
        swept([trial("sig", "tac", told={"beta": 1})], "sweep:beta")


def test_a_block_where_it_does_not_vary_has_none() -> None:
    rows = [trial("sig", "tac", told={"beta": b}) for b in (1, 2)]
    rows += [trial("sig", "tac", told={"beta": 1}, dataset_label="gtsrb")]
    assert sorted(len(own) for own in sweeps(blocks(pd.DataFrame(rows)), ["sweep:beta"])) == [0, 1]
