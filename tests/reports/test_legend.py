"""What is said beside the tables."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from report_frames import grid, one_attack

from bench.reports.blocks import blocks
from bench.reports.legend import legend, origins, why_invalid
from bench.reports.records import HEADS, METRICS
from bench.reports.sections import section
from bench.reports.tables.latex import latex_files
from bench.reports.tables.markdown import BEST, SECOND, markdown


def said(frame: pd.DataFrame, metrics: tuple[str, ...] = tuple(METRICS)) -> str:
    """The legend of a frame of one block."""
    [block] = blocks(frame)
    return " ".join(legend(replace(block, metrics=metrics), best="Bold"))


def test_a_defense_that_costs_a_benign_model_much_is_named() -> None:
    frame = grid(1)
    benign = frame["attack"] == "none"
    frame.loc[benign, ["acc", "acc_before"]] = 0.97
    frame.loc[benign & (frame["defense"] == "bna"), "acc"] = 0.939
    frame.loc[benign & (frame["defense"] == "fire"), "acc"] = 0.945
    assert "Costs a benign model more than 3 points of ACC: bna (3.1)." in said(frame)
    frame.loc[benign, "acc"] = 0.96
    assert "Costs a benign" not in said(frame)


def test_classes_have_their_names_where_records_know_them() -> None:
    frame = one_attack(a=0.9).assign(targets="[1]")
    assert "Classes:" not in said(frame)
    assert "Classes: 0 cat, 1 dog." in said(frame.assign(class_names='["cat", "dog"]'))
    many = json.dumps([f"kind{label}\u202e" for label in range(50)])
    noted = {"class_statistic": {"name": "m", "values": [1.0] * 50, "flagged": [7]}}
    told = said(frame.assign(class_names=many, diagnostics=json.dumps(noted)))
    assert "Classes: 1 kind1\\u202e, 7 kind7\\u202e." in told


def test_an_oracle_is_explained() -> None:
    frame = one_attack(a=0.5, b=0.93)
    assert "it knows what no defender knows" not in said(frame)
    assert "it knows what no defender knows" in said(frame.assign(oracle=frame["defense"] == "b"))


def test_the_legend_says_which_attacks_the_average_leaves_out() -> None:
    frame = grid(1)
    frame = frame[frame["status"] == "done"]
    nowhere = frame[frame["attack"] == "sig"].assign(attack="ctrl", attack_label="ctrl", status="not-applicable")
    metrics = ["acc", "asr", "ra", "der", "acc_before", "asr_before", "ra_before"]
    nowhere = nowhere.assign(**dict.fromkeys(metrics, np.nan))
    expected = "Average: over the attacks other than none and those not applicable"
    assert expected in said(pd.concat([frame, nowhere]))
    assert expected not in said(frame)


def test_the_seeds_of_an_attack_that_did_not_work_stand_with_each_reason() -> None:
    frame = pd.concat([one_attack(a=0.9).assign(seed=seed) for seed in range(4)], ignore_index=True)
    frame["valid"] = frame["seed"] == 1
    frame["doubt"] = frame["seed"].map({0: "weak", 2: "ruined", 3: "weak"})
    [block] = blocks(frame)
    assert why_invalid(block) == ["blend: weak (seed 0, 3), ruined (seed 2)"]
    [alone] = blocks(frame[frame["seed"] == 0])
    assert why_invalid(alone) == ["blend: weak"]


def test_origins_are_every_distinct_value_in_plain_words() -> None:
    first = one_attack(a=0.9).assign(device="cuda", threads=4.0, dirty=True, finished="2026-01-02")
    second = one_attack(a=0.9).assign(seed=1, threads=np.nan, commit=None)
    [block] = blocks(pd.concat([first, second]))
    facts = origins(block)
    assert facts["Device"] == "cpu; cuda"
    assert facts["Threads"] == "4"
    assert facts["Uncommitted changes"] == "no; yes"
    assert facts["Commit"] == "0123abc"
    assert facts["Packages"] == "numpy 2.4.6, torch 2.11.0"
    assert facts["Ran"] == "2026-01-01T00:00:00+00:00 to 2026-01-02"
    assert "Compiled" not in facts


@pytest.mark.parametrize("metrics", [("acc", "asr"), ("ra",), ("asr", "der"), ("acc_target",), tuple(METRICS)])
def test_the_legend_explains_the_metrics_and_marks_that_are_shown_and_no_others(metrics: tuple[str, ...]) -> None:
    frame = grid(3).assign(oracle=lambda frame: frame["defense"] == "fire")
    text = re.sub(r"Costs a benign .*? of ACC|DER = .*?/ 2", lambda found: found[0][:3], said(frame, metrics))
    heads = set(re.findall(r"ACC\(t\)|\b(?:ACC|ASR|DER|RA)\b", text))
    assert heads - {"Cos"} == {HEADS[metric] for metric in metrics}
    for word in ("Bold", "Underlined", "best"):
        assert (word in text) == ("der" in metrics)


@pytest.mark.parametrize(("der_of_c", "there"), [(0.7, True), (0.9, False)])
def test_how_the_second_best_is_marked_is_said_where_one_is(der_of_c: float, there: bool) -> None:
    [block] = blocks(one_attack(b=0.9, c=der_of_c))
    own = [section(block)]
    assert ("Underlined: second best" in " ".join(legend(block, best="Bold"))) == there
    text = markdown(own)
    assert ("Italics: second best" in text) == (f" {SECOND}70.0{SECOND} |" in text) == there
    assert f"{BEST}90.0{BEST} |" in text
    main = latex_files(own)["tables/main.tex"]
    assert ("Underlined: second best" in main) == (r"\underline" in main) == there
