"""What a network answers: the one way in which the harness asks victims, repaired networks and oracles.

Whatever leaves a network as it is gives the victim's logits, bit for bit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bench.toolbox.networks import channels_last, last_linear
from bench.toolbox.precision import has_bf16

Precision = Literal["float32", "bfloat16"]


def precision_on(device: torch.device) -> Precision:
    """The precision in which networks are evaluated on ``device``: the one in which they are trained there."""
    return "bfloat16" if has_bf16(device) else "float32"


class Answers:
    """``network``, in eval mode, as a callable from images (N, C, H, W) in [0, 1] to float32 logits (N, classes).

    precision: with "bfloat16" the network computes in bf16 where the device has it, as in training, but for its last
    linear layer, whose logits would have eight bits and often tie. A network that does not end in a linear layer is
    computed in float32, as all are elsewhere. By default the device decides. There are no gradients.
    """

    def __init__(self, network: nn.Module, precision: Precision = "bfloat16") -> None:
        self._network, self._precision = network, precision
        self._last: nn.Linear | None = None
        self._sought = False

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        last = self._found(images) if self._precision == "bfloat16" and has_bf16(images.device) else None
        logits: Tensor
        if last is None:
            logits = self._network(images)
        else:
            kind = images.device.type
            with torch.autocast(kind, torch.bfloat16), _in_float32(last, kind):
                logits = self._network(channels_last(images))
        return logits

    def _found(self, images: Tensor) -> nn.Linear | None:
        """The network's last linear layer, which is looked for once."""
        if not self._sought:
            try:
                self._last = last_linear(self._network, images)
            except LookupError:
                self._last = None
            self._sought = True
        return self._last


@contextmanager
def _in_float32(layer: nn.Module, kind: str) -> Iterator[None]:
    """While open, ``layer`` computes in single precision on a device of this kind, whatever surrounds it."""
    own = layer.__dict__.get("forward")  # of this object, if somebody has put one before its class's
    forward = layer.forward

    def in_float32(latent: Tensor, *others: Any, **named: Any) -> Any:
        with torch.autocast(kind, enabled=False):
            return forward(latent.float(), *others, **named)

    layer.forward = in_float32
    try:
        yield
    finally:
        layer.__dict__.pop("forward")
        if own is not None:
            layer.__dict__["forward"] = own
