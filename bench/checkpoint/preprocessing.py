"""What a network of somebody else's takes: the mean and std of its input, and the order of the channels."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bench.errors import RequestError, shortened

if TYPE_CHECKING:
    from torch import nn  # options know these names, and loading torch takes seconds

Order = Literal["rgb", "bgr"]
Numbers = tuple[float, ...]

KNOWN: dict[str, tuple[Numbers, Numbers]] = {
    "none": ((0.0,), (1.0,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5,), (0.5,)),  # images in [-1, 1]
}
OWN = "own"  # what the architecture declares for its published weights, as timm's do


@dataclass(frozen=True)
class Preprocessing:
    """How images in [0, 1] become a network's input: the channels in ``order``, then (image - mean) / std.

    mean: numbers in [0, 1], one or one a channel in the network's order, or the name of a pair: none, imagenet, half,
    or own, which is the architecture's if it declares one and ImageNet's otherwise. std goes with numbers only.
    """

    mean: Numbers | str = OWN
    std: Numbers | None = None
    order: Order = "rgb"

    def resolved(self, network: "nn.Module", channels: int) -> tuple[Numbers, Numbers]:
        """Mean and std, one number a channel. Raises RequestError, in the words of the options."""
        mean, std = self._pair(network)
        if isinstance(self.mean, str) and channels == 1:  # a named pair is one of colours; grey is their average
            mean, std = ((sum(values) / len(values),) for values in (mean, std))
        for option, values in (("--mean", mean), ("--std", std)):
            if len(values) not in (1, channels):
                raise RequestError(f"{option} {_shown(values)}: expected 1 or {channels} numbers, one for each channel")
        if not all(0 <= value <= 1 for value in mean):
            raise RequestError(
                f"--mean {_shown(mean)}: expected numbers in [0, 1]; divide by 255 what is meant for bytes"
            )
        if not all(0 < value < float("inf") for value in std):
            raise RequestError(f"--std {_shown(std)}: expected numbers above 0")
        return _for_channels(mean, channels), _for_channels(std, channels)

    def _pair(self, network: "nn.Module") -> tuple[Numbers, Numbers]:
        if not isinstance(self.mean, str):
            if self.std is None:
                raise RequestError(f"--mean {_shown(self.mean)}: expected --std with it")
            return self.mean, self.std
        if self.std is not None:
            raise RequestError(f"--std {_shown(self.std)}: expected --mean with numbers with it, not {self.mean}")
        if self.mean == OWN:
            return declared(network) or KNOWN["imagenet"]
        if self.mean not in KNOWN:
            raise RequestError(f"--mean {shortened(self.mean)}: expected numbers or one of {', '.join([OWN, *KNOWN])}")
        return KNOWN[self.mean]


def declared(network: "nn.Module") -> tuple[Numbers, Numbers] | None:
    """The mean and std that an architecture declares for its published weights, as timm's do; None if it does not."""
    for module in network.modules():
        config: Any = getattr(module, "pretrained_cfg", None)
        if isinstance(config, dict) and config.get("mean") and config.get("std"):
            return tuple(map(float, config["mean"])), tuple(map(float, config["std"]))
    return None


def _for_channels(values: Numbers, channels: int) -> Numbers:
    return values * channels if len(values) == 1 else values


def _shown(values: Numbers) -> str:
    return ",".join(f"{value:g}" for value in values)
