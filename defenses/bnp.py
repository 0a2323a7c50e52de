"""BNP: prune channels whose statistics on clean images differ from the running ones of the training set.

Zheng et al., "Pre-activation Distributions Expose Backdoor Neurons", NeurIPS 2022. The running mean and variance of a
batch normalisation are those of the poisoned training set; a channel that the trigger drives has others on clean
images. In each layer the channels whose divergence between the two normal distributions lies above mean + u std are
pruned. u = 3 is in common use. The published code takes KL(clean || mixture), of one augmented batch of clean images.
The default is the other way round: it weighs what the trigger adds by how unlikely it is among clean images.
"""

from typing import ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._augmentation import Augmenting
from bench.defenses._bna_alignment import per_channel
from bench.defenses._channels import Norm, scaled_layers, silence_outliers
from bench.plugin import Case, Context, Known, Repair
from bench.toolbox.networks import batch_norms, channels_last, watching
from bench.toolbox.training import logits_of


class BNP(Augmenting, Repair):
    """Pruning of the channels whose clean statistics diverge most from the running ones."""

    name: ClassVar[str] = "bnp"
    source: ClassVar[str] = "Zheng et al., NeurIPS 2022"

    u: float = Field(3, gt=0, description="standard deviations above its layer's mean at which a channel is pruned")
    divergence: Literal["mixture-to-clean", "clean-to-mixture"] = Field(
        "mixture-to-clean", description="KL(running statistics || clean images) or the other way round"
    )

    def unsupported(self, case: Case) -> str | None:
        norms, scaled = batch_norms(case.network), scaled_layers(case.network)
        if any(norm.running_mean is None for norm in norms.values()):
            return "a batch normalisation of the network has no running statistics to compare with"
        if norms and not scaled:
            return "no batch normalisation of the network has gains to prune"
        return None if norms else "the network has no batch normalisation with running statistics"

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        layers = scaled_layers(model)
        distances = {}
        self.crop_and_flip(context)  # says so if there is nothing to augment with
        images = self.varied(known.reference().floats, context)
        for name, clean in input_statistics(model, layers, images).items():
            layer = layers[name]
            mixture = (cast(Tensor, layer.running_mean), cast(Tensor, layer.running_var))
            one, other = (mixture, clean) if self.divergence == "mixture-to-clean" else (clean, mixture)
            distances[name] = normal_divergence(*one, *other, layer.eps)
        context.note("pruned", silence_outliers(layers, distances, self.u))
        return model


@torch.no_grad()
def input_statistics(model: nn.Module, layers: dict[str, Norm], images: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and variance (K,) of what enters each of ``layers`` when ``model`` sees ``images`` (N, C, H, W), by name."""
    names = {cast(nn.Module, layer): name for name, layer in layers.items()}
    sums, squares = (
        {name: torch.zeros_like(layer.weight, dtype=torch.float64) for name, layer in layers.items()} for _ in range(2)
    )
    counts = dict.fromkeys(layers, 0)

    def gather(layer: nn.Module, entering: Tensor) -> None:
        values, name = per_channel(entering).double(), names[layer]
        sums[name] += values.sum(1)
        squares[name] += values.square().sum(1)
        counts[name] += values.shape[1]

    with watching(names, gather, inputs=True):
        logits_of(model, channels_last(images))
    means = {name: sums[name] / counts[name] for name in layers}
    return {
        name: (mean.float(), (squares[name] / counts[name] - mean.square()).clamp_min(0).float())
        for name, mean in means.items()
    }


def normal_divergence(mean: Tensor, variance: Tensor, mean_2: Tensor, variance_2: Tensor, eps: float) -> Tensor:
    """KL(p || q) in nats (K,) of two normal distributions, p with ``mean`` and ``variance`` (K,), q with the others.

    ``eps`` is added to the variances, as batch normalisation does.
    """
    p, q = variance + eps, variance_2 + eps
    return ((q / p).log() + (p + (mean - mean_2).square()) / q - 1) / 2
