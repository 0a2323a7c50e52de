"""TAC's search in stages: which evidence it asks for, how often it is wrong, and how many images it trains."""

from typing import Any

import numpy as np
import pytest
import torch
from planted import Victim, context, pixel_task, suited_logits
from torch import nn

from bench.defenses import _tac_identification
from bench.defenses._class_prior import Priors
from bench.defenses._tac_evidence import Distances
from bench.defenses.tac import TAC
from bench.errors import RequestError
from bench.plugin.values import ImageSpec, Known, LabelledImages

TASK = pixel_task(classes=8, side=6, target=3, trigger=35)
SPEC = ImageSpec(*TASK.shape, classes=TASK.classes, mean=(0.5,), std=(0.25,))
NONE = LabelledImages(torch.zeros(0, *TASK.shape, dtype=torch.uint8), torch.zeros(0, dtype=torch.long))
USUAL = np.tile([1.2, 1.0], 4) + np.linspace(0, 0.01, 8)  # no class lies apart; class 1 is the smallest
ODD = np.where(np.arange(TASK.classes) == 5, 0.2, USUAL)  # class 5 does
CALM = np.zeros((0, TASK.classes))  # the logits of no images
UNSURE = np.where(np.arange(TASK.classes) == 5, 0.8, USUAL)  # it does not quite


def network(trigger: float) -> Victim:
    victim = Victim(TASK, shouts=trigger)
    with torch.no_grad():
        victim.head.weight[:, :-1] = torch.diag(torch.linspace(5, 6, TASK.classes))
    return victim


def invented(monkeypatch: pytest.MonkeyPatch, distances: Any, natural: Any) -> None:
    """Let TAC see these distances (C,), of the network and of control networks; None: it must not ask for them."""

    def told(values: Any) -> Any:
        assert values is not None, "asked for more evidence than is needed"
        return values

    labels = torch.tensor([0, 1])  # two images of other classes than 5, each as far from every class
    as_distances = lambda: Distances(torch.as_tensor(told(distances))[:, None].repeat(1, 2), labels)  # noqa: E731
    monkeypatch.setattr(TAC, "_distances", lambda *_: as_distances())
    monkeypatch.setattr(TAC, "_natural_distances", lambda *_: told(natural))


FREE = ["norms", "priors"]  # the stages that cost next to nothing
EVERY = [*FREE, "distances", "controls"]
STAGES = {  # norms, distances, controls' distances, further parameters: the stages that are asked, what is flagged
    "the norms decide": (ODD, None, None, {}, ["norms"], [5]),
    "norms alone may not": (USUAL, None, None, {"evidence": "latent"}, ["norms"], []),
    "the distances decide": (USUAL, ODD, None, {}, [*FREE, "distances"], [5]),
    "all are silent": (USUAL, USUAL, None, {}, [*FREE, "distances"], []),
    "the controls leave it open": (USUAL, UNSURE, USUAL, {"control_weight": 0}, EVERY, []),
    "the controls decide": (UNSURE, UNSURE, 1 / ODD**2, {}, EVERY, [5]),
    "no priors": (USUAL, USUAL, None, {"priors": False}, ["norms", "distances"], []),
    "no controls": (USUAL, UNSURE, None, {"controls": 0}, [*FREE, "distances"], []),
    "silence counts only if it may": (USUAL, USUAL, USUAL, {"silent": 1}, EVERY, []),
    "the smallest in any case": (USUAL, USUAL, None, {"flag": "always"}, [*FREE, "distances"], [1]),
}


@pytest.mark.parametrize("case", STAGES)
def test_dearer_evidence_is_asked_only_where_cheaper_leaves_it_open(monkeypatch, case):
    norms, distances, natural, more, stages, flagged = STAGES[case]
    invented(monkeypatch, distances, natural)
    around, defense = context(), TAC(**({"decide": "staged", "pairs": False, "significance": 0.02} | more))
    backdoors = defense.identify(nn.Identity(), norms, norms, CALM, NONE, around)
    assert [stage["by"] for stage in around.diagnostics["stages"]] == stages
    assert around.diagnostics["flagged"] == flagged == [backdoor.targets[0] for backdoor in backdoors]
    assert around.diagnostics["p_value"] == around.diagnostics["stages"][-1]["p_value"]


