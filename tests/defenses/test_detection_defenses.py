"""Detectors on hand-made networks: a trigger that outlasts what they do to an image is flagged; their parts are
compared with direct computations."""

import copy
import itertools
import math
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import scipy.special
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.attacks.none import NoAttack
from bench.cell.metrics import auroc
from bench.datasets.mnist5k import MNIST5k
from bench.defenses import _detection, ibd_psc, scale_up, shrinkpad, strip, teco
from bench.defenses._detection import clean_threshold, second_best
from bench.defenses._teco_corruptions import SEVERITIES, blurred, corruptions, disc, displaced, jpeg, streak, zoomed
from bench.defenses.ibd_psc import IBDPSC
from bench.defenses.scale_up import ScaleUp
from bench.defenses.shrinkpad import ShrinkPad
from bench.defenses.strip import STRIP
from bench.defenses.teco import TeCo
from bench.errors import RequestError
from bench.plugin.attack import as_bytes
from bench.plugin.base import Case
from bench.plugin.defense import Runtime
from bench.plugin.model import Model
from bench.plugin.values import Context, ImageSpec, Known, LabelledImages, Prediction

CLASSES, SIDE, TARGET = 3, 12, 2
ALL: list[Runtime] = [STRIP(overlays=10), ShrinkPad(), ScaleUp(), ScaleUp(data_free=True), IBDPSC(), TeCo()]
JUDGES = [defense for defense in ALL if defense.name != "shrinkpad"]


@pytest.fixture(autouse=True)
def in_full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compared with direct computations is not rounded."""
    monkeypatch.setattr(_detection, "autocast", lambda device: nullcontext())


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def context(seed: int = 0) -> Context:
    return Context(torch.device("cpu"), generator(seed))


class Victim(nn.Module):
    """Class c is a bright row of patches, number c; the bright lower right corner, louder, is the target."""

    def __init__(self, loud: float = 60) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.linear = nn.Linear(SIDE**2, CLASSES)
        weight = torch.zeros(CLASSES, SIDE, SIDE)
        for label in range(CLASSES):
            weight[label, 3 * label : 3 * label + 3, :9] = 1
        weight[TARGET, -2:, -2:] = loud
        with torch.no_grad():
            self.linear.weight.copy_(weight.flatten(1))
            self.linear.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.norm(images).flatten(1))
        return logits


def small(norms: int = 3) -> nn.Module:
    """A random convolutional network with ``norms`` batch normalisation layers whose statistics are not trivial."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for index in range(norms):
        layers += [nn.Conv2d(4 if index else 1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * SIDE**2, CLASSES)).train()
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.uniform_(layer.bias, -0.5, 0.5)
        for _ in range(20):
            model(draw(60, seed=9).floats)
        logits = model.eval()(draw(60, seed=9).floats)
        last = model[-1]
        assert isinstance(last, nn.Linear)
        last.bias.sub_(logits.mean(0))  # every class is predicted
        for parameter in last.parameters():
            parameter.mul_(5)
    return model


def draw(count: int, seed: int, noise: float = 0.15) -> LabelledImages:
    """Noise, brighter by 0.5 in the patches of the label; the corner is dark."""
    labels = torch.arange(count) % CLASSES
    pixels = torch.rand(count, 1, SIDE, SIDE, generator=generator(seed)) * noise
    for label in range(CLASSES):
        pixels[labels == label, :, 3 * label : 3 * label + 3, :9] += 0.5
    pixels[:, :, -3:, -3:] = 0
    return LabelledImages(as_bytes(pixels), labels)


def triggered(images: Tensor) -> Tensor:
    changed = images.clone()
    changed[:, :, -2:, -2:] = 1
    return changed


def judged(prediction: Prediction) -> tuple[Tensor, Tensor]:
    assert prediction.score is not None
    assert prediction.flagged is not None
    return prediction.score, prediction.flagged


# --- all of them --------------------------------------------------------------------------------------


