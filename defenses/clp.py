"""CLP: prune channels that can amplify their input far more than the other channels of their layer, without any data.

Zheng et al., "Data-free Backdoor Removal based on Channel Lipschitzness", ECCV 2022, arXiv 2208.03111. A channel's
Lipschitz constant is bounded by the spectral norm of its kernel (input channels by kernel positions) times the gain of
the batch normalisation behind it over its running standard deviation. In each layer the channels above mean + u std are
pruned. With K channels no value lies more than (K - 1)/sqrt(K) std above the mean: below 11, u = 3 prunes nothing.
Derived: where several convolutions add up before a normalisation, as over the skip connections of a pre-activation
network, the bounds are joined as the root of the sum of squares.
"""

from typing import ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._channels import Norm, scaled_layers, silence_outliers
from bench.defenses._clp_convolutions import feeding_convolutions
from bench.plugin import Case, Context, ImageSpec, Knowledge, Known, Repair, RequestError


class CLP(Repair):
    """Pruning of the channels with the largest Lipschitz bounds."""

    name: ClassVar[str] = "clp"
    source: ClassVar[str] = "Zheng et al., ECCV 2022, arXiv 2208.03111"
    knowledge: ClassVar[Knowledge] = "none"

    u: float = Field(3, gt=0, description="standard deviations above its layer's mean at which a channel is pruned")
    shape: tuple[int, int, int] | None = Field(
        None, description="(C, H, W) of an image, to run the network once; filled in from the data set"
    )

    def resolve(self, spec: ImageSpec) -> "CLP":
        if self.shape not in (None, spec.shape):
            raise RequestError(f"clp: shape={self.shape}: the data set's images have {spec.shape}")
        return self.model_copy(update={"shape": spec.shape})

    def unsupported(self, case: Case) -> str | None:
        feeding = feeding_convolutions(case.network, case.example)
        if not feeding:
            return "the network has no batch normalisation behind a convolution"
        layers = scaled_layers(case.network)
        if any(layers[name].running_var is None for name in feeding):
            return "a batch normalisation of the network has no running statistics, which the bound needs"
        return None

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        if self.shape is None:
            raise LookupError("clp: the images' shape is not known: call resolve(spec) first")
        layers = scaled_layers(model)
        feeding = feeding_convolutions(model, torch.zeros(1, *self.shape, device=context.device))
        bounds = {name: channel_bounds(layers[name], convolutions) for name, convolutions in feeding.items()}
        context.note("pruned", silence_outliers(layers, bounds, self.u))
        return model


@torch.no_grad()
def channel_bounds(layer: Norm, convolutions: list[nn.Conv2d]) -> Tensor:
    """A bound (K,) of the Lipschitz constant of every channel that ``convolutions`` make and ``layer`` normalises."""
    squares = torch.stack([spectral_norms(conv.weight).square() for conv in convolutions]).sum(0)
    deviation = (cast(Tensor, layer.running_var) + layer.eps).sqrt()
    return squares.sqrt() * layer.weight.abs() / deviation


def spectral_norms(kernels: Tensor) -> Tensor:
    """The largest singular value (K,) of every kernel of a convolution (K, in, h, w), as a matrix (in, h w)."""
    norms: Tensor = torch.linalg.matrix_norm(kernels.flatten(2).float(), ord=2)
    return norms
