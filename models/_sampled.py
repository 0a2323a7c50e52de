"""Strided 1x1 convolutions of few channels, computed without oneDNN's fault.

oneDNN, which computes PyTorch's convolutions on CPUs, writes the weight gradient of a strided 1x1 convolution beyond
its memory where images are channels_last, numbers float32 and input channels fewer than a register holds
(uxlfoundation/oneDNN#6035, open). The process then crashes, hangs or learns from a wrong gradient. Seen with AVX2,
whose registers hold 8; those of AVX-512 hold 16. Without the stride there is no fault, and such a convolution looks
only at every so many pixels: it can be given those.
"""

import torch.nn.functional as F
from torch import Tensor, nn

_REGISTER = 16


class SampledConvolution(nn.Conv2d):
    """A strided 1x1 convolution without padding that first takes the pixels it looks at."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        rows, columns = self.stride
        return F.conv2d(input[..., ::rows, ::columns], weight, bias, groups=self.groups)


def sample_first(net: nn.Module) -> None:
    """Makes those convolutions of ``net`` that the fault concerns ``SampledConvolution``; its numbers stay the same."""
    for module in net.modules():
        if type(module) is nn.Conv2d and _concerned(module):
            module.__class__ = SampledConvolution


def _concerned(layer: nn.Conv2d) -> bool:
    strided = set(layer.kernel_size) == {1} and max(layer.stride) > 1 and layer.padding == (0, 0)
    return strided and layer.in_channels // layer.groups < _REGISTER
