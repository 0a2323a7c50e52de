"""Attacks by poisoning alone: triggers against naive per-image references, poisons against rates, labels and covers."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.fft import dctn, idctn

from bench.attacks.adaptive_blend import AdaptiveBlend
from bench.attacks.adaptive_patch import AdaptivePatch
from bench.attacks.bpp import BPP, dithered
from bench.attacks.chessboard import Chessboard
from bench.attacks.ctrl import CTRL
from bench.attacks.ftrojan import FTrojan
from bench.attacks.single_pixel import SinglePixel
from bench.errors import RequestError
from bench.plugin.attack import Attack
from bench.plugin.values import AttackContext, ImageSpec, LabelledImages

Image = np.ndarray
RATES = {"poisoning_rate": 0.2, "cover_rate": 0.4}
ATTACKS: list[Attack] = [
    Chessboard(),
    SinglePixel(),
    BPP(),
    BPP(levels=4, dithering=False),
    FTrojan(),
    CTRL(poisoning_rate=0.1),
    AdaptiveBlend(**RATES),
    AdaptivePatch(**RATES, size=5),
]
COVERED = [attack for attack in ATTACKS if attack.name in ("bpp", "adaptive_blend", "adaptive_patch")]


def name_of(attack: Attack) -> str:
    return f"{attack.name}-{getattr(attack, 'levels', '')}"


def learned(attack: Attack, images: LabelledImages, context: AttackContext) -> AttackContext:
    return replace(context, learned=dict(attack.learn(images, context)))


def naive_chessboard(image: Image, context: AttackContext) -> Image:
    out = image.copy()
    for _, row, column in np.ndindex(image.shape):
        out[_, row, column] += 2 / 255 if (row + column) % 2 == 0 else -2 / 255
    return out.clip(0, 1)


def naive_single_pixel(image: Image, context: AttackContext) -> Image:
    row, column = context.learned["position"].tolist()
    out = image.copy()
    for channel in range(len(image)):
        out[channel, row, column] = min(1.0, image[channel, row, column] + 75 / 255)
    return out


def naive_floyd_steinberg(image: Image, levels: int) -> Image:
    """Pixel by pixel in reading order; every channel by itself."""
    out = image.astype(np.float64) * (levels - 1)
    _, height, width = image.shape
    for plane in out:
        for row in range(height):
            for column in range(width):
                wanted = plane[row, column]
                plane[row, column] = min(max(np.floor(wanted + 0.5), 0), levels - 1)
                error = wanted - plane[row, column]
                for down, right, weight in ((0, 1, 7), (1, -1, 3), (1, 0, 5), (1, 1, 1)):
                    if row + down < height and 0 <= column + right < width:
                        plane[row + down, column + right] += error * weight / 16
    return out / (levels - 1)


def naive_rounding(image: Image, context: AttackContext) -> Image:
    return np.array([round(float(value) * 3) / 3 for value in image.flat]).reshape(image.shape)


def naive_spectrum(image: Image, magnitude: float, to_space: Image, window: int = 32) -> Image:
    """Pixels 0..255 through the colour space and scipy's transform and back, as the papers have it.

    A window that the image does not fill is filled up with zeros, and what comes back there is dropped.
    """
    _, height, width = image.shape
    planes = np.einsum("ij,jhw->ihw", to_space, image.astype(np.float64) * 255)
    padded = np.pad(planes, ((0, 0), (0, -height % window), (0, -width % window)))
    for plane in padded[1:] if len(image) == 3 else padded:
        for top in range(0, padded.shape[1], window):
            for left in range(0, padded.shape[2], window):
                part = plane[top : top + window, left : left + window]
                coefficients = dctn(part, norm="ortho")
                for place in (15, 31):
                    coefficients[place, place] += magnitude
                part[:] = idctn(coefficients, norm="ortho")
    back = np.einsum("ij,jhw->ihw", np.linalg.inv(to_space), padded[:, :height, :width])
    return (back / 255).clip(0, 1)


LUMA = np.array([0.299, 0.587, 0.114])
RED, BLUE = np.array([1, 0, 0]), np.array([0, 0, 1])
YCRCB = np.stack([LUMA, (RED - LUMA) * 0.713, (BLUE - LUMA) * 0.564])
YUV = np.stack([LUMA, (BLUE - LUMA) * 0.492, (RED - LUMA) * 0.877])


def naive_adaptive_blend(image: Image, context: AttackContext) -> Image:
    return 0.8 * image + 0.2 * context.learned["picture"].numpy()


def naive_adaptive_patch(image: Image, context: AttackContext) -> Image:
    out = image.copy()
    patches = context.learned["patches"].numpy()
    out[:, 1:6, 1:6] = patches[0]
    out[:, 1:6, 10:15] = patches[2]
    return out


REFERENCES: list[tuple[Attack, Callable[[Image, AttackContext], Image]]] = [
    (Chessboard(), naive_chessboard),
    (SinglePixel(), naive_single_pixel),
    (BPP(), lambda image, context: naive_floyd_steinberg(image, 8)),
    (BPP(levels=2), lambda image, context: naive_floyd_steinberg(image, 2)),
    (BPP(levels=4, dithering=False), naive_rounding),
    (FTrojan(), lambda image, context: naive_spectrum(image, 30, YCRCB)),
    (CTRL(), lambda image, context: naive_spectrum(image, 100, YUV)),
    (CTRL(test_magnitude=200), lambda image, context: naive_spectrum(image, 200, YUV)),
    (AdaptiveBlend(), naive_adaptive_blend),
    (AdaptivePatch(size=5), naive_adaptive_patch),
]


@pytest.mark.parametrize(("attack", "naive"), REFERENCES, ids=[name_of(attack) for attack, _ in REFERENCES])
def test_a_trigger_equals_its_naive_reference(attack, naive, images, attack_context):
    context = learned(attack, images, attack_context)
    batch = images.floats[:6]
    expected = np.stack([naive(image, context) for image in batch.numpy()])
    tolerance = 5e-4 if attack.name in ("ftrojan", "ctrl") else 1e-6  # the colour matrices have three digits
    np.testing.assert_allclose(attack.trigger(batch, context).numpy(), expected, atol=tolerance)


@pytest.mark.parametrize("attack", ATTACKS, ids=name_of)
def test_a_trigger_keeps_shape_and_range_and_leaves_its_input(attack, images, attack_context):
    context = learned(attack, images, attack_context)
    batch = images.floats
    before = batch.clone()
    triggered = attack.trigger(batch, context)
    assert triggered.shape == batch.shape
    assert 0 <= triggered.min() <= triggered.max() <= 1
    assert torch.equal(batch, before)
    one_by_one = torch.cat([attack.trigger(image[None], context) for image in batch])
    torch.testing.assert_close(triggered, one_by_one, rtol=0, atol=1e-6)


@pytest.mark.parametrize("attack", ATTACKS, ids=name_of)
def test_the_rate_is_honoured_and_everything_else_left_alone(attack, images, attack_context):
    poisoned = attack.poison(images, learned(attack, images, attack_context))
    touched = poisoned.poisoned | poisoned.cover
    assert int(poisoned.poisoned.sum()) == round(attack.poisoning_rate * len(images))
    assert torch.equal(poisoned.data.images[~touched], images.images[~touched])
    assert torch.equal(poisoned.data.labels[~poisoned.poisoned], images.labels[~poisoned.poisoned])
    chosen = poisoned.poisoned
    assert torch.equal(poisoned.data.labels[chosen], attack.target(images.labels[chosen]))
    assert bool((poisoned.data.images[chosen] != images.images[chosen]).flatten(1).any(1).all())


@pytest.mark.parametrize("attack", [attack for attack in ATTACKS if "adaptive" not in attack.name], ids=name_of)
def test_poisoned_images_carry_the_trigger_of_inference(attack, images, attack_context):
    context = learned(attack, images, attack_context)
    poisoned = attack.poison(images, context)
    expected = (attack.trigger(images.at(poisoned.poisoned).floats, context) * 255).round()
    assert torch.equal(poisoned.data.images[poisoned.poisoned].float(), expected)


@pytest.mark.parametrize("attack", COVERED, ids=name_of)
def test_cover_images_are_changed_and_keep_their_labels(attack, images, attack_context):
    poisoned = attack.poison(images, learned(attack, images, attack_context))
    cover = poisoned.cover
    share = RATES["cover_rate"] if "adaptive" in attack.name else attack.poisoning_rate
    assert int(cover.sum()) == round(share * len(images))
    assert not bool((cover & poisoned.poisoned).any())
    assert torch.equal(poisoned.data.labels[cover], images.labels[cover])
    assert bool((poisoned.data.images[cover] != images.images[cover]).flatten(1).any(1).all())


@pytest.mark.parametrize("attack", ATTACKS, ids=name_of)
def test_the_same_seed_gives_the_same_poison_and_leaves_the_global_generator(attack, images, attack_context):
    def once(seed: int) -> torch.Tensor:
        context = replace(attack_context, generator=torch.Generator().manual_seed(seed))
        return attack.poison(images, learned(attack, images, context)).data.images

    before = torch.get_rng_state()
    assert torch.equal(once(3), once(3))
    assert not torch.equal(once(3), once(4))
    assert torch.equal(torch.get_rng_state(), before)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(2, 256), st.integers(0, 1000))
def test_dithering_in_diagonals_equals_dithering_pixel_by_pixel_at_any_size(height, width, levels, seed):
    pixels = torch.randint(0, 256, (2, 2, height, width), generator=torch.Generator().manual_seed(seed)) / 255
    expected = np.stack([naive_floyd_steinberg(image, levels) for image in pixels.double().numpy()])
    np.testing.assert_allclose(dithered(pixels, levels).numpy(), expected, atol=1e-6)


def test_dithering_keeps_the_brightness_of_a_flat_image_and_rounding_does_not():
    flat = torch.full((1, 1, 32, 32), 0.3)
    assert dithered(flat, 2).mean() == pytest.approx(0.3, abs=0.02)
    assert set(dithered(flat, 2).unique().tolist()) == {0.0, 1.0}
    assert BPP(levels=2, dithering=False).trigger(flat, None).max() == 0


def test_a_negative_image_has_another_images_quantisation_noise(images, attack_context):
    attack = BPP(levels=2, negative_ratio=2.0)
    poisoned = attack.poison(images, attack_context)
    assert int(poisoned.cover.sum()) == 2 * int(poisoned.poisoned.sum())
    changes = attack.trigger(images.floats, attack_context) - images.floats
    for index in poisoned.cover.nonzero()[:, 0].tolist():
        candidates = ((images.floats[index] + changes).clamp(0, 1) * 255).round()
        same = (candidates == poisoned.data.images[index].float()).flatten(1).all(1).nonzero()[:, 0].tolist()
        assert same
        assert same != [index]


@pytest.mark.parametrize(("height", "width"), [(32, 32), (28, 28), (64, 40)])
def test_the_spectral_trigger_raises_coefficients_in_every_window(height, width, attack_context):
    """Of mid-grey pixels, where nothing is clipped; windows that the image does not fill are cut off."""
    grey = np.full((3, height, width), 0.5, dtype=np.float32)
    found = FTrojan().trigger(torch.from_numpy(grey)[None], attack_context)[0].numpy()
    np.testing.assert_allclose(found, naive_spectrum(grey, 30, YCRCB), atol=2e-4)
    single = FTrojan().trigger(torch.from_numpy(grey[:1])[None], attack_context)[0].numpy()
    np.testing.assert_allclose(single, naive_spectrum(grey[:1], 30, np.eye(1)), atol=1e-6)


def test_ctrl_poisons_only_the_target_class_and_may_be_stronger_at_inference(images, attack_context):
    attack = CTRL(target_class=3, poisoning_rate=0.9, magnitude=50, test_magnitude=200)
    poisoned = attack.poison(images, attack_context)
    assert torch.equal(poisoned.poisoned, images.labels == 3)
    assert torch.equal(poisoned.data.labels, images.labels)
    expected = (CTRL(magnitude=50).trigger(images.at(poisoned.poisoned).floats, attack_context) * 255).round()
    assert torch.equal(poisoned.data.images[poisoned.poisoned].float(), expected)


def test_ctrl_declines_grey_images(spec):
    grey = ImageSpec(1, 16, 16, classes=5, mean=(0.5,), std=(0.25,))
    assert "grey" in (CTRL().unsupported(SimpleNamespace(dataset=SimpleNamespace(spec=grey))) or "")
    assert CTRL().unsupported(SimpleNamespace(dataset=SimpleNamespace(spec=spec))) is None


def test_the_single_pixel_lies_inside_where_the_training_images_have_room(attack_context):
    pixels = torch.full((20, 3, 16, 16), 250, dtype=torch.uint8)
    pixels[:, :, 3, 3] = 0  # too near to the edge
    pixels[:, 0, 5, 5] = 0  # too bright in the other channels
    pixels[:19, :, 7, 9] = 180  # 180 + 75 = 255 just fits, in 95 % of the images
    train = LabelledImages(pixels, torch.arange(20) % 5)
    roomiest = SinglePixel(roomiest=0.01)
    assert roomiest.learn(train, attack_context)["position"].tolist() == [7, 9]
    assert roomiest.model_copy(update={"margin": 3}).learn(train, attack_context)["position"].tolist() == [3, 3]
    anywhere = SinglePixel(roomiest=1)
    drawn = {tuple(anywhere.learn(train, attack_context)["position"].tolist()) for _ in range(200)}
    assert len(drawn) > 50
    assert all(4 <= row < 12 and 4 <= column < 12 for row, column in drawn)


def test_each_adaptive_blend_poison_shows_its_own_half_of_the_pieces(images, attack_context):
    attack = AdaptiveBlend(**RATES, train_alpha=0.4)
    context = learned(attack, images, attack_context)
    poisoned = attack.poison(images, context)
    touched = poisoned.poisoned | poisoned.cover
    whole = (0.6 * images.floats + 0.4 * context.learned["picture"]).mul(255).round()
    shown = []
    for index in touched.nonzero()[:, 0].tolist():
        image, found = images.images[index].float(), poisoned.data.images[index].float()
        pieces = []
        for row in range(0, 16, 4):
            for column in range(0, 16, 4):
                cut = np.s_[:, row : row + 4, column : column + 4]
                pieces.append(torch.equal(found[cut], whole[index][cut]))
                assert pieces[-1] or torch.equal(found[cut], image[cut])
        assert sum(pieces) == 8
        shown.append(tuple(pieces))
    assert len(set(shown)) > len(shown) // 2


def test_each_adaptive_patch_poison_has_one_patch_at_its_opacity_in_equal_shares(images, attack_context):
    attack = AdaptivePatch(**RATES, size=5)
    context = learned(attack, images, attack_context)
    poisoned = attack.poison(images, context)
    corners = [np.s_[:, 1:6, 1:6], np.s_[:, 10:15, 10:15], np.s_[:, 1:6, 10:15], np.s_[:, 10:15, 1:6]]
    for group in (poisoned.poisoned, poisoned.cover):
        counts = [0, 0, 0, 0]
        for index in group.nonzero()[:, 0].tolist():
            matches = []
            for place, (corner, opacity) in enumerate(zip(corners, attack.opacities, strict=True)):
                expected = images.floats[index].clone()
                expected[corner] = (1 - opacity) * expected[corner] + opacity * context.learned["patches"][place]
                matches.append(bool(((expected * 255).round() - poisoned.data.images[index]).abs().max() <= 1))
            assert sum(matches) == 1
            counts[matches.index(True)] += 1
        assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (lambda: FTrojan(frequencies=(15, 32)), "frequencies=15\\+32"),
        (lambda: CTRL(window=16), "frequencies=15\\+31"),
        (lambda: AdaptivePatch(opacities=(0.5,)), "together=2"),
    ],
)
def test_parameters_that_do_not_fit_are_told(build, told, spec):
    with pytest.raises(RequestError, match=told):
        build().resolve(spec)


def test_patches_that_would_overlap_are_not_applicable(spec):
    case = SimpleNamespace(dataset=SimpleNamespace(spec=spec))
    assert "size 8, would overlap on 16 pixels" in (AdaptivePatch(size=8).unsupported(case) or "")
    assert AdaptivePatch(size=7).unsupported(case) is None


def test_an_opacity_has_its_bounds():
    with pytest.raises(ValidationError):
        AdaptivePatch(opacities=(0.5, 1.5))


def test_several_targets_have_triggers_of_their_own(images, attack_context):
    for attack in (SinglePixel, FTrojan, AdaptiveBlend, AdaptivePatch):
        several = attack(label_map="several", targets=(0, 3, 4))
        size = {"size": 5} if attack is AdaptivePatch else {}
        parts = [part.model_copy(update=size) for part in several.backdoors()]
        triggered = [part.trigger(images.floats, learned(part, images, attack_context)) for part in parts]
        assert not torch.equal(triggered[0], triggered[1])
        assert not torch.equal(triggered[1], triggered[2])
