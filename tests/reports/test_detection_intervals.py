"""The intervals of figures beside the main table: against scipy's, and by how often those of AUROC cover."""

import numpy as np
import pandas as pd
import pytest
from report_frames import record
from scipy import stats

from bench.reports.blocks import blocks
from bench.reports.format import UNDEFINED
from bench.reports.identification import identification_table
from bench.reports.side_table import SideTable
from bench.reports.uncertainty.detection_intervals import (
    attack_interval_table,
    detection_interval_table,
    hanley_mcneil,
)
from bench.reports.uncertainty.intervals import between_0_and_1

N_TEST, N_TRIGGERED = 1000, 900


def judged(**columns: list[float]) -> pd.DataFrame:
    """A guard of one attack, with a seed for each value of the columns."""
    seeds = len(next(iter(columns.values())))
    rows = [record("sig", "fire", seed, n_test=N_TEST, n_triggered=N_TRIGGERED) for seed in range(seeds)]
    return pd.DataFrame(rows).assign(**columns)


def line(table: SideTable) -> dict[str, str]:
    return dict(zip(table.heads, table.lines[0], strict=True))


def wilson(hits: int, size: int) -> str:
    low, high = stats.binomtest(hits, size).proportion_ci(method="wilson")
    return f"{100 * low:.1f}–{100 * high:.1f}"


def test_with_one_seed_rates_have_wilson_s_intervals_of_the_images_that_they_are_of() -> None:
    own = {"tpr": 0.5, "fpr": 0.02, "tpr_assigned": 0.5, "fpr_assigned": 0.5, "auroc": 1.0}
    own |= {
        "asr_before": 0.8,
        "acc_target_before": 0.9,
        "base_rate": 0.01,
        "average_precision": 0.9,
        "tpr_at_1_fpr": 0.8,
    }
    frame = judged(**{name: [value] for name, value in own.items()})
    found = line(detection_interval_table(blocks(frame)[0]))
    assert found["TPR"] == wilson(450, N_TRIGGERED)
    assert found["FPR"] == wilson(20, N_TEST)
    assert found["TPR→t"] == wilson(360, 720)  # of the 720 that it takes for the target
    assert found["FPR→t"] == wilson_of(0.5, 99)  # 90 of the target class and 9 others
    assert found["AUROC"] == wilson(N_TRIGGERED, N_TRIGGERED)
    assert found["AP"] == found["TPR at 1 % FPR"] == UNDEFINED
    elsewhere = line(detection_interval_table(blocks(frame.assign(recipe="imported"))[0]))
    assert elsewhere["FPR→t"] == UNDEFINED
    assert elsewhere["FPR"] == found["FPR"]


def wilson_of(share: float, size: int) -> str:
    low, high = between_0_and_1(
        np.array([share]), np.array([stats.norm.isf(0.025) * (share * (1 - share) / size) ** 0.5])
    )
    return f"{100 * low[0]:.1f}–{100 * high[0]:.1f}"


def test_over_several_seeds_every_figure_has_the_interval_of_their_spread() -> None:
    values = [0.90, 0.92, 0.97]
    names = ["auroc", "average_precision", "tpr_at_1_fpr", "tpr", "fpr", "tpr_assigned", "fpr_assigned"]
    found = line(detection_interval_table(blocks(judged(**dict.fromkeys(names, values)))[0]))
    half = stats.t.isf(0.025, 2) * stats.sem(values)
    low, high = (float(end[0]) for end in between_0_and_1(np.array([np.mean(values)]), np.array([half])))
    assert set(list(found.values())[2:]) == {f"{100 * low:.1f}–{100 * high:.1f}"}


@pytest.mark.parametrize(("apart", "most"), [(0.5, 0.97), (1.5, 0.975), (2.5, 0.995)])
def test_the_interval_of_auroc_covers_and_is_wider_than_it_must_be_where_auroc_is_high(
    apart: float, most: float
) -> None:
    rng, repeats = np.random.default_rng(0), 1500
    scores = rng.normal(size=(repeats, 200)) + apart * (np.arange(200) >= 120)
    ranks = stats.rankdata(scores, axis=1)[:, 120:].sum(axis=1)
    area = (ranks - 80 * 81 / 2) / (80 * 120)
    sizes = np.full(repeats, 120.0), np.full(repeats, 80.0)
    low, high = between_0_and_1(area, stats.norm.isf(0.025) * hanley_mcneil(area, *sizes))
    truth = stats.norm.cdf(apart / 2**0.5)
    assert 0.93 < np.mean((low <= truth) & (truth <= high)) < most


def test_base_rates_and_target_classes_named_have_intervals() -> None:
    frame = judged(base_rate=[0.01]).assign(asr_benign=0.02, identified="right")
    [block] = blocks(frame)
    found = line(attack_interval_table(block))
    assert (found["base rate"], found["ASR benign"]) == (wilson(9, N_TRIGGERED), wilson(18, N_TRIGGERED))
    named = {line[0]: line[1] for line in identification_table(block).lines}
    low, high = stats.binomtest(1, 1).proportion_ci(method="wilson")
    assert named["right: interval, in %"] == f"{100 * low:.0f}–{100 * high:.0f}"


def test_acc_of_the_target_class_has_no_interval_where_records_do_not_tell_of_how_many_images() -> None:
    frame = judged(acc_target=[0.9], acc=[0.9])
    own, elsewhere = (blocks(one)[0].cells["sig", "fire"] for one in (frame, frame.assign(recipe="imported")))
    low, high = stats.binomtest(90, 100).proportion_ci(method="wilson")
    assert (own.stat("acc_target").low, own.stat("acc_target").high) == pytest.approx((low, high))
    assert np.isnan(elsewhere.stat("acc_target").low)
    some = frame.assign(attack="wanet", attack_label="wanet", n_triggered=90)
    [block] = blocks(pd.concat([frame, some]))  # on the same test images, with the same target
    assert block.cells["wanet", "fire"].stat("acc_target") == own.stat("acc_target")
    assert elsewhere.stat("acc") == own.stat("acc")