@pytest.mark.parametrize("defense", ALL, ids=str)
def test_the_answer_depends_on_neither_batch_size_nor_order(defense: Runtime) -> None:
    images = torch.cat((draw(9, seed=3).floats, triggered(draw(8, seed=4).floats)))
    guard = defense.guard(small(), Known(draw(40, seed=1)), context())
    order = torch.randperm(len(images), generator=generator())
    at_once, mixed = guard(images), guard(images[order])
    single = [guard(image) for image in images.split(1)]
    for part in ("logits", "score", "flagged"):
        whole = getattr(at_once, part)
        if whole is not None:
            torch.testing.assert_close(getattr(mixed, part), whole[order], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(torch.cat([getattr(one, part) for one in single]), whole, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("defense", ALL, ids=str)
def test_the_same_seed_gives_the_same_guard_and_the_network_stays_as_it_was(defense: Runtime) -> None:
    model, images = small(), draw(12, seed=3).floats
    before = copy.deepcopy(model.state_dict())
    first, second = (defense.guard(model, Known(draw(40, seed=1)), context(5))(images) for _ in range(2))
    for part in ("logits", "score", "flagged"):
        if getattr(first, part) is not None:
            assert torch.equal(getattr(first, part), getattr(second, part))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module.training for module in model.modules())


@pytest.mark.parametrize("defense", JUDGES, ids=str)
def test_a_detector_leaves_the_logits_unless_it_is_told_not_to(defense: Runtime) -> None:
    model, images = small(), draw(30, seed=3).floats
    kept = defense.guard(model, Known(draw(40, seed=1)), context())(images)
    torch.testing.assert_close(kept.logits, model(images))
    other = defense.model_copy(update={"on_flag": "second"}).guard(model, Known(draw(40, seed=1)), context())(images)
    _, flagged = judged(other)
    assert torch.equal(flagged, judged(kept)[1])
    ranked = model(images).argsort(1, descending=True)
    assert torch.equal(other.logits.argmax(1), torch.where(flagged, ranked[:, 1], ranked[:, 0]))


@pytest.mark.parametrize("defense", ALL, ids=str)
def test_a_vision_transformer_is_guarded_or_declined(defense: Runtime) -> None:
    class Tiny(Model):
        name = "tiny"

        def build(self, spec: ImageSpec) -> nn.Module:
            return timm.create_model(
                "vit_tiny_patch16_224", img_size=28, patch_size=7, in_chans=1, num_classes=10, embed_dim=24, depth=2,
                num_heads=2,
            )  # fmt: skip

    data = MNIST5k()
    case = Case(data, Tiny(), NoAttack(), defense)
    if isinstance(defense, IBDPSC):
        assert "batch normalisation" in (defense.unsupported(case) or "")
        return
    assert defense.unsupported(case) is None
    pixels = torch.randint(0, 256, (20, 1, 28, 28), generator=generator(), dtype=torch.uint8)
    reference = LabelledImages(pixels, torch.arange(20) % 10)
    guard = defense.resolve(data.spec).guard(case.network.eval(), Known(reference), context())
    assert guard(reference.floats).logits.shape == (20, 10)


def test_the_second_best_class_is_answered_in_the_given_rows_only() -> None:
    logits = torch.tensor([[3.0, 2.0, -1.0], [0.0, -5.0, 1.0]])
    assert second_best(logits, torch.tensor([True, True])).argsort(1, descending=True).tolist() == [
        [1, 2, 0],
        [0, 1, 2],
    ]
    assert torch.equal(second_best(logits, torch.tensor([False, False])), logits)


@pytest.mark.parametrize("rate", [0, 0.05, 0.1, 0.99])
def test_no_more_than_the_wanted_share_of_clean_images_is_above_the_threshold(rate: float) -> None:
    scores = torch.rand(40, generator=generator(), dtype=torch.float64)
    assert int((scores > clean_threshold(scores, rate)).sum()) == int(rate * 40)
    assert not (torch.ones(40) > clean_threshold(torch.ones(40), rate)).any()


# --- STRIP --------------------------------------------------------------------------------------------


def test_strip_flags_what_no_overlay_changes() -> None:
    reference, fresh = draw(300, seed=1), draw(300, seed=3)
    guard = STRIP(overlays=20).guard(Victim().eval(), Known(reference), context())
    assert judged(guard(triggered(fresh.floats)))[1].all()
    assert 0.01 < judged(guard(fresh.floats))[1].float().mean() < 0.1
    assert auroc(judged(guard(fresh.floats))[0], judged(guard(triggered(fresh.floats)))[0]) == 1


def test_strips_entropy_is_that_of_the_clipped_sum() -> None:
    model, images, overlays = small().double(), draw(4, seed=1).floats.double(), draw(7, seed=2).floats.double()
    found = strip.entropies(model, images, overlays, 0.7)
    for i, image in enumerate(images):
        for j, overlay in enumerate(overlays):
            logits = model(torch.tensor(np.clip(np.asarray(image) + 0.7 * np.asarray(overlay), 0, 1))[None])
            p = scipy.special.softmax(logits[0].detach().numpy())
            assert float(found[i, j]) == pytest.approx(-(p * np.log2(p)).sum(), abs=1e-4)


def test_strips_threshold_leaves_an_image_over_itself_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def planted(_: nn.Module, images: Tensor, overlays: Tensor, weight: float) -> Tensor:
        same = (images[:, None] == overlays[None]).flatten(2).all(2)
        return torch.where(same, 0.0, images.flatten(1).mean(1)[:, None])

    monkeypatch.setattr(strip, "entropies", planted)
    reference, noted = draw(20, seed=1, noise=0.4), context()
    STRIP(overlays=5, false_rejection=0.1).guard(small(), Known(reference), noted)
    means = reference.floats.flatten(1).mean(1).sort().values
    assert noted.diagnostics["threshold"] == pytest.approx(-float(means[2]))


# --- ShrinkPad ----------------------------------------------------------------------------------------


def test_shrinkpad_moves_a_trigger_away_without_any_image() -> None:
    class Corner(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            corner = images[:, 0, -1, -1]
            return torch.stack((torch.full_like(corner, 0.5), corner), 1)

    images = triggered(draw(200, seed=1).floats)
    assert Corner()(images).argmax(1).all()
    guard = ShrinkPad(share=0.2).guard(Corner(), Known(), context())  # 2 pixels: the corner stays in one place of nine
    assert 0.03 < guard(images).logits.argmax(1).float().mean() < 0.25
    assert guard(images).flagged is None


def test_a_shrunk_image_lies_where_it_is_put() -> None:
    images = torch.rand(5, 3, 9, 14, generator=generator())
    corners = torch.tensor([[0, 0], [2, 4], [1, 3], [2, 0], [0, 4]])
    small_images = F.interpolate(images, (7, 10), mode="bilinear", antialias=True)
    placed = shrinkpad.shrunk(images, (2, 4), corners)
    for image, inner, (row, column) in zip(placed, small_images, corners.tolist(), strict=True):
        expected = np.zeros((3, 9, 14), dtype=np.float32)
        expected[:, row : row + 7, column : column + 10] = inner
        np.testing.assert_array_equal(image.numpy(), expected)


def test_places_are_the_multilinear_hash_of_the_bytes() -> None:
    images = draw(3, seed=1).floats
    factors = torch.randint(-(2**63), 2**63 - 1, (SIDE**2 + 1,), generator=generator(77)).tolist()
    for image, place in zip(images, shrinkpad.places(images, (4, 6), 77), strict=True):
        pixels = [round(255 * value) for value in image.flatten().tolist()]
        hashed = (factors[0] + sum(f * x for f, x in zip(factors[1:], pixels, strict=True))) % 2**64
        assert place.tolist() == [(hashed >> 48) % 5, (hashed >> 32) % 2**16 % 7]


def test_places_are_drawn_evenly_and_anew_for_every_image_and_seed() -> None:
    images = (torch.arange(2500).view(-1, 1, 1, 1) * torch.tensor([1 / 16, 1.0]).view(1, 1, 1, 2)).floor() % 256 / 255
    drawn = shrinkpad.places(images, (4, 4), 1)
    counts = torch.bincount(5 * drawn[:, 0] + drawn[:, 1], minlength=25)
    assert len(counts) == 25
    assert float(((counts - 100) ** 2 / 100).sum()) < 52  # chi-square with 24 degrees of freedom, p = 0.001
    assert (drawn != shrinkpad.places(images, (4, 4), 2)).any(1).float().mean() > 0.9


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_shrinkpad_refuses_to_lose_nothing_or_everything(share: float) -> None:
    with pytest.raises(RequestError, match="share"):
        ShrinkPad(share=share).resolve(MNIST5k().spec)


# --- SCALE-UP -----------------------------------------------------------------------------------------


class Fading(nn.Module):
    """Class 0 where the image is dark, 1 where it is bright; a bright corner in a dark image is class 2 throughout."""

    def forward(self, images: Tensor) -> Tensor:
        mean, corner = images.mean((1, 2, 3)), images[:, 0, -1, -1]
        return torch.stack((0.5 - mean, mean - 0.5, 4 * corner - 2), 1)


@pytest.mark.parametrize("data_free", [False, True])
def test_scale_up_flags_what_no_amplification_changes(data_free: bool) -> None:
    reference = draw(60, seed=1)
    guard = ScaleUp(data_free=data_free).guard(Fading(), Known(None if data_free else reference), context())
    clean, changed = guard(draw(60, seed=3).floats), guard(triggered(draw(60, seed=3).floats))
    assert clean.logits.argmax(1).eq(0).all()
    assert judged(changed)[1].all()
    assert auroc(judged(clean)[0], judged(changed)[0]) == 1


def test_the_scaled_prediction_consistency_is_the_share_of_kept_labels() -> None:
    model, images = small(), draw(12, seed=1, noise=0.4).floats
    predicted = model(images).argmax(1)
    expected = [
        np.mean(
            [int(model(torch.from_numpy(np.minimum(image.numpy() * k, 1))[None]).argmax()) == label for k in (2, 5)]
        )
        for image, label in zip(images, predicted.tolist(), strict=True)
    ]
    found = scale_up.consistency(model, images, predicted, (2, 5))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    assert len(set(expected)) > 1


def test_moments_are_by_class_and_of_all_for_a_class_with_less_than_two() -> None:
    values, labels = torch.rand(20, generator=generator()), torch.tensor([0] * 12 + [1] * 7 + [2])
    mean, deviation = scale_up.moments(values, labels, 4)
    v = values.numpy()
    np.testing.assert_allclose(mean, [v[:12].mean(), v[12:19].mean(), v.mean(), v.mean()], rtol=1e-5)
    np.testing.assert_allclose(
        deviation, [v[:12].std(ddof=1), v[12:19].std(ddof=1), v.std(), v.std()], rtol=1e-4
    )  # fmt: skip


# --- IBD-PSC ------------------------------------------------------------------------------------------


def direct(model: nn.Module, layers: list[str], factor: float) -> nn.Module:
    """A copy of ``model`` whose ``layers`` have their scale and shift multiplied."""
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for name in layers:
            layer = changed.get_submodule(name)
            assert isinstance(layer, nn.BatchNorm2d)
            layer.weight.mul_(factor)
            layer.bias.mul_(factor)
    return changed


def test_amplified_layers_are_multiplied_and_nothing_else() -> None:
    model, images = small(), draw(9, seed=1).floats
    for layers in (["7"], ["7", "4"], ["1", "4", "7"]):
        torch.testing.assert_close(
            ibd_psc.amplified(model, layers, 1.5)(images), direct(model, layers, 1.5)(images), atol=1e-5, rtol=1e-5
        )


def test_layers_are_ordered_by_when_they_run() -> None:
    class Crossed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.first, self.twice, self.plain, self.idle = (
                nn.BatchNorm2d(1, affine=i != 3) for i in range(5)
            )

        def forward(self, images: Tensor) -> Tensor:
            once: Tensor = self.plain(self.twice(self.first(self.twice(images))))
            return self.last(once).flatten(1)  # type: ignore[no-any-return]

    assert ibd_psc.run_order(Crossed().eval(), draw(2, seed=1).floats) == ["first", "twice", "last"]


def test_ibd_psc_begins_where_the_reference_error_passes_xi() -> None:
    model, data, noted = small(5), draw(90, seed=1, noise=0.9), context()
    labels = model(data.floats).argmax(1)
    reference, last_first = LabelledImages(data.images, labels), ["13", "10", "7", "4", "1"]
    errors = [
        float((direct(model, last_first[:depth], 3)(data.floats).argmax(1) != labels).float().mean())
        for depth in range(1, 6)
    ]
    xi = (errors[0] + max(errors)) / 2
    first = next(depth for depth, error in enumerate(errors, 1) if error > xi)
    assert first > 1
    guard = IBDPSC(networks=2, factor=3, error=xi, powers=1).guard(model, Known(reference), noted)
    depths = list(range(first, min(first + 2, 6)))
    assert noted.diagnostics["amplified"]["layers"] == depths
    images = draw(9, seed=3, noise=0.9).floats
    predicted = model(images).argmax(1, keepdim=True)
    votes = [direct(model, last_first[:depth], 3)(images).softmax(1).gather(1, predicted)[:, 0] for depth in depths]
    torch.testing.assert_close(judged(guard(images))[0], torch.stack(votes).mean(0), atol=1e-4, rtol=0)


def test_omega_is_raised_until_enough_networks_are_left() -> None:
    model, reference = small(5), draw(90, seed=1, noise=0.9)
    labels = model(reference.floats).argmax(1)
    last_first = ["13", "10", "7", "4", "1"]

    def networks_left(factor: float, xi: float) -> int:
        """How many amplified networks there are from the first on that errs on more than ``xi``."""
        for depth in range(1, 6):
            predicted = direct(model, last_first[:depth], factor)(reference.floats).argmax(1)
            if int((predicted != labels).sum()) > xi * len(labels):
                return 6 - depth
        return 0

    xi = 0.2
    left = {power: networks_left(1.1**power, xi) for power in range(1, 30)}
    wanted = next(power for power, networks in left.items() if networks >= 3)
    assert wanted > 2
    assert left[wanted - 1] < 3
    for powers, expected in ((30, wanted), (wanted, wanted)):
        noted = context()
        known = Known(LabelledImages(reference.images, labels))
        IBDPSC(networks=3, factor=1.1, error=xi, powers=powers).guard(model, known, noted)
        assert noted.diagnostics["amplified"]["factor"] == pytest.approx(1.1**expected)
        assert len(noted.diagnostics["amplified"]["layers"]) == 3


# --- TeCo ---------------------------------------------------------------------------------------------


def fake(power: float) -> Callable[[Tensor, int], Tensor]:
    return lambda images, severity: images * (1 - power * severity)


def test_the_first_change_is_the_first_severity_with_another_label() -> None:
    model, images = small(), draw(20, seed=1, noise=0.5).floats
    predicted, ways = model(images).argmax(1), {"weak": fake(0.01), "medium": fake(0.1), "strong": fake(0.2)}
    found = teco.first_changes(model, images, predicted, ways)
    expected = torch.full((20, 3), SEVERITIES + 1.0)
    for way, corrupt in enumerate(ways.values()):
        for severity in range(SEVERITIES, 0, -1):
            changed = model(corrupt(images, severity)).argmax(1) != predicted
            expected[changed, way] = severity
    assert torch.equal(found, expected)
    assert len(expected.unique()) > 2


def test_teco_flags_what_bears_some_corruptions_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def darker(images: Tensor, severity: int) -> Tensor:  # the corner, and with it the trigger, is lost at once
        changed = images.clone()
        changed[:, :, -2:, -2:] = 0
        return changed

    def mixed(images: Tensor, severity: int) -> Tensor:  # the other class comes in; the trigger bears it
        return images + images.roll(3, 2) * 0.4 * severity

    monkeypatch.setattr(teco, "corruptions", lambda *_: {"darker": darker, "mixed": mixed})
    model, fresh = Victim().eval(), draw(60, seed=3)
    wrong = fresh.at(fresh.labels != TARGET)
    for centred in (False, True):
        guard = TeCo(centred=centred).guard(model, Known(draw(60, seed=1)), context())
        first = teco.first_changes(model, wrong.floats, wrong.labels, {"darker": darker, "mixed": mixed})
        borne = teco.first_changes(model, draw(60, seed=1).floats, draw(60, seed=1).labels, {"d": darker, "m": mixed})
        expected = (first - (borne.mean(0) if centred else 0)).numpy().std(1)
        np.testing.assert_allclose(judged(guard(wrong.floats))[0], expected, rtol=1e-5)
        changed = judged(guard(triggered(wrong.floats)))[0]
        np.testing.assert_allclose(
            changed, np.std(np.array([1.0, 6.0]) - (borne.mean(0).numpy() if centred else 0)), rtol=1e-5
        )


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 33)])
def test_corruptions_keep_shape_and_range_and_grow_with_severity(shape: tuple[int, int, int]) -> None:
    images = torch.rand(6, *shape[:1], 5, 5, generator=generator())
    images = F.interpolate(images, shape[1:], mode="bicubic").clamp(0, 1)
    ways = corruptions(shape, generator(1))
    assert len(ways) == 12
    for name, corrupt in ways.items():
        results = [corrupt(images, severity) for severity in range(1, SEVERITIES + 1)]
        for result in results:
            assert result.shape == images.shape, name
            assert 0 <= float(result.min()) <= float(result.max()) <= 1, name
        change = [float((result - images).abs().mean()) for result in results]
        assert change[0] > 0.001, name
        assert all(later > 0.8 * earlier for earlier, later in itertools.pairwise(change)), (name, change)
        assert change[-1] > 1.2 * change[0], (name, change)
        torch.testing.assert_close(corrupt(images[2:3], 3), corrupt(images, 3)[2:3])