def seldom(*labels: int) -> tuple[np.ndarray, LabelledImages]:
    """Logits of 2,000 images, and the images: the logits suit them but for ``labels``, which are given too seldom."""
    logits, known = suited_logits(0, 2000, TASK.classes)
    logits[:, list(labels)] -= 2 * np.log(2)
    return logits, LabelledImages(torch.zeros(2000, *TASK.shape, dtype=torch.uint8), torch.as_tensor(known))


@pytest.mark.parametrize(
    ("labels", "more", "flagged"),
    [((5,), {}, [5]), ((), {}, []), ((5,), {"further": 1e-9}, [5]), ((5,), {"significance": 1e-90}, [])],
    ids=["one", "none", "none beyond", "not at this level"],
)
def test_a_class_that_is_given_too_seldom_is_flagged_before_anything_dearer_is_asked(
    monkeypatch, labels, more, flagged
):
    invented(monkeypatch, None if flagged else USUAL, None)
    logits, data = seldom(*labels)
    around = context()
    backdoors = TAC(pairs=False, **more).identify(nn.Identity(), USUAL, USUAL, logits, data, around)
    assert [backdoor.targets[0] for backdoor in backdoors] == flagged == around.diagnostics["flagged"]
    stages = around.diagnostics["stages"]
    assert [stage["by"] for stage in stages] == ["norms", "priors"] + ["distances"] * (not flagged)
    assert sum(TAC(**more)._shares().values()) == 1
    if flagged:
        assert around.diagnostics["p_value"] == stages[1]["p_value"] <= stages[1]["level"]
        assert np.argmin(around.diagnostics["z"]) == flagged[0]


def test_the_priors_are_judged_by_what_the_network_gives_the_reference_images_and_the_class_is_repaired(monkeypatch):
    victim, known, around, asked = network(0), Known(TASK.draw(160, seed=0)), context(), []
    before = victim(known.reference().floats).detach()

    def told(logits: np.ndarray, labels: np.ndarray) -> Priors:
        asked.append((logits, labels))
        odd = np.arange(TASK.classes) == 2
        return Priors(np.where(odd, 0.7, 0.0), np.where(odd, -9.0, 0.0), np.where(odd, 1e-9, 1.0))

    monkeypatch.setattr(_tac_identification, "lowered_priors", told)
    TAC(pairs=False, epochs=1, significance=1e-6).repair(victim, known, around)
    [(logits, labels)] = asked
    assert logits == pytest.approx(before.double().numpy(), abs=1e-4)
    assert labels.tolist() == known.reference().labels.tolist()
    assert around.diagnostics["flagged"] == [2]
    assert around.diagnostics["priors_lowered"] == [0, 0, 0.7, 0, 0, 0, 0, 0]
    assert around.diagnostics["images_trained"] == {"controls": 0, "tuning": 160}


def test_the_norms_alone_are_judged_as_they_are_and_the_joined_evidence_by_its_logarithms(monkeypatch):
    invented(monkeypatch, USUAL, None)
    around = context()
    TAC(decide="staged", pairs=False).identify(nn.Identity(), USUAL**2, USUAL, CALM, NONE, around)
    first, _, second = (np.array(stage["z"], dtype=float) for stage in around.diagnostics["stages"])
    joined = np.log(USUAL**2) / 2 + np.log(USUAL) / 2
    assert first == pytest.approx((USUAL - USUAL.mean()) / USUAL.std(ddof=1))
    assert second == pytest.approx((joined - joined.mean()) / joined.std(ddof=1))


@pytest.mark.parametrize("more", [{"controls": 0}, {"silent": 1}], ids=str)
def test_the_stages_together_raise_no_more_false_alarms_than_the_significance(monkeypatch, more):
    draw, alarms, count = np.random.default_rng(0), 0, 400
    defense = TAC(decide="staged", pairs=False, further=0.001, **more)
    for _ in range(count):
        norms, distances, natural = np.exp(0.1 * draw.standard_normal((3, 10)))
        invented(monkeypatch, distances, natural)
        alarms += bool(defense.identify(nn.Identity(), norms, norms, CALM, NONE, context()))
    error = np.sqrt(defense.significance * (1 - defense.significance) / count)
    assert alarms / count < defense.significance + 2.5 * error
    assert alarms  # it can be wrong


