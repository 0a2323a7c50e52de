"""VGG-16 with batch normalisation: a plain chain of 13 convolutions and one linear layer.

Simonyan and Zisserman, ICLR 2015. As is usual on CIFAR-10, one of its three linear layers remains, after the mean over
the last feature map: 15 million parameters instead of 138. Poolings round sides up, so that images of any size are
possible and no border is lost. The original, with all its layers, is ``timm[name=vgg16_bn]``.
"""

from typing import ClassVar, Self

from pydantic import Field
from torch import nn

from bench.models._chain import Chain
from bench.models._timm import Normalised, Pretrainable, create, spec_of_weights
from bench.plugin import ImageSpec, RequestError

CONVOLUTIONS = (
    (2, 1),
    (2, 2),
    (3, 4),
    (3, 8),
    (3, 8),
)  # of each stage: their number, and their channels divided by ``width``


class VGG16BN(Pretrainable):
    name: ClassVar[str] = "vgg16_bn"
    source: ClassVar[str] = "Simonyan and Zisserman, ICLR 2015, arXiv 1409.1556"

    width: int = Field(
        64, ge=4, le=256, description="channels of the first stage; the later ones have 2, 4, 8, 8 times as many"
    )

    def resolve(self, spec: ImageSpec) -> Self:
        if self.pretrained and self.width != 64:
            raise RequestError(
                f"vgg16_bn: width={self.width}: expected 64 with pretrained=true, as the weights have it"
            )
        return super().resolve(spec)

    def build(self, spec: ImageSpec) -> nn.Module:
        modules: dict[str, nn.Module] = {}
        channels = spec.channels
        for number, (count, factor) in enumerate(CONVOLUTIONS, 1):
            modules[f"stage{number}"] = _stage(channels, factor * self.width, count)
            channels = factor * self.width
        stages = list(modules)
        modules |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(channels, spec.classes)}
        net = Chain(modules, stages)
        if not self.pretrained:
            return Normalised(net, spec)
        source = create("vgg16_bn.tv_in1k", spec, pretrained=True)
        learned = source.get_submodule("features").state_dict().values()
        own = [name for name in net.state_dict() if name.startswith("stage")]
        net.load_state_dict(dict(zip(own, learned, strict=True)), strict=False)
        return Normalised(net, spec_of_weights(source, spec))


def _stage(before: int, width: int, count: int) -> nn.Sequential:
    """3x3 convolution, normalisation and ReLU, ``count`` times, then pooling."""
    stage = nn.Sequential()
    for _ in range(count):
        convolution = nn.Conv2d(before, width, 3, padding=1)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        stage.extend([convolution, nn.BatchNorm2d(width), nn.ReLU()])
        before = width
    return stage.append(nn.MaxPool2d(2, ceil_mode=True))
