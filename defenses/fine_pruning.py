"""Fine-Pruning: prune the channels that are inactive on clean images, where a backdoor may live, then fine-tune.

Liu, Dolan-Gavitt, Garg, "Fine-Pruning: Defending Against Backdooring Attacks on Deep Neural Networks", RAID 2018,
arXiv 1805.12185. The channels that enter the last module are pruned by their mean activation on clean images, least
active first, as long as the accuracy on the reference images stays within a bound. Departures: the last module is the
last linear layer, not the last convolution, since in a residual network the block's other branch carries the class
past that; steps of 1 % and a bound of 10 % are those in common use. For the paper's figures of ACC and ASR against the
pruned share, ``share`` prunes that much, whatever it costs.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._classifier import lacks_last_linear
from bench.defenses._finetuning import FineTuning
from bench.plugin import Case, Context, Known, later
from bench.toolbox.networks import Latent
from bench.toolbox.precision import expect_finite
from bench.toolbox.training import logits_of


class FinePruning(FineTuning):
    """Pruning of the channels that enter the last linear layer, and fine-tuning."""

    name: ClassVar[str] = "fine_pruning"
    source: ClassVar[str] = "Liu et al., RAID 2018, arXiv 1805.12185"

    step: float = Field(0.01, gt=0, le=1, description="share of the channels pruned at a time")
    bound: float = Field(0.1, ge=0, lt=1, description="share of the reference accuracy that pruning may cost")
    share: float | None = later(
        None, ge=0, le=1, description="share of the channels to prune, whatever it costs; if not given, bound decides"
    )

    def unsupported(self, case: Case) -> str | None:
        return lacks_last_linear(case)

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        data = known.reference()
        latent = Latent(model, data.example)
        features, weight = logits_of(latent.features, data.floats), latent.linear.weight
        if self.share is None:
            keep = active_channels(latent.linear, features, data.labels, step=self.step, bound=self.bound)
        else:
            keep = without_share(features, self.share)
        context.note("pruned", {"channels": int((~keep).sum()), "of": len(keep)})
        with torch.no_grad():
            weight[:, ~keep] = 0
        # without a gradient a pruned weight stays zero: decay and momentum leave a zero as it is
        hook = weight.register_hook(lambda gradient: gradient * keep)
        try:
            self.fine_tune(model, data, context)
        finally:
            hook.remove()
        return model


@torch.no_grad()
def active_channels(linear: nn.Linear, features: Tensor, labels: Tensor, *, step: float, bound: float) -> Tensor:
    """A mask (d,) bool of the channels that stay: all but the least active ones.

    ``features`` (N, d) enter ``linear``; labels (N,). The channels of lowest mean go first, a share ``step`` of all at
    a time, as long as the accuracy is at least 1 - ``bound`` of what it was. Raises ValueError for features that are
    not finite.
    """
    expect_finite({"the latents of the reference images": features})

    def accuracy(keep: Tensor) -> float:
        return float((linear(features * keep).argmax(1) == labels).float().mean())

    keep = torch.ones(features.shape[1], dtype=torch.bool, device=features.device)
    floor = (1 - bound) * accuracy(keep)
    for channels in features.mean(0).argsort().split(max(1, round(step * len(keep)))):
        fewer = keep.index_fill(0, channels, False)
        if accuracy(fewer) < floor:
            break
        keep = fewer
    return keep


def without_share(features: Tensor, share: float) -> Tensor:
    """A mask (d,) bool of all channels but the ``share`` of lowest mean over ``features`` (N, d), to the nearest one.

    Raises ValueError for features that are not finite.
    """
    expect_finite({"the latents of the reference images": features})
    keep = torch.ones(features.shape[1], dtype=torch.bool, device=features.device)
    keep[features.mean(0).argsort()[: round(share * len(keep))]] = False
    return keep
