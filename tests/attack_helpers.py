"""Helpers of the attacks' tests: an attack that has learned, and per-image references to compare triggers with."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from scipy.fft import dctn, idctn
from torch import Tensor, nn

from bench.plugin.attack import Attack, Objective
from bench.plugin.values import AttackContext, LabelledImages, Poisoned

Image = np.ndarray  # (C, H, W) in [0, 1]
Reference = Callable[[Image, AttackContext], Image]

LUMA = np.array([0.299, 0.587, 0.114])
RED, BLUE = np.array([1, 0, 0]), np.array([0, 0, 1])
YCRCB = np.stack([LUMA, (RED - LUMA) * 0.713, (BLUE - LUMA) * 0.564])
YUV = np.stack([LUMA, (BLUE - LUMA) * 0.492, (RED - LUMA) * 0.877])


def with_learned(attack: Attack, images: LabelledImages, context: AttackContext) -> AttackContext:
    """``context`` with what ``attack`` learns from ``images`` before poisoning."""
    return replace(context, learned=dict(attack.learn(images, context)))


def after_training(context: AttackContext, objective: Objective) -> AttackContext:
    """``context`` with what ``objective`` has learned too."""
    return replace(context, learned={**context.learned, **objective.learned()})


def train_steps(objective: Objective, model: nn.Module, images: LabelledImages, share: float, count: int = 3) -> None:
    """``count`` steps of SGD on ``objective``, as if the share ``share`` of the training were done."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(count):
        loss = objective.loss(model, images.floats, images.labels, share)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def flat_weights(network: nn.Module) -> Tensor:
    """A copy of all weights and buffers of ``network`` in one vector."""
    return torch.cat([value.detach().flatten() for value in network.state_dict().values()]).clone()


def seeded(context: AttackContext, seed: int) -> AttackContext:
    """``context`` with a fresh random generator."""
    return replace(context, generator=torch.Generator().manual_seed(seed))


def as_8_bits(images: Tensor) -> Tensor:
    """Images in [0, 1] as the whole numbers 0..255 that a data set holds, as uint8."""
    return (images * 255).round().to(torch.uint8)


def differ(images: Tensor, others: Tensor) -> Tensor:
    """Whether each image (N, C, H, W) differs from the other at any pixel (N,)."""
    return (images != others).flatten(1).any(1)


def assert_only_these_changed(poisoned: Poisoned, images: LabelledImages) -> None:
    """Only poisoned and cover images differ from ``images``; only poisoned labels do."""
    touched = poisoned.poisoned | poisoned.cover
    assert torch.equal(poisoned.data.images[~touched], images.images[~touched])
    assert torch.equal(poisoned.data.labels[~poisoned.poisoned], images.labels[~poisoned.poisoned])


def assert_equals_reference(
    attack: Attack, reference: Reference, images: LabelledImages, context: AttackContext, tolerance: float = 1e-6
) -> None:
    """The trigger on six images equals ``reference``, which computes it image by image."""
    batch = images.floats[:6]
    expected = np.stack([reference(image, context) for image in batch.numpy()])
    assert not np.array_equal(expected, batch.numpy())
    np.testing.assert_allclose(attack.apply(batch, context).numpy(), expected, atol=tolerance)


def raise_coefficients(image: Image, magnitude: float, to_space: Image, window: int = 32) -> Image:
    """Pixels 0..255 through the colour space and scipy's transform and back, as the papers have it.

    A window that the image does not fill is padded with zeros, and what comes back there is dropped.
    """
    _, height, width = image.shape
    planes = np.einsum("ij,jhw->ihw", to_space, image.astype(np.float64) * 255)
    padded = np.pad(planes, ((0, 0), (0, -height % window), (0, -width % window)))
    for plane in padded[1:] if len(image) == 3 else padded:
        for top in range(0, padded.shape[1], window):
            for left in range(0, padded.shape[2], window):
                part = plane[top : top + window, left : left + window]
                coefficients = dctn(part, norm="ortho")
                for frequency in (15, 31):
                    coefficients[frequency, frequency] += magnitude
                part[:] = idctn(coefficients, norm="ortho")
    back = np.einsum("ij,jhw->ihw", np.linalg.inv(to_space), padded[:, :height, :width])
    return (back / 255).clip(0, 1)


def add_pattern(image: Image, context: AttackContext) -> Image:
    """The image plus the learned pattern, clipped, value by value."""
    changed, pattern = image.copy(), context.learned["pattern"].numpy()
    for position in np.ndindex(*image.shape):
        changed[position] = min(1.0, max(0.0, image[position] + pattern[position]))
    return changed


def blend_picture(image: Image, context: AttackContext) -> Image:
    """The image with the learned picture at an opacity of 0.2."""
    return 0.8 * image + 0.2 * context.learned["picture"].numpy()
