"""BNA: its detection, and what its guard answers, on a network with a planted backdoor."""

import copy
from typing import Any

import pytest
import torch
from planted import SIX_COLUMNS, column_victim, context, rising
from torch import Tensor, nn

from bench.defenses._bna_activations import altered_channels
from bench.defenses._bna_alignment import Aligned, Alignment
from bench.defenses._bna_response import respond
from bench.defenses._inversion import TRIGGER_MODELS, Triggers
from bench.defenses.bna import BNA, Detection
from bench.plugin.values import Context, Known, Prediction
from bench.toolbox.inference import Answers

FAST: dict[str, Any] = {"trigger_models": ("patch",), "steps": 80, "refine_steps": 60, "align_steps": 60}


def guard(network: nn.Module, seed: int = 0, **parameters: object) -> tuple[object, Context]:
    around, _ = rising(seed)
    return BNA(**parameters).guard(network, Known(clean=SIX_COLUMNS.draw(60, 1)), around), around


def answer(guard: object, images: Tensor) -> Prediction:
    prediction = guard(images)  # type: ignore[operator]
    assert isinstance(prediction, Prediction)
    return prediction


@pytest.mark.parametrize(("rule", "lowest"), [("esd", 3.0), ("mad", 7.0)])
def test_both_rules_judge_the_smallest_norm_alone_as_too_small(rule: str, lowest: float) -> None:
    norms = torch.tensor([50.0, 40, 60, 3, 45, 52, 48, 70, 49, 55], dtype=torch.float64)
    score, outlying = BNA(rule=rule)._judge(norms)
    assert outlying.nonzero()[:, 0].tolist() == [3]
    assert score[3] > lowest
    assert (score[norms > 55] < 0).all()


def test_a_norm_is_too_small_only_if_it_is_also_small_in_relation_to_the_median() -> None:
    norms = torch.tensor([50.0, 50.1, 49.9, 40, 50.2, 49.8, 50.0, 50.1], dtype=torch.float64)
    assert BNA(ratio=1.2)._judge(norms)[1].tolist() == [False] * 3 + [True] + [False] * 4
    assert not BNA(ratio=1.3)._judge(norms)[1].any()


def test_a_warp_is_held_to_a_ratio_of_its_own() -> None:
    """The smallest warps of classes that are no targets scatter by a factor of two on real images."""
    norms = torch.tensor([2.0, 2.2, 2.1, 1.0, 1.9, 2.05, 2.15, 1.95]).double()
    own = BNA(ratio=1.5, warp_ratio=3)
    outlying = {kind: own._judge(norms, kind)[1].tolist() for kind in ("patch", "additive", "warp")}
    assert outlying["patch"] == outlying["additive"] == [False] * 3 + [True] + [False] * 4
    assert not any(outlying["warp"])
    assert BNA(ratio=1.5)._judge(norms, "warp")[1].tolist() == outlying["patch"]


def test_what_a_patch_changes_is_doubled_and_a_warp_stays_a_warp() -> None:
    images, triggered = torch.full((2, 1, 2, 2), 0.2), torch.full((2, 1, 2, 2), 0.3)
    own = BNA(warp_stretch=1)
    changed = {kind: own._stretched(images, triggered, kind).unique() for kind in ("patch", "additive", "warp")}
    torch.testing.assert_close(changed["patch"], torch.tensor([0.4]))
    assert torch.equal(changed["additive"], changed["patch"])
    torch.testing.assert_close(changed["warp"], torch.tensor([0.3]))
    assert torch.equal(BNA()._stretched(images, triggered, "warp").unique(), changed["patch"])


def test_a_planted_target_is_flagged_and_repaired() -> None:
    network, test = column_victim(), SIX_COLUMNS.draw(60, 5)
    before = copy.deepcopy(network.state_dict())
    defended, around = guard(network, **FAST)
    assert around.diagnostics["class_statistic"]["flagged"] == [2]
    others = test.at(test.labels != 2)
    triggered = answer(defended, SIX_COLUMNS.triggered(others.floats))
    assert (triggered.logits.argmax(1) == others.labels).float().mean() > 0.9
    assert triggered.flagged is not None
    assert triggered.score is not None
    assert triggered.flagged.float().mean() > 0.9
    clean = answer(defended, test.floats)
    assert (clean.logits.argmax(1) == test.labels).float().mean() > 0.95
    assert clean.flagged is not None
    assert not clean.flagged[test.labels != 2].any()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(p.requires_grad for p in network.parameters())


def test_pairs_find_the_same_target_and_name_its_sources() -> None:
    _, around = guard(column_victim(), search="pairs", images=6, prune=0, **FAST)
    assert 2 in around.diagnostics["class_statistic"]["flagged"]
    assert 2 not in around.diagnostics["target_2"]["sources"]


