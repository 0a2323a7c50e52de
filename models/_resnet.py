"""Base of the ResNets: timm's network with a width and a stem for small images."""

from torch import nn

from bench.models._stem import Residual, first_convolution
from bench.models._timm import Normalised, create
from bench.plugin import ImageSpec


class ResNet(Residual):
    """Base of ResNet-18 and ResNet-50. A subclass sets ``name``, which is timm's name as well."""

    def build(self, spec: ImageSpec) -> nn.Module:
        stem = self.stem_for(spec)
        channels = tuple(self.width * factor for factor in (1, 2, 4, 8))
        # timm's plain stem always has 64 channels; its deep stem has a width and is replaced below
        net = create(self.name, spec, channels=channels, stem_type="deep", stem_width=self.width // 2)
        net.conv1 = first_convolution(spec.channels, self.width, stem)
        if stem == "small":
            net.maxpool = nn.Identity()
        return Normalised(net, spec)
