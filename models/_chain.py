"""A chain of named modules that declares its stages in the way of timm's networks."""

from collections.abc import Iterable, Mapping

from torch import nn


class Chain(nn.Sequential):
    """``modules`` run one after the other. ``bench.toolbox.networks.stages`` finds those named in ``stages``."""

    feature_info: list[dict[str, str]]

    def __init__(self, modules: Mapping[str, nn.Module], stages: Iterable[str]) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.feature_info = [{"module": name} for name in stages]