def test_giving_up_searches_does_not_change_what_is_detected() -> None:
    runs = [guard(column_victim(), search="pairs", images=6, prune=prune, **FAST)[1].diagnostics for prune in (0, 0.5)]
    for diagnostics in runs:
        assert diagnostics["class_statistic"]["flagged"] == [2]
        assert diagnostics["target_2"]["sources"] == [0, 1, 3, 4, 5]
    assert [diagnostics["triggers"]["patch"]["given_up"] > 0 for diagnostics in runs] == [False, True]


@pytest.mark.parametrize("search", ["targets", "pairs"])
def test_a_target_without_a_reference_image_is_detected(search: str) -> None:
    data, around = SIX_COLUMNS.draw(60, 1), context()
    some = data.at(((data.labels != 2) & (data.labels != 5)).nonzero()[:8, 0])
    defended = BNA(search=search, **FAST).guard(column_victim(), Known(clean=some), around)
    assert around.diagnostics["class_statistic"]["flagged"] == [2]
    assert set(around.diagnostics["target_2"]["sources"]) <= {0, 1, 3, 4}
    test = SIX_COLUMNS.draw(60, 5)  # class 5 is beyond help: the alignment clips what no reference image shows
    test = test.at((test.labels != 2) & (test.labels != 5))
    assert (answer(defended, SIX_COLUMNS.triggered(test.floats)).logits.argmax(1) == test.labels).float().mean() > 0.95


@pytest.mark.parametrize("search", ["targets", "pairs"])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_benign_network_is_left_as_it_is_with_next_to_no_reference_images(search: str, count: int) -> None:
    network, images = column_victim(shouts=0), SIX_COLUMNS.draw(30, 5).floats
    quick: dict[str, Any] = {"trigger_models": ("patch",), "steps": 5, "refine_steps": 5, "align_steps": 2}
    defended = BNA(search=search, **quick).guard(network, Known(clean=SIX_COLUMNS.draw(count, 1)), context())
    assert torch.equal(answer(defended, images).logits, Answers(network)(images))


def test_a_further_class_that_the_trigger_sends_to_the_target_is_aligned_too() -> None:
    network, around = column_victim(), context()
    data = SIX_COLUMNS.draw(60, 1)
    BNA(**FAST)._aligned(network, data, 2, Detection({"patch": 1.0}, {0, 1}), around)
    assert around.diagnostics["target_2"]["patch"]["further"] == [3, 4, 5]


@pytest.mark.parametrize(("align_with", "expected"), [("best", ["additive"]), ("all", ["additive", "patch"])])
def test_alignment_uses_the_trigger_model_with_the_highest_score_or_all(align_with: str, expected: list[str]) -> None:
    detection = Detection()
    for kind, score in (("patch", 4.0), ("additive", 3.0), ("additive", 5.0)):
        detection.add(kind, score, [0, 1])
    around = context()
    BNA(**FAST | {"align_with": align_with})._aligned(column_victim(), SIX_COLUMNS.draw(60, 1), 2, detection, around)
    assert [kind for kind in around.diagnostics["target_2"] if kind in ("additive", "patch")] == expected


def test_every_trigger_model_that_detects_the_target_has_its_score() -> None:
    defense, around = BNA(**FAST | {"trigger_models": ("patch", "additive"), "judged": "all"}), context()
    [(target, detection)] = defense._detect(column_victim(shouts=120), SIX_COLUMNS.draw(60, 1), around).items()
    assert target == 2
    assert sorted(detection.scores) == ["additive", "patch"]
    for kind, score in detection.scores.items():
        norms = torch.tensor(around.diagnostics["triggers"][kind]["norm"]).double()
        assert score == pytest.approx(defense._judge(norms)[0][2].item())


def test_a_benign_network_is_left_as_it_is() -> None:
    network, test = column_victim(shouts=0), SIX_COLUMNS.draw(30, 5)
    defended, around = guard(network, **FAST)
    assert around.diagnostics["class_statistic"]["flagged"] == []
    prediction = answer(defended, test.floats)
    assert torch.equal(prediction.logits, Answers(network)(test.floats))
    assert prediction.flagged is not None
    assert not prediction.flagged.any()


def test_only_inputs_assigned_to_a_target_go_through_its_aligned_network() -> None:
    model, other = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(2))
    images = torch.randn(50, 1, 2, 2, generator=torch.Generator().manual_seed(3))
    prediction = respond(Answers(model), {1: Answers(other)}, images)
    assert prediction.flagged is not None
    assert prediction.score is not None
    for k in range(50):
        as_target = model(images[k : k + 1]).argmax() == 1
        expected = (other if as_target else model)(images[k : k + 1])[0]
        assert torch.allclose(prediction.logits[k], expected, atol=1e-6)
        assert bool(prediction.flagged[k]) == bool(as_target and expected.argmax() != 1)
        assert prediction.score[k].item() == pytest.approx(
            1 - expected.softmax(0)[1].item() if as_target else 0, abs=1e-6
        )