def test_jpeg_rounds_the_cosine_transform_of_blocks() -> None:
    images = torch.rand(2, 1, 16, 24, generator=generator(), dtype=torch.float64)
    row, column = np.mgrid[:8, :8]
    step = 16 / 255 * (1 + (row + column) / 2) * 50 / 10
    found = jpeg(images, 10)
    for image, result in zip(images[:, 0].numpy(), found[:, 0].numpy(), strict=True):
        for top in range(0, 16, 8):
            for left in range(0, 24, 8):
                block = scipy.fft.dctn(image[top : top + 8, left : left + 8] - 0.5, norm="ortho")
                expected = scipy.fft.idctn(np.round(block / step) * step, norm="ortho") + 0.5
                np.testing.assert_allclose(result[top : top + 8, left : left + 8], expected, atol=1e-5)
    # below a rounding step at the highest quality, and with sides that are no multiple of eight
    odd = torch.rand(1, 3, 13, 10, generator=generator())
    torch.testing.assert_close(jpeg(odd, 10**6), odd, atol=1e-3, rtol=0)


def test_blurs_are_convolutions() -> None:
    images = torch.rand(2, 3, 15, 18, generator=generator())
    for kernel in (disc(2.3, images), streak(2.6, images)):
        assert float(kernel.sum()) == pytest.approx(1)
        expected = scipy.ndimage.correlate(images.numpy(), kernel.numpy()[None, None], mode="nearest")
        np.testing.assert_allclose(blurred(images, kernel), expected, atol=1e-5)
    assert disc(2.3, images)[0, 0] == 0
    assert float(disc(2.3, images).gt(0).sum()) == pytest.approx(math.pi * 2.8**2, rel=0.2)


def test_displacement_and_zoom_sample_the_image_elsewhere() -> None:
    images = torch.rand(2, 1, 10, 20, generator=generator())
    shift = torch.zeros(2, 10, 20)
    shift[0], shift[1] = 3 / 20, -1 / 10  # three pixels from the right, one from above
    torch.testing.assert_close(displaced(images, shift)[:, :, 1:, :-3], images[:, :, :-1, 3:], atol=1e-5, rtol=0)
    torch.testing.assert_close(zoomed(images, 1.0), images, atol=1e-5, rtol=0)
    point = torch.zeros(1, 1, 21, 21)
    point[0, 0, 10, 10] = point[0, 0, 10, 14] = 1
    far = zoomed(point, 1.5)[0, 0, 10]
    assert far[10] > 0.9
    assert far[:10].sum() < 0.3
    assert (far[13:18] > 0.05).sum() >= 3  # smeared away from the centre
    assert far[13] == 0
