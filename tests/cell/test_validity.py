"""A victim on which the attack did not work is marked, and no defense in its row is called the best."""

import json
import math
from typing import Any

import pytest

from bench.cell.validity import MAX_ACC_LOSS, MIN_ASR, judged, judged_records, judged_within
from bench.cli.main import main
from bench.plan import identity
from bench.records import Record, to_frame
from bench.reports.blocks import AVERAGE, blocks
from bench.reports.legend import legend
from bench.store.store import Store


def record(attack: str = "badnets", defense: str = "bna", seed: int = 0, **changed: Any) -> Record:
    values: dict[str, Any] = {
        "acc_before": 0.9, "asr_before": 0.95, "ra_before": 0.05, "acc": 0.9, "asr": 0.1, "ra": 0.8, "der": 0.92,
        "n_triggered": 900, "attack_params": "{}", "status": "done",
    }  # fmt: skip
    if attack == "none":
        values |= {"n_triggered": 0, "asr_before": math.nan, "asr": math.nan, "ra": math.nan, "der": math.nan}
    texts = dict.fromkeys(("dataset_params", "model_params", "defense_params"), "{}")
    names = {"dataset": "d", "model": "m", "attack": attack, "defense": defense}
    labels = {f"{kind}_label": name for kind, name in names.items()}
    fixed = {"profile": "quick", "recipe": "quick", "reference": 1, "suspects": 0, "knowledge": "1 clean"}
    victim = {"attack": attack, "seed": seed, "recipe": changed.get("recipe_params", "{}")}
    keys = {"key": identity.key("cell", defense=defense, **victim), "victim_key": identity.key("victim", **victim)}
    return Record(seed=seed, **(keys | texts | names | labels | fixed | values | changed))


@pytest.mark.parametrize(
    ("base_rate", "natural", "asr", "doubt"),
    [
        (0.1, math.nan, 0.83, None),
        (0.1, 0.05, 0.83, None),  # less than the base rate
        (0.1, 0.4, 0.89, None),
        (
            0.1,
            0.4,
            0.87,
            "ASR 87.0% is below 88.0%: 40.0% of the images are taken for their target with the trigger by",
        ),
        (0.4, 0.1, 0.87, "ASR 87.0% is below 88.0%: 40.0% of the images are taken for their target without a trigger"),
        (0.1, 0.5, 1.0, "the trigger alone does it: ASR on a benign network is 50.0%"),
        (0.1, 1.0, 1.0, "the trigger alone does it: ASR on a benign network is 100.0%"),
    ],
)
def test_what_the_trigger_does_to_a_benign_network_is_not_the_backdoor_s_work(base_rate, natural, asr, doubt):
    attacked, benign = record(asr_before=asr, **known(base_rate=base_rate)), record("none", seed=0)
    [one, control] = judged([attacked, benign], natural=lambda one, other: natural)
    assert one.valid is (doubt is None)
    assert str(one.doubt).startswith(str(doubt))
    assert one.asr_benign == pytest.approx(natural, nan_ok=True)
    assert math.isnan(control.asr_benign)
    assert "asr_benign" not in one.to_json()
    [alone, _] = judged([attacked, record("none", seed=1)], natural=lambda one, other: natural)
    assert math.isnan(alone.asr_benign)  # the benign network of another seed was not asked


@pytest.mark.parametrize(
    ("changed", "asr"),
    [
        ({}, 0.3),
        ({"victim": "0" * 32}, math.nan),
        ({"benign": "0" * 32}, math.nan),
        ({"fingerprints": {"attack": "old"}}, math.nan),
        ({"benign_fingerprints": {"model": "old"}}, math.nan),
        ({"fingerprints": {"attack": "new"}, "benign_fingerprints": {"model": "new"}}, 0.3),
        ({"asr": 1.5}, math.nan),
    ],
)
def test_the_answers_of_other_networks_or_of_other_code_are_not_taken_for_those_of_these(tmp_path, changed, asr):
    store = Store(tmp_path / "store")
    codes = json.dumps({"attack": "new", "model": "new"})
    attacked, benign = record(key="b" * 32, fingerprints=codes), record("none", key="a" * 32, fingerprints=codes)
    for one in (attacked, benign):
        store.write("cells", one.key, {"record.json": one.to_json()})
    facts = {"victim": attacked.victim_key, "benign": benign.victim_key, "asr": 0.3, "n_test": 2, **changed}
    key = identity.natural_key(attacked.victim_key, benign.victim_key)
    store.write("natural", key, {"natural.json": facts})
    assert judged_within(store, [attacked])[0].asr_benign == pytest.approx(asr, nan_ok=True)
    by_attack = {one.attack: one for one in judged_records(store)}
    assert by_attack["badnets"].asr_benign == pytest.approx(asr, nan_ok=True)


