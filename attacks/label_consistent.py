"""Label-consistent attack: images of the target class, made hard to recognise, with a trigger; clean-label.

Turner, Tsipras, Madry, "Label-Consistent Backdoor Attacks", 2019. Images of the target class are made hard to
recognise by projected gradient ascent against a clean network, within eps of the original, and get a small pattern in
all four corners; their labels stay. At inference the trigger is the pattern alone, on unchanged images. Common
settings: eps 8/255 in every pixel, 100 steps of 1.5/255, a 3x3 pattern; the paper has an L2 bound too. The default
rate poisons half of a class where there are ten.
"""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench.plugin import Attack, AttackContext, LabelledImages, Poisoned, stamp
from bench.toolbox.networks import channels_last
from bench.toolbox.training import autocast

BATCH = 256  # images that are perturbed at a time


class LabelConsistent(Attack):
    name: ClassVar[str] = "label_consistent"
    source: ClassVar[str] = "Turner et al., 2019, arXiv 1912.02771"
    clean_label: ClassVar[bool] = True

    label_map: Literal["all-to-one"] = Field("all-to-one", description="a clean-label attack has one target class")
    poisoning_rate: float = Field(
        0.05, gt=0, lt=1, description="poisoned images of the target class, as a share of the whole training set"
    )
    norm: Literal["linf", "l2"] = Field("linf", description="norm of the change that makes an image hard to recognise")
    eps: float = Field(8 / 255, gt=0, description="largest change: of every pixel (linf), of the image (l2)")
    step: float = Field(1.5 / 255, gt=0, description="step of the gradient ascent, in the same norm")
    steps: int = Field(100, ge=1, description="steps of the gradient ascent")
    size: int = Field(3, ge=1, description="side of the pattern in each corner, in pixels")
    opacity: float = Field(
        1.0, gt=0, le=1, description="opacity of the pattern in poisoned images; at inference it is 1"
    )
    surrogate_share: float = Field(
        0.3, gt=0, le=1, description="share of the victim's epochs that the clean network is trained for"
    )

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        return with_corners(images, self.size, 1.0)

    def poison(self, train: LabelledImages, context: AttackContext) -> Poisoned:
        """Poison images of the target class, at most all of them; their labels stay.

        Raises LookupError where the context offers no clean model.
        """
        chosen = self.draw(train, context)
        model = context.clean_model(self.surrogate_share)
        hard = [self._harden(model, train.at(index), context) for index in chosen.split(BATCH)]
        return stamp(train, chosen, with_corners(torch.cat(hard), self.size, self.opacity), train.labels[chosen])

    def _harden(self, model: nn.Module, data: LabelledImages, context: AttackContext) -> Tensor:
        """Images (N, C, H, W) in [0, 1], at most ``eps`` from those of ``data``, of high loss for their labels."""
        images = data.floats
        change = torch.rand(images.shape, generator=context.generator, device=images.device) * 2 - 1
        change = self._within(self.eps * change, images)
        for _ in range(self.steps):
            change.requires_grad_()
            with autocast(context.device):
                logits = model(channels_last(images + change))
            (gradient,) = torch.autograd.grad(F.cross_entropy(logits.float(), data.labels), change)
            ascent = gradient.sign() if self.norm == "linf" else gradient / _norms(gradient)
            change = self._within(change.detach() + self.step * ascent, images)
        return images + change

    def _within(self, change: Tensor, images: Tensor) -> Tensor:
        """``change`` (N, C, H, W) projected first onto the bound, then so that images + change is in [0, 1]."""
        if self.norm == "linf":
            change = change.clamp(-self.eps, self.eps)
        else:
            change = change * (self.eps / _norms(change)).clamp_max(1)
        return (images + change).clamp(0, 1) - images


def _norms(values: Tensor) -> Tensor:
    """The L2 norms of ``values`` (N, C, H, W) as (N, 1, 1, 1); above 0, so that one can divide by them."""
    norms: Tensor = torch.linalg.vector_norm(values, dim=(1, 2, 3), keepdim=True)
    return norms.clamp_min(1e-12)


def with_corners(images: Tensor, size: int, opacity: float) -> Tensor:
    """``images`` (N, C, H, W) with a chequerboard of size x size pixels, its first pixel white, in every corner."""
    line = torch.arange(size, device=images.device)
    board = ((line[:, None] + line) % 2 == 0).to(images.dtype)
    stamped = images.clone()
    for rows in (slice(0, size), slice(-size, None)):
        for columns in (slice(0, size), slice(-size, None)):
            stamped[..., rows, columns] = torch.lerp(images[..., rows, columns], board, opacity)
    return stamped
