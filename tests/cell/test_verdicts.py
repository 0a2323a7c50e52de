"""The † while a run goes on: said once of every victim, as soon as it can be told, and as the table will say it."""

import json

import pytest
from scripted import four_cells

from bench.cell.verdicts import Verdicts
from bench.plan.plan import Plan
from bench.store.store import Store

WORKS = {
    **{"acc_before": 0.95, "asr_before": 0.99, "ra_before": 0.01, "acc_target_before": 0.9, "n_triggered": 90},
    **{"base_rate": 0.01, "majority": 0.1, "class_acc_before": json.dumps([0.95] * 10), "targets": "[0]"},
}
BENIGN = {**WORKS, "asr_before": float("nan"), "n_triggered": 0, "targets": "[]"}
WEAK = {**WORKS, "asr_before": 0.3}
RUINED = {**WORKS, "acc_before": 0.6}


@pytest.fixture(scope="module")
def plan() -> Plan:
    return four_cells("none,badnets")


@pytest.fixture
def verdicts(plan, tmp_path) -> Verdicts:
    return Verdicts(plan.natural, plan.victims, Store(tmp_path / "store"))


def test_an_attack_that_did_not_work_is_named_once_with_the_reason(plan, verdicts):
    benign, attacked = plan.victims
    assert verdicts.learn(attacked, WEAK) == []  # its benign counterpart is still to come
    [line] = verdicts.learn(benign, BENIGN)
    assert line.startswith(f"† {attacked.title}: the attack did not work: ASR 30.0% is below")
    assert verdicts.learn(plan.natural[0], {"asr_benign": 0.02}) == []


def test_a_benign_victim_and_one_that_works_are_not_named(plan, verdicts):
    benign, attacked = plan.victims
    assert verdicts.learn(benign, BENIGN) == []
    assert verdicts.learn(attacked, WORKS) == []
    assert verdicts.learn(plan.cells[-1], {"acc": 0.1}) == []


def test_the_benign_accuracy_counts_and_a_benign_victim_that_failed_is_not_waited_for(plan, verdicts):
    benign, attacked = plan.victims
    verdicts.learn(benign, BENIGN)
    [line] = verdicts.learn(attacked, RUINED)
    assert "below the benign 95.0%" in line


def test_without_its_counterpart_a_victim_is_judged_alone(plan, verdicts):
    benign, attacked = plan.victims
    assert verdicts.learn(attacked, WEAK) == []
    [line] = verdicts.learn(benign, {})  # it has failed
    assert attacked.title in line


def test_a_trigger_that_does_it_alone_is_named_when_that_is_seen(plan, verdicts):
    benign, attacked = plan.victims
    verdicts.learn(benign, BENIGN)
    verdicts.learn(attacked, WORKS)
    [line] = verdicts.learn(plan.natural[0], {"asr_benign": 0.9})
    assert "the trigger alone does it" in line


@pytest.mark.parametrize(
    ("changed", "doubt"),
    [
        ({"asr_before": 0.79996, "base_rate": 0.0}, "ASR 79.996% is below 80.000%"),
        ({"acc_before": 0.8996}, "ACC 89.96% is more than 5% below the benign 95.00%"),
        ({"majority": 0.6, "acc_before": 0.6399}, "ACC 63.99% is below 64.00%: the largest class alone is 60.0%"),
        ({"class_acc_before": json.dumps([0.8496] + [0.99] * 9)},
         "ACC on the target class 84.96% is more than 10% below the benign 95.00%"),
    ],
)  # fmt: skip
def test_what_misses_a_bound_by_less_than_a_tenth_of_a_percent_is_told_with_more_decimals(
    plan, verdicts, changed, doubt
):
    benign, attacked = plan.victims
    verdicts.learn(benign, BENIGN)
    [line] = verdicts.learn(attacked, {**WORKS, **changed})
    assert doubt in line
