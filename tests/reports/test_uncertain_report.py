"""A report that is given the outcomes of the test images."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_frames import record

from bench.records.outcomes import MASKS, Outcomes
from bench.reports import shown, write_report
from bench.reports.blocks import blocks
from bench.reports.uncertainty.told import how_made


@pytest.mark.parametrize("attacks", [("sig",), ("sig", "wanet")])
@pytest.mark.parametrize("known", [True, False])
def test_what_is_said_of_intervals_names_only_what_is_shown(attacks: tuple[str, ...], known: bool) -> None:
    frame = pd.DataFrame([record(attack, name, 0) for attack, name in product(attacks, ("none", "bna"))])
    frame = frame.assign(n_triggered=180, n_test=200)
    outcomes = Outcomes.of({name: np.arange(200) % 3 > 0 for name in MASKS})
    given = (lambda key, victim: outcomes) if known else None
    for metrics, shows_der in (("acc,asr", False), ("acc,asr,der", True)):
        [block] = blocks(frame, outcomes=given, shown=shown(metrics=metrics))
        told = " ".join(how_made(block))
        assert ("DER" in told) == shows_der
        assert ("averages" in told.lower()) == (len(attacks) > 1)


@pytest.mark.usefixtures("no_figures")
def test_outcomes_and_the_chosen_defense_reach_every_table(tmp_path: Path) -> None:
    rows = [record(attack, name, 0) for attack, name in product(("sig", "wanet"), ("none", "bna", "fine_pruning"))]
    frame = pd.DataFrame(rows).assign(n_triggered=180, n_test=200)
    asked: list[tuple[str, str]] = []

    def outcomes(key: str, victim_key: str) -> Outcomes:
        asked.append((key, victim_key))
        draw = np.random.default_rng(len(asked))
        return Outcomes.of({name: draw.random(200) < 0.9 for name in MASKS})

    write_report(frame, tmp_path, outcomes=outcomes, compare_with="bna")
    assert sorted(asked) == sorted(zip(frame["key"], frame["victim_key"], strict=True))
    table = pd.read_csv(tmp_path / "table.csv").set_index(["attack", "defense"])
    own = table.loc["sig", "bna"]
    assert own["der_low"] < own["der_mean"] < own["der_high"]
    text = (tmp_path / "table.md").read_text()
    assert text.count("| fine\\_pruning | bna ") + text.count("| bna | fine\\_pruning ") >= 1
    assert "Holm" in text
