"""BNP: prune channels that clean images drive otherwise than the training images did, by their running statistics.

Zheng et al., "Pre-activation Distributions Expose Backdoor Neurons", NeurIPS 2022. The running mean and variance of a
batch normalisation are those of the poisoned training set. A channel that the trigger drives has others on clean
images: the divergence between the two normal distributions is large. In each layer the channels whose divergence
lies above mean + u std are pruned: gain and offset become zero.

The idea, the normal approximation and the rule are the paper's; u = 3 is in common use. Which way round the
Kullback-Leibler divergence goes is not certain: the default, from the training mixture to the clean images, weighs what
the trigger adds by how unlikely it is among clean images.

In layers of 16 channels, z cannot exceed 3.75, and u = 3 is late. Slim ResNet-18, digits: BadNets falls to 0.11 and
0.99 (two seeds), blend not at all; with u = 2.5 to 0.02, 0.22 and 0.16, for 0.7, 3.4 and 3.0 points of accuracy,
and 2.1 without a backdoor. u = 2 costs 14 points on one of them, u = 1.5 far more.
"""

from typing import ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._bna_alignment import per_channel
from bench.defenses._channels import Norm, remove, scaled_layers
from bench.plugin import Case, Context, Known, Repair
from bench.toolbox.networks import batch_norms
from bench.toolbox.training import logits_of


class BNP(Repair):
    name: ClassVar[str] = "bnp"
    source: ClassVar[str] = "Zheng et al., NeurIPS 2022"

    u: float = Field(3, gt=0, description="standard deviations above its layer's mean at which a channel is pruned")
    divergence: Literal["mixture-to-clean", "clean-to-mixture"] = Field(
        "mixture-to-clean", description="KL(running statistics || clean images) or the other way round"
    )

    def unsupported(self, case: Case) -> str | None:
        return None if batch_norms(case.network) else "the network has no batch normalisation with running statistics"

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        layers = scaled_layers(model)
        removed = {}
        for (name, layer), clean in zip(
            layers.items(), input_statistics(model, layers, known.reference().floats), strict=True
        ):
            mixture = (cast(Tensor, layer.running_mean), cast(Tensor, layer.running_var))
            one, other = (mixture, clean) if self.divergence == "mixture-to-clean" else (clean, mixture)
            distance = normal_divergence(*one, *other, layer.eps)
            pruned = distance > distance.mean() + self.u * distance.std()
            remove(layer, pruned)
            removed[name] = pruned.nonzero()[:, 0].tolist()
        channels = sum(len(layer.weight) for layer in layers.values())
        context.note("pruned", {"channels": sum(map(len, removed.values())), "of": channels, "by_layer": removed})
        return model


@torch.no_grad()
def input_statistics(model: nn.Module, layers: dict[str, Norm], images: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Mean and variance (K,) of what enters each of ``layers`` when ``model`` sees ``images`` (N, C, H, W)."""
    sums, squares = (
        {name: torch.zeros_like(layer.weight, dtype=torch.float64) for name, layer in layers.items()} for _ in range(2)
    )
    counts = dict.fromkeys(layers, 0)

    def gather(name: str, entering: Tensor) -> None:
        values = per_channel(entering).double()
        sums[name] += values.sum(1)
        squares[name] += values.square().sum(1)
        counts[name] += values.shape[1]

    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs, name=name: gather(name, inputs[0]))
        for name, layer in layers.items()
    ]
    try:
        logits_of(model, images.contiguous(memory_format=torch.channels_last))
    finally:
        for hook in hooks:
            hook.remove()
    means = {name: sums[name] / counts[name] for name in layers}
    return [
        (means[name].float(), (squares[name] / counts[name] - means[name].square()).clamp_min(0).float())
        for name in layers
    ]


def normal_divergence(mean: Tensor, variance: Tensor, mean_2: Tensor, variance_2: Tensor, eps: float) -> Tensor:
    """KL(p || q) in nats (K,) of normal distributions p with ``mean`` and ``variance`` (K,) and q with the other two;
    ``eps`` is added to the variances, as batch normalisation does."""
    p, q = variance + eps, variance_2 + eps
    return ((q / p).log() + (p + (mean - mean_2).square()) / q - 1) / 2