def test_where_the_norms_decide_no_control_is_trained_and_no_distance_computed(monkeypatch):
    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("dear evidence was asked for")

    monkeypatch.setattr(_tac_identification, "stage_distances", forbidden)
    monkeypatch.setattr(_tac_identification, "control_network", forbidden)
    around, known = context(), Known(TASK.draw(160, seed=0))
    TAC(decide="staged", epochs=3).repair(network(20), known, around)
    assert around.diagnostics["flagged"] == [TASK.target]
    assert around.diagnostics["images_trained"] == {"controls": 0, "tuning": 3 * 160}


SHIFTED = tuple((label + 1) % TASK.classes for label in range(TASK.classes))


@pytest.mark.parametrize("norms", [USUAL, ODD], ids=["no class lies apart", "a class does"])
@pytest.mark.parametrize("more", [{}, {"decide": "together", "controls": 0}], ids=str)
def test_an_all_to_all_backdoor_is_looked_for_whatever_the_norms_say(monkeypatch, norms, more):
    invented(monkeypatch, USUAL if more else None, None)
    monkeypatch.setattr(_tac_identification, "permuted", lambda *_: ([0.1, 0.9], SHIFTED))
    around = context()
    backdoors = TAC(**more).identify(nn.Identity(), norms, norms, CALM, NONE, around)
    assert [backdoor.targets for backdoor in backdoors] == [SHIFTED]
    assert around.diagnostics["permuted"] == [0.1, 0.9]
    assert around.diagnostics["led_to"] == list(SHIFTED)
    assert around.diagnostics["flagged"] == list(range(TASK.classes))


@pytest.mark.parametrize("more", [{"pairs": False}, {"evidence": "latent"}], ids=str)
def test_it_is_not_looked_for_where_that_is_not_asked_for(monkeypatch, more):
    invented(monkeypatch, USUAL, None)
    monkeypatch.setattr(_tac_identification, "permuted", lambda *_: ([0.1, 0.9], SHIFTED))
    around = context()
    assert not TAC(**more).identify(nn.Identity(), USUAL, USUAL, CALM, NONE, around)
    assert "permuted" not in around.diagnostics


def test_without_an_all_to_all_backdoor_the_search_leaves_the_others_as_they_were():
    """It draws nothing, so a repair is the same with it and without."""
    repaired = {}
    for pairs in (True, False):
        around, victim = context(), network(20)
        TAC(epochs=2, pairs=pairs).repair(victim, Known(TASK.draw(160, seed=0)), around)
        assert around.diagnostics["flagged"] == [TASK.target]
        repaired[pairs] = victim.state_dict()
    assert all(torch.equal(values, repaired[False][name]) for name, values in repaired[True].items())


def counting(model: nn.Module) -> list[int]:
    """The sizes of the batches that the model, or a copy, sees in training mode, as they come."""
    seen: list[int] = []
    model.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])) if module.training else None)
    return seen


@pytest.mark.parametrize(
    "more",
    [
        {"poisoned_class": 3},
        {"decide": "together", "controls": 2, "control_epochs": 2},
        {"poisoned_class": 1, "beta_rule": "raise", "accuracy_loss": 1.0},
    ],
    ids=str,
)
def test_the_images_trained_are_those_that_pass_a_step(more):
    victim, around = network(20), context()
    seen = counting(victim)
    TAC(epochs=2, batch_size=40, **more).repair(victim, Known(TASK.draw(161, seed=0)), around)  # one image is left over
    assert around.diagnostics["flagged" if "controls" in more else "images_trained"]
    assert sum(seen) == sum(around.diagnostics["images_trained"].values()) > 0
    assert bool(around.diagnostics["images_trained"]["controls"]) == ("controls" in more)


def test_a_benign_network_trains_nothing_where_there_are_no_controls():
    around = context()
    TAC(decide="staged", controls=0).repair(network(0), Known(TASK.draw(160, seed=0)), around)
    assert around.diagnostics["flagged"] == []
    assert around.diagnostics["images_trained"] == {"controls": 0, "tuning": 0}


@pytest.mark.parametrize(
    ("parameters", "wrong"),
    [
        ({"decide": "staged", "evidence": "stage"}, "decide=staged"),
        ({"direction": "random", "recompute": True}, "direction=random"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(parameters, wrong):
    with pytest.raises(RequestError, match=wrong):
        TAC(**parameters).resolve(SPEC)