def test_the_guard_is_deterministic_and_the_same_at_any_batch_size() -> None:
    images = SIX_COLUMNS.triggered(SIX_COLUMNS.draw(25, 6).floats)
    quick = FAST | {"align_steps": 20}
    (first, _), (second, _) = (guard(column_victim(), **quick) for _ in range(2))
    whole = answer(first, images).logits
    assert torch.equal(whole, answer(second, images).logits)
    parts = torch.cat([answer(first, part).logits for part in images.split(4)])
    assert torch.allclose(whole, parts, atol=1e-5)


def found(norms: list[float], success: list[float]) -> Triggers:
    """The outcome of a search that was not pruned."""
    return Triggers(TRIGGER_MODELS["patch"], [], torch.tensor(norms), torch.tensor(success), torch.ones(len(norms)) > 0)


def test_a_failed_search_does_not_enter_the_statistic_if_only_successes_are_judged() -> None:
    triggers = found([10.0, 11, 9, 10.5, 2, 0.1, 0.2], [1.0, 1, 1, 1, 1, 0.3, 0.3])
    every, outlying = BNA(rule="mad", judged="all")._judge_counted(triggers)
    some, outlying_of_some = BNA(rule="mad", judged="successful")._judge_counted(triggers)
    torch.testing.assert_close(some[:5], BNA(rule="mad")._judge(triggers.norms[:5].double())[0])
    assert (some[5:] == -torch.inf).all()
    assert every[5] > every[4]
    assert not torch.allclose(every[:5], some[:5])
    assert outlying.tolist() == outlying_of_some.tolist() == [False] * 4 + [True, False, False]


@pytest.mark.parametrize(("members", "changed"), [("clean", 50), ("stamped", 60), ("none", 50)])
def test_the_targets_own_images_are_aligned_without_the_trigger_with_it_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, members: str, changed: int
) -> None:
    pairs = []

    def record(self: Alignment, model: nn.Module, clean: Tensor, triggered: Tensor, generator: object) -> Aligned:
        pairs.append((clean, triggered))
        return Aligned(model, [0.0])

    monkeypatch.setattr(Alignment, "align", record)
    guard(column_victim(), members=members, **FAST)
    [(clean, triggered)] = pairs
    assert len(clean) == len(triggered) == (50 if members == "none" else 60)
    assert int((clean != triggered).flatten(1).any(1).sum()) == changed


def test_the_channels_that_the_trigger_alters_are_noted_before_and_after_the_alignment() -> None:
    _, around = guard(column_victim(), **FAST)
    [(target, channels)] = around.diagnostics["activations"].items()
    assert target == "2"
    for channel in channels:
        for kind in ("clean", "triggered", "aligned"):
            assert sum(channel[kind]) == pytest.approx(1, abs=1e-3)
    most = max(channels, key=lambda channel: abs(shift(channel, "triggered")))
    assert abs(shift(most, "triggered")) > 10
    assert abs(shift(most, "aligned")) < 0.5 * abs(shift(most, "triggered"))


def shift(channel: dict[str, Any], kind: str) -> float:
    """By how many bins a noted histogram lies above that of clean images."""
    return sum(
        at * (share - clean) for at, (share, clean) in enumerate(zip(channel[kind], channel["clean"], strict=True))
    )


def test_without_a_step_of_alignment_activations_are_only_clipped_to_their_clean_range() -> None:
    _, around = guard(column_victim(), **FAST | {"align_steps": 0})
    assert "divergence" not in around.diagnostics["target_2"]
    for channel in around.diagnostics["activations"]["2"]:
        occupied = [at for at, share in enumerate(channel["clean"]) if share]
        repaired = [at for at, share in enumerate(channel["aligned"]) if share]
        assert occupied[0] - 1 <= repaired[0] <= repaired[-1] <= occupied[-1] + 1


def test_a_picture_draws_nothing_so_that_what_follows_is_as_it_was() -> None:
    network, around = column_victim(), context()
    detection = Detection({"patch": 1.0}, {0, 1})
    aligned, _ = BNA(**FAST)._aligned(network, SIX_COLUMNS.draw(60, 1), 2, detection, around)
    state, images = around.generator.get_state(), SIX_COLUMNS.draw(20, 3).floats
    altered_channels(network, aligned, images, SIX_COLUMNS.triggered(images))
    assert torch.equal(around.generator.get_state(), state)
    assert all(
        torch.equal(one, other) for one, other in zip(network.parameters(), column_victim().parameters(), strict=True)
    )
