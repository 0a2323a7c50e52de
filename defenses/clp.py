"""CLP: prune channels that can amplify their input far more than the other channels of their layer, without any data.

Zheng et al., "Data-free Backdoor Removal based on Channel Lipschitzness", ECCV 2022. The Lipschitz constant of a
channel is bounded by the spectral norm of its kernel, as a matrix of input channels by kernel positions, times the gain
of the batch normalisation behind it over its running standard deviation. In each layer the channels above mean + u std
are pruned: gain and offset become zero.

Bound and rule are the paper's, u = 3 is in common use. With K channels no value lies more than (K - 1)/sqrt(K) standard
deviations above the mean, so that below 11 channels u = 3 prunes nothing. Derived: where several convolutions add up
in front of a normalisation, as over the skip connections of a pre-activation network, their bounds are joined as the
root of the sum of squares.

A slim network has few channels, and no u sets the backdoor's apart. ResNet-18 of width 16 on 4,000 digits, BadNets, two
seeds: u = 3 prunes 8 and 6 of 1,200 channels, DER 0.55 and 0.50; u = 2.5 costs 20 and 9 points of accuracy for 0.63 and
0.51, u = 2 costs 41. Layers of 16 channels reach z = 2.6 without any backdoor. A WaNet victim falls to 15 % accuracy
with u = 3: a channel that its first layer cannot miss is above.
"""

from typing import ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._channels import Norm, fed_by, remove, scaled_layers
from bench.plugin import Case, Context, ImageSpec, Knowledge, Known, Repair, RequestError


class CLP(Repair):
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
        network = case.network
        if fed_by(network, torch.zeros(1, *case.dataset.spec.shape)):
            return None
        return "the network has no batch normalisation behind a convolution"

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        if self.shape is None:
            raise LookupError("clp: the images' shape is not known: call resolve(spec) first")
        layers = scaled_layers(model)
        convolutions = fed_by(model, torch.zeros(1, *self.shape, device=context.device))
        removed = {}
        for name, feeding in convolutions.items():
            layer = layers[name]
            bounds = channel_bounds(layer, feeding)
            pruned = bounds > bounds.mean() + self.u * bounds.std()
            remove(layer, pruned)
            removed[name] = pruned.nonzero()[:, 0].tolist()
        channels = sum(len(layers[name].weight) for name in convolutions)
        context.note("pruned", {"channels": sum(map(len, removed.values())), "of": channels, "by_layer": removed})
        return model


@torch.no_grad()
def channel_bounds(layer: Norm, convolutions: list[nn.Conv2d]) -> Tensor:
    """A bound (K,) of the Lipschitz constant of every channel that ``layer`` normalises and ``convolutions`` make."""
    squares = torch.stack([spectral_norms(conv.weight).square() for conv in convolutions]).sum(0)
    deviation = (cast(Tensor, layer.running_var) + layer.eps).sqrt()
    return squares.sqrt() * layer.weight.abs() / deviation


def spectral_norms(kernels: Tensor) -> Tensor:
    """The largest singular value (K,) of every kernel of a convolution (K, in, h, w), as a matrix (in, h w)."""
    norms: Tensor = torch.linalg.matrix_norm(kernels.flatten(2).float(), ord=2)
    return norms