def test_a_weak_attack_is_invalid_and_says_why():
    [one, other] = judged([record(asr_before=MIN_ASR - 0.01), record("blend", asr_before=MIN_ASR)])
    assert one.valid is False
    assert one.doubt == "ASR 79.0% is below 80.0%"
    assert other.valid is True
    assert other.doubt is None


def test_an_attack_that_ruins_the_model_is_invalid_next_to_the_benign_one():
    ruined = record(acc_before=0.9 - MAX_ACC_LOSS - 0.01)
    assert judged([ruined])[0].valid is True  # nothing to compare with
    assert math.isnan(judged([ruined])[0].acc_benign)
    verdicts = {one.attack: one for one in judged([ruined, record("none")])}
    assert verdicts["badnets"].valid is False
    assert verdicts["badnets"].acc_benign == 0.9
    assert "below the benign 90.0%" in str(verdicts["badnets"].doubt)
    assert verdicts["none"].valid is True


def test_the_benign_model_is_that_of_the_same_seed_and_setting():
    benign = [record("none", seed=0, acc_before=0.9), record("none", seed=1, acc_before=0.8)]
    elsewhere = record("none", seed=2, acc_before=0.99, dataset_params='{"train_size": 9}')
    attacked = [record(seed=seed) for seed in (0, 1, 2)]
    verdicts = judged([*attacked, *benign, elsewhere])
    assert [one.acc_benign for one in verdicts[:3]] == pytest.approx([0.9, 0.8, 0.85])


def test_a_benign_model_of_a_recipe_with_the_same_name_and_other_values_is_no_measure(tmp_path):
    attacked = record(recipe_params='{"epochs": 20}')
    other = record("none", recipe_params='{"epochs": 2}', acc_before=0.99)
    untold = record("none", acc_before=0.8)
    own = record("none", recipe_params='{"epochs": 20}', acc_before=0.9)
    assert math.isnan(judged([attacked, other])[0].acc_benign)
    assert judged([attacked, other, untold])[0].acc_benign == 0.8
    for order in ([own, untold, other], [untold, other, own]):
        assert judged([attacked, *order])[0].acc_benign == 0.9
    store = Store(tmp_path / "store")
    store.write("cells", own.key, {"record.json": own.to_json()})
    assert judged_within(store, [attacked, other.model_copy(update={"key": "c" * 32})])[0].acc_benign == 0.9


@pytest.mark.parametrize("whole", [False, True])
def test_what_one_record_tells_of_a_victim_s_recipe_holds_for_its_older_ones(tmp_path, whole):
    told = [record(name, "new", recipe_params=values) for name, values in (("badnets", '{"a":1}'), ("none", '{"a":2}'))]
    older = [one.model_copy(update={"key": identity.key("old", of=one.key), "recipe_params": "{}"}) for one in told]
    store = Store(tmp_path / "store")
    for one in (*told, *older):
        store.write("cells", one.key, {"record.json": one.to_json()})
    given = [*older, *told] if whole else older
    for verdicts in (judged_within(store, given), judged_within(store, given[:1]), judged_records(store)):
        assert all(math.isnan(one.acc_benign) for one in verdicts if one.attack != "none")


def test_of_benign_models_that_may_be_the_counterpart_the_one_that_knows_more_is_taken():
    older, newer = record("none", acc_before=0.8), record("none", recipe_params='{"a":1}', **known())
    for order in ([older, newer], [newer, older]):
        assert judged([record(), *order])[0].acc_benign == newer.acc_before


