"""PreActResNet-18: a residual network of 18 layers that normalises before each convolution. He et al., ECCV 2016.

In each block batch normalisation and ReLU come before the convolution, and nothing is applied to the sum. This is the
form that the backdoor literature trains on CIFAR-10: a 3x3 stem and four stages of two blocks, 64 to 512 channels. The
last sum is averaged for the linear layer; the paper normalises it first: ``last_norm=true``.
"""

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from bench.models._chain import Chain
from bench.models._stem import Residual, first_convolution
from bench.models._timm import Normalised
from bench.plugin import ImageSpec


class PreActResNet18(Residual):
    name: ClassVar[str] = "preact_resnet18"
    source: ClassVar[str] = "He et al., ECCV 2016, arXiv 1603.05027"

    last_norm: bool = Field(
        False,
        description="batch normalisation and ReLU after the last block, as in the paper; the common form has neither",
    )

    def build(self, spec: ImageSpec) -> nn.Module:
        stem, widths = self.stem_for(spec), [self.width * factor for factor in (1, 2, 4, 8)]
        modules: dict[str, nn.Module] = {"conv1": first_convolution(spec.channels, self.width, stem)}
        if stem != "small":
            modules["maxpool"] = nn.MaxPool2d(3, stride=2, padding=1)
        before = self.width
        for number, width in enumerate(widths, 1):
            modules[f"layer{number}"] = nn.Sequential(
                _Block(before, width, 1 if number == 1 else 2), _Block(width, width)
            )
            before = width
        if self.last_norm:
            modules["norm"], modules["relu"] = nn.BatchNorm2d(before), nn.ReLU()
        modules |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(before, spec.classes)}
        return Normalised(Chain(modules, [f"layer{number}" for number in (1, 2, 3, 4)]), spec)


class _Block(nn.Module):
    """Normalisation, ReLU and 3x3 convolution, twice, added to a shortcut.

    The shortcut is the block's input, or, where the shape changes, a 1x1 convolution of the first ReLU's output.
    """

    def __init__(self, before: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(before), nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        changes = stride != 1 or before != width
        self.shortcut = nn.Conv2d(before, width, 1, stride, bias=False) if changes else None
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        active = self.norm1(x).relu()
        short = x if self.shortcut is None else self.shortcut(active)
        changed: Tensor = self.conv2(self.norm2(self.conv1(active)).relu())
        return changed + short
