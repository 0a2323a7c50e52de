"""BNA: its detection, its alignment, and what its guard answers, on networks made by hand."""

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn

from bench.defenses._bna_alignment import Alignment, Divergence, divergence, soft_histogram, with_aligned_norms
from bench.defenses._inversion import TRIGGER_MODELS, invert, promising
from bench.defenses.bna import BNA, anomaly_index, of_classes, respond, small_outliers
from bench.plugin.values import Context, Known, LabelledImages, Prediction

CPU = torch.device("cpu")
CLASSES, SIZE, CORNER = 6, 8, 7  # six classes on 8x8 images; the backdoor looks at the pixel (7, 7)


class Planted(nn.Module):
    """Classes are bright columns; with a backdoor, one more channel sees a bright corner and outvotes them."""

    def __init__(self, backdoor: float, target: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(CLASSES + 1)
        self.head = nn.Linear(CLASSES + 1, CLASSES)
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.bias.zero_()
            self.head.weight[:, :CLASSES] = 4 * torch.eye(CLASSES)
            self.head.weight[target, CLASSES] = backdoor

    def forward(self, images: Tensor) -> Tensor:
        columns = images[..., :CLASSES, :CLASSES].mean((1, 2))
        corner = images[..., CORNER, CORNER].mean(1, keepdim=True)
        channels = torch.cat((columns, corner), 1)[..., None, None]
        out: Tensor = self.head(self.norm(channels).flatten(1))
        return out


def digits(count: int, seed: int) -> LabelledImages:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    images = 0.1 * torch.rand(count, 1, SIZE, SIZE, generator=generator)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[0, :CLASSES, label] += 0.6
    return LabelledImages((images * 255).byte(), labels)


def planted(backdoor: float, target: int = 2) -> nn.Module:
    network = Planted(backdoor, target)
    network.train()
    network.norm.momentum = 1.0
    with torch.no_grad():
        network(digits(120, 9).floats)
    return network.eval()


def stamped(images: Tensor) -> Tensor:
    images = images.clone()
    images[..., CORNER, CORNER] = 1
    return images


def context(seed: int = 0) -> Context:
    return Context(CPU, torch.Generator().manual_seed(seed))


def guard(network: nn.Module, seed: int = 0, **parameters: object) -> tuple[object, Context]:
    around = context(seed)
    return BNA(**parameters).guard(network, Known(clean=digits(60, 1)), around), around


def answer(guard: object, images: Tensor) -> Prediction:
    prediction = guard(images)  # type: ignore[operator]
    assert isinstance(prediction, Prediction)
    return prediction


# --- histograms and divergences


def test_a_sharp_soft_histogram_is_a_histogram() -> None:
    values = torch.randn(3, 500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    soft = soft_histogram(values, -2.0, 40, 0.1, 1e7)
    for row, expected in zip(soft.numpy(), values.numpy(), strict=True):
        edges = np.concatenate(([-np.inf], -2 + 0.1 * np.arange(41), [np.inf]))
        np.testing.assert_allclose(row, np.histogram(expected, edges)[0] / 500, atol=1e-6)


def test_the_soft_histogram_is_the_papers_sum_over_all_edges() -> None:
    values = torch.randn(2, 300, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    edges = -2 + 0.1 * torch.arange(41, dtype=torch.float64)
    above = (150 * (values[..., None] - edges)).sigmoid()
    expected = (above[..., :-1] - above[..., 1:]).mean(1)
    assert torch.allclose(soft_histogram(values, -2.0, 40, 0.1, 150)[:, 1:-1], expected, atol=6e-4)


@pytest.mark.parametrize(("kind", "expected"), [("tv", 0.3), ("js", None), ("kl", None)])
def test_divergences_agree_with_scipy(kind: Divergence, expected: float | None) -> None:
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.4, 0.4])
    middle = (p + q) / 2
    entropy = {"js": (stats.entropy(p, middle) + stats.entropy(q, middle)) / 2, "kl": stats.entropy(p, q)}
    actual = divergence(torch.tensor(p)[None], torch.tensor(q)[None], kind).item()
    assert actual == pytest.approx(entropy[kind] if expected is None else expected, abs=1e-4)


# --- the aligned layer


@pytest.mark.parametrize("fused", [False, True])
def test_an_aligned_norm_clips_the_normalised_activations(fused: bool) -> None:
    torch.manual_seed(0)
    layer = BatchNormAct2d(3, act_layer=nn.LeakyReLU) if fused else nn.BatchNorm2d(3)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    layer.running_mean.normal_()
    layer.running_var.uniform_(0.5, 2)
    images = 3 * torch.randn(4, 3, 5, 5)
    network, layers = with_aligned_norms(nn.Sequential(layer).eval(), 1.5)
    layers["0"].upper.data += 0.2
    z = (images - layer.running_mean.view(3, 1, 1)) / (layer.running_var.view(3, 1, 1) + layer.eps).sqrt()
    expected = z.clamp(-1.5, 1.7) * layer.weight.view(3, 1, 1) + layer.bias.view(3, 1, 1)
    assert torch.allclose(network(images), F.leaky_relu(expected) if fused else expected, atol=1e-5)
    wide, _ = with_aligned_norms(nn.Sequential(layer).eval(), math.inf)
    assert torch.allclose(wide(images), layer(images), atol=1e-5)


@pytest.mark.parametrize("joint", [False, True])
def test_alignment_takes_out_the_channel_that_carries_the_backdoor(joint: bool) -> None:
    network, data = planted(3.0), digits(60, 3)
    clean, triggered = data.floats, stamped(data.floats)
    assert (network(triggered).argmax(1) == 2).all()
    alignment = Alignment("tv", joint, 0.3, 50, 3, 0.05, 100, 48, 2048)
    before = copy.deepcopy(network.state_dict())
    aligned = alignment.align(network, clean, triggered, torch.Generator().manual_seed(0))
    assert (aligned.network(triggered).argmax(1) == data.labels).float().mean() > 0.95
    assert (aligned.network(clean).argmax(1) == data.labels).float().mean() > 0.95
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    inner = dict(aligned.network.named_parameters())
    assert torch.equal(inner["head.weight"], network.head.weight)
    assert torch.equal(inner["norm.norm.weight"], network.norm.weight)


@pytest.mark.parametrize("kind", ["tv", "js", "kl"])
def test_alignment_learns_the_shift_between_the_distributions(kind: Divergence) -> None:
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(128, 2, 4, 4, generator=generator)
    network = nn.Sequential(nn.BatchNorm2d(2)).eval()
    alignment = Alignment(kind, True, 0.3, 50, 3, 0.02, 100, 128, 2048)
    aligned = alignment.align(network, clean, clean + 0.6, generator)
    assert aligned.network.get_parameter("0.shift").numpy() == pytest.approx([0.6, 0.6], abs=0.2)
    assert aligned.divergences[-1] < aligned.divergences[0] / 2


# --- detection


def test_inversion_finds_a_smaller_patch_where_a_backdoor_is() -> None:
    data = digits(60, 1)
    images = torch.stack(
        [of_classes(data, [k for k in range(CLASSES) if k != t], 16, context().generator) for t in range(CLASSES)]
    )
    found = invert(
        planted(3.0), TRIGGER_MODELS["patch"], images, torch.arange(CLASSES), context().generator, steps=80, goal=0.95
    )
    assert found.norms.argmin() == 2
    assert found.success[2] >= 0.95
    triggered = found.apply(images)
    assert triggered.min() >= 0
    assert triggered.max() <= 1
    share = (planted(3.0)(triggered[2]).argmax(1) == 2).float().mean()
    assert share == pytest.approx(found.success[2].item())
    mask = found.parameters[0][2, 0].sigmoid()
    assert divmod(int(mask.argmax()), SIZE) == (CORNER, CORNER)


@pytest.mark.parametrize("kind", TRIGGER_MODELS)
def test_tasks_are_solved_alike_alone_and_side_by_side(kind: str) -> None:
    images = digits(24, 2).floats.view(4, 6, 1, SIZE, SIZE)
    model = TRIGGER_MODELS[kind]
    parameters = [p + 0.3 for p in model.start(4, (1, SIZE, SIZE), context().generator)]
    together, norms = model.apply(parameters, images), model.norm(parameters)
    for k in range(4):
        alone = [p[k : k + 1] for p in parameters]
        assert torch.allclose(model.apply(alone, images[k : k + 1])[0], together[k], atol=1e-6)
        assert torch.allclose(model.norm(alone)[0], norms[k])


def test_a_warp_of_whole_pixels_moves_the_image() -> None:
    images = torch.rand(1, 2, 3, 7, 9)
    moved = TRIGGER_MODELS["warp"].apply([torch.tensor([2.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 6, 6)], images)
    assert torch.allclose(moved[..., :-1, :-2], images[..., 1:, 2:], atol=1e-5)


def test_small_outliers_are_found_though_there_are_two_of_them() -> None:
    values = torch.tensor([1.0, 1.1, 0.9, 1.05, 0.95, 1.02, -1.0, -1.1, 0.98, 1.07], dtype=torch.float64)
    distance, outlying = small_outliers(values, 0.05)
    assert outlying.nonzero()[:, 0].tolist() == [6, 7]
    rest = values[~outlying].numpy()
    spread = rest.std(ddof=1) * math.sqrt(1 + 1 / 8)
    assert distance[6].item() == pytest.approx((rest.mean() + 1.0) / spread)
    assert not small_outliers(-values, 0.05)[1][:6].any()


def test_false_alarms_are_as_rare_as_the_significance_says() -> None:
    generator = torch.Generator().manual_seed(0)
    alarms = [
        bool(small_outliers(torch.randn(10, generator=generator, dtype=torch.float64), 0.1)[1].any())
        for _ in range(400)
    ]
    assert 0.05 < np.mean(alarms) < 0.16


def test_the_anomaly_index_counts_median_absolute_deviations() -> None:
    values = torch.tensor([1.0, 2.0, 3.0, 4.0, 30.0])
    assert anomaly_index(values).tolist() == [-2, -1, 0, 1, 27]


# --- the guard


FAST: dict[str, Any] = {"trigger_models": ("patch",), "steps": 80, "refine_steps": 60, "align_steps": 60}


def test_a_planted_target_is_flagged_and_repaired() -> None:
    network, test = planted(3.0), digits(60, 5)
    before = copy.deepcopy(network.state_dict())
    defended, around = guard(network, **FAST)
    assert around.diagnostics["class_statistic"]["flagged"] == [2]
    others = test.at(test.labels != 2)
    triggered = answer(defended, stamped(others.floats))
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
    _, around = guard(planted(3.0), search="pairs", images=6, prune=0, **FAST)
    assert 2 in around.diagnostics["class_statistic"]["flagged"]
    assert 2 not in around.diagnostics["target_2"]["sources"]


def pairs() -> tuple[Tensor, Tensor]:
    """Six images of a source, and the target, of every ordered pair of classes."""
    data, order = digits(60, 1), [(s, t) for t in range(CLASSES) for s in range(CLASSES) if s != t]
    images = [of_classes(data, [source], 6, context().generator) for source, _ in order]
    return torch.stack(images), torch.tensor([target for _, target in order])


def test_hopeless_searches_are_given_up_and_the_others_come_to_the_same_end() -> None:
    images, targets = pairs()
    whole, pruned = (
        invert(
            planted(3.0), TRIGGER_MODELS["patch"], images, targets, context().generator, steps=80, goal=0.95,
            prune=prune, least=CLASSES, batch=batch,
        )
        for prune, batch in ((0.0, 1024), (0.5, 24))
    )  # fmt: skip
    assert whole.finished.all()
    assert pruned.finished[targets == 2].all()
    assert CLASSES <= pruned.finished.sum() < 2 / 3 * len(targets)
    assert torch.allclose(pruned.norms[pruned.finished], whole.norms[pruned.finished], rtol=1e-2)
    given_up = ~pruned.finished
    assert pruned.norms[given_up].min() > 10 * pruned.norms[targets == 2].max()
    assert pruned.norms[given_up].median() == pytest.approx(whole.norms[given_up].median().item(), rel=0.1)


def test_pruning_does_not_change_what_is_found() -> None:
    found = [guard(planted(3.0), search="pairs", images=6, prune=prune, **FAST)[1].diagnostics for prune in (0, 0.5)]
    for diagnostics in found:
        assert diagnostics["class_statistic"]["flagged"] == [2]
        assert diagnostics["target_2"]["sources"] == [0, 1, 3, 4, 5]
    assert [diagnostics["triggers"]["patch"]["given_up"] > 0 for diagnostics in found] == [False, True]


def test_the_smallest_triggers_that_work_are_the_most_promising() -> None:
    norms, success = torch.tensor([5.0, 2, 1, 3, 4]), torch.tensor([1.0, 0.96, 0.5, 0.7, 0.95])
    assert promising(norms, success, 0.95).tolist() == [1, 4, 0, 3, 2]


@pytest.mark.parametrize("search", ["targets", "pairs"])
def test_a_target_is_found_of_which_there_is_no_reference_image(search: str) -> None:
    data, around = digits(60, 1), context()
    some = data.at(((data.labels != 2) & (data.labels != 5)).nonzero()[:8, 0])
    defended = BNA(search=search, **FAST).guard(planted(3.0), Known(clean=some), around)
    assert around.diagnostics["class_statistic"]["flagged"] == [2]
    assert set(around.diagnostics["target_2"]["sources"]) <= {0, 1, 3, 4}
    test = digits(60, 5)  # class 5 is beyond help: the alignment clips what no reference image shows
    test = test.at((test.labels != 2) & (test.labels != 5))
    assert (answer(defended, stamped(test.floats)).logits.argmax(1) == test.labels).float().mean() > 0.95


@pytest.mark.parametrize("search", ["targets", "pairs"])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_next_to_no_reference_images_are_borne(search: str, count: int) -> None:
    network, images = planted(0.0), digits(30, 5).floats
    quick: dict[str, Any] = {"trigger_models": ("patch",), "steps": 5, "refine_steps": 5, "align_steps": 2}
    defended = BNA(search=search, **quick).guard(network, Known(clean=digits(count, 1)), context())
    assert torch.equal(answer(defended, images).logits, network(images))


def test_a_class_that_the_trigger_also_moves_is_aligned_though_it_was_not_detected() -> None:
    network, around = planted(3.0), context()
    data = digits(60, 1)
    BNA(**FAST)._aligned(network, data, 2, ["patch"], [0, 1], around)
    assert around.diagnostics["target_2"]["patch"]["further"] == [3, 4, 5]


def test_of_the_models_that_show_a_target_the_one_that_shows_it_best_is_aligned_with() -> None:
    aligned: dict[str, list[list[str]]] = {"best": [], "all": []}
    for which, kinds in aligned.items():

        class Spied(BNA):
            def _aligned(self, model: nn.Module, *given: Any) -> nn.Module:
                kinds.append(given[2])  # noqa: B023
                return model

        few: dict[str, Any] = {"trigger_models": ("patch", "additive"), "steps": 80, "align_with": which}
        around = context()
        Spied(**few).guard(planted(40.0), Known(digits(60, 1)), around)
        found = around.diagnostics
        assert found["class_statistic"]["flagged"] == [2]
        scores = {
            kind: small_outliers(torch.tensor(found["triggers"][kind]["norm"]).log(), 0.05)[0][2].item()
            for kind in ("patch", "additive")
        }
    assert aligned == {"best": [[max(scores, key=scores.__getitem__)]], "all": [["additive", "patch"]]}


def test_a_benign_network_is_left_as_it_is() -> None:
    network, test = planted(0.0), digits(30, 5)
    defended, around = guard(network, **FAST)
    assert around.diagnostics["class_statistic"]["flagged"] == []
    prediction = answer(defended, test.floats)
    assert torch.equal(prediction.logits, network(test.floats))
    assert prediction.flagged is not None
    assert not prediction.flagged.any()


def test_only_inputs_assigned_to_a_target_are_asked_again() -> None:
    model, other = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(2))
    images = torch.randn(50, 1, 2, 2, generator=torch.Generator().manual_seed(3))
    prediction = respond(model, {1: other}, images)
    assert prediction.flagged is not None
    assert prediction.score is not None
    for k in range(50):
        asked = model(images[k : k + 1]).argmax() == 1
        expected = (other if asked else model)(images[k : k + 1])[0]
        assert torch.allclose(prediction.logits[k], expected, atol=1e-6)
        assert bool(prediction.flagged[k]) == bool(asked and expected.argmax() != 1)
        assert prediction.score[k].item() == pytest.approx(1 - expected.softmax(0)[1].item() if asked else 0, abs=1e-6)


def test_the_guard_is_deterministic_and_the_same_at_any_batch_size() -> None:
    images = stamped(digits(25, 6).floats)
    quick = FAST | {"align_steps": 20}
    (first, _), (second, _) = (guard(planted(3.0), **quick) for _ in range(2))
    whole = answer(first, images).logits
    assert torch.equal(whole, answer(second, images).logits)
    parts = torch.cat([answer(first, part).logits for part in images.split(4)])
    assert torch.allclose(whole, parts, atol=1e-5)