def test_all_to_all_is_judged_in_relation_to_the_accuracy():
    attack = {"attack_params": json.dumps({"label_map": "all-to-all"}), "acc_before": 0.7}
    assert judged([record(asr_before=0.6, **attack)])[0].valid is True
    assert judged([record(asr_before=0.5, **attack)])[0].valid is False


def known(target_acc: float = 0.9, **changed: Any) -> dict[str, Any]:
    """The columns of a victim of ten classes and target 0 that its verdict is derived from."""
    classes = {"class_acc_before": json.dumps([target_acc, *[0.9] * 9]), "targets": "[0]"}
    return {"base_rate": 0.0, "majority": 0.1} | classes | changed


@pytest.mark.parametrize(
    ("base_rate", "asr", "valid"),
    [
        (0.0, 0.80, True), (0.0, 0.79, False),
        (0.5, 0.90, True), (0.5, 0.89, False),  # 0.8 of the other half of the images
        (0.9, 0.95, False),
        (1.0, 1.00, False),  # the victim answers nothing but the target
        (math.nan, 0.80, True),  # of before it was recorded
    ],
)  # fmt: skip
def test_an_attack_is_judged_by_what_its_trigger_adds(base_rate: float, asr: float, valid: bool):
    [one] = judged([record(asr_before=asr, **known(base_rate=base_rate))])
    assert one.valid is valid
    if base_rate > 0 and not valid:
        assert f"{base_rate:.1%} of the images are taken for their target without a trigger" in str(one.doubt)
        assert f"ASR {asr:.1%}" in str(one.doubt)


@pytest.mark.parametrize(("asr", "valid"), [(0.58, True), (0.56, False)])
def test_all_to_all_is_judged_by_what_the_trigger_adds_up_to_the_accuracy(asr: float, valid: bool):
    attack = {"attack_params": json.dumps({"label_map": "all-to-all"}), "acc_before": 0.7}
    assert judged([record(asr_before=asr, **attack, **known(base_rate=0.1, targets="[0, 1, 2]"))])[0].valid is valid


@pytest.mark.parametrize("controls", [[], [record("none", acc_before=0.023)]], ids=["alone", "beside a benign one"])
@pytest.mark.parametrize(
    ("majority", "acc", "valid"), [(1 / 43, 0.023, False), (0.6, 0.62, False), (0.6, 0.65, True), (0.1, 0.2, True)]
)
def test_a_network_that_has_learned_nothing_is_no_victim(controls, majority: float, acc: float, valid: bool):
    accuracies = {"acc_before": acc, "class_acc_before": json.dumps([acc] * 10)}
    one = judged([record(asr_before=1.0, **known(majority=majority) | accuracies), *controls])[0]
    assert one.valid is valid
    if not valid:
        assert f"ACC {acc:.1%} is below" in str(one.doubt)
        assert f"the largest class alone is {majority:.1%}" in str(one.doubt)


def test_a_victim_that_has_lost_its_target_class_is_doubted_next_to_the_benign_one():
    benign = record("none", **known(target_acc=0.97, targets="[]"))
    for lost, valid in ((0.09, True), (0.11, False), (0.3, False)):
        one = judged([record(**known(target_acc=0.97 - lost)), benign])[0]
        assert one.valid is valid
        if not valid:
            assert one.doubt == f"ACC on the target class {0.97 - lost:.1%} is more than 10% below the benign 97.0%"


def test_a_target_class_that_is_hard_for_the_benign_model_too_is_no_loss():
    benign = record("none", **known(target_acc=0.5, targets="[]"))
    assert judged([record(**known(target_acc=0.45)), benign])[0].valid is True
    assert judged([record(**known(target_acc=0.45))])[0].valid is False


def test_without_a_benign_model_the_target_class_is_held_against_the_victim_s_accuracy():
    assert judged([record(**known(target_acc=0.71))])[0].valid is True
    [one] = judged([record(**known(target_acc=0.69))])
    assert one.doubt == "ACC on the target class 69.0% is more than 20% below its ACC 90.0%"


def test_several_targets_are_held_against_the_same_classes_of_the_benign_model():
    benign = record("none", **known(target_acc=0.9, targets="[]"))
    assert judged([record(**known(target_acc=0.72, targets="[0, 1]")), benign])[0].valid is True  # 9 points of the mean
    assert judged([record(**known(target_acc=0.68, targets="[0, 1]")), benign])[0].valid is False


