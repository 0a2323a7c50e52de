"""A network of our own as a chain of named parts that declares its stages as timm's networks do."""

from collections.abc import Iterable, Mapping

from torch import nn


class Chain(nn.Sequential):
    """``parts`` that run one after the other; ``bench.networks.stages`` finds those named in ``stages``."""

    feature_info: list[dict[str, str]]

    def __init__(self, parts: Mapping[str, nn.Module], stages: Iterable[str]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.feature_info = [{"module": name} for name in stages]