def test_records_of_before_are_judged_as_they_were():
    """By ASR and the benign ACC: they know neither base rate, nor largest class, nor classes."""
    assert judged([record(acc_before=0.023)])[0].valid is True
    old = record("none")
    assert judged([record(acc_target_before=0.5), old])[0].valid is True
    new = record("none", "ft", **known(target_acc=0.97, targets="[]"))
    for controls in ([old, new], [new, old]):  # cells of one benign model, of which one knows its classes
        assert judged([record(**known(target_acc=0.8)), *controls])[0].valid is False


def test_an_unfinished_cell_is_not_judged():
    assert judged([record(status="failed", reason="x")])[0].valid is None


def frame(**sig: Any):
    records = [record(a, d, s) for a in ("none", "badnets", "wanet") for d in ("none", "bna", "tac") for s in (0, 1)]
    return to_frame(judged([*records, *(record("sig", d, s, **sig) for d in ("none", "bna", "tac") for s in (0, 1))]))


def test_an_invalid_attack_is_marked_and_left_out_of_the_average_unless_asked_for():
    weak = frame(asr_before=0.3, der=0.65)
    [block], [whole] = blocks(weak), blocks(weak, with_invalid=True)
    assert block.marked("sig") == "sig †"
    assert block.marked("badnets") == "badnets"
    assert block.cells[AVERAGE, "bna"].stat("der").mean == pytest.approx(0.92)
    assert block.before[AVERAGE].stat("asr").mean == pytest.approx(0.95)
    assert whole.cells[AVERAGE, "bna"].stat("der").mean == pytest.approx((0.92 + 0.92 + 0.65) / 3)
    assert block.best("sig") == set()
    assert block.best("badnets") == {"bna", "tac"}
    text = " ".join(legend(block, best="*"))
    assert "†: the attack had not worked: sig: ASR 30.0% is below 80.0% (seed 0, 1)." in text
    assert "†" not in " ".join(legend(blocks(frame())[0], best="*"))


def test_only_the_invalid_seed_of_an_attack_is_left_out():
    records = [record("badnets", "bna", s) for s in (0, 1)]
    records += [record("sig", "bna", 0, der=0.7), record("sig", "bna", 1, asr_before=0.2, der=0.5)]
    records.append(record("sig", "fire", 1, asr_before=0.2, status="failed", reason="x"))
    [block] = blocks(to_frame(judged(records)))
    assert block.cells[AVERAGE, "bna"].stat("der").mean == pytest.approx((0.92 + 0.7) / 2)
    assert block.cells["sig", "bna"].stat("der").mean == pytest.approx(0.6)
    assert "(seed 1)" in " ".join(legend(block, best="*"))


def test_show_agrees_with_the_table_and_a_stored_verdict_is_ignored(tmp_path, capsys):
    """The victim lost accuracy against the benign one: every command says so, whatever it was asked for."""
    store = Store(tmp_path / "store")
    benign = record("none", acc_before=0.99, key="a" * 32)
    attacked = record(acc_before=0.80, valid=True, key="b" * 32)  # as an older version stored it
    for one in (benign, attacked):
        store.write("cells", one.key, {"record.json": one.model_dump_json()})
    [alone] = judged_within(store, [store.record(attacked.key)])
    [_, whole] = judged_records(store)
    assert alone.valid is whole.valid is False
    assert alone.doubt == whole.doubt
    with pytest.raises(SystemExit):
        main(["show", "bbbb", "--store", str(store.root)])
    assert "ACC 80.0% is more than 5% below the benign 99.0%" in " ".join(capsys.readouterr().out.split())


def test_a_request_without_a_control_row_is_judged_by_the_one_in_the_store(tmp_path):
    store = Store(tmp_path / "store")
    attacked = record(acc_before=0.80, key="b" * 32)
    assert judged_within(store, [attacked])[0].valid
    benign = record("none", acc_before=0.99, key="a" * 32)
    store.write("cells", benign.key, {"record.json": benign.to_json()})
    assert not judged_within(store, [attacked])[0].valid
