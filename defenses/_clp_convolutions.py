"""Which convolutions feed which batch normalisation, by what the forward pass does.

Neither the modules' names nor the order of their declaration matter.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from bench.toolbox.networks import batch_norms, watching

_SAME_CHANNELS = ("Add", "Clone", "ToCopy", "Alias")  # operations behind which a channel is the same channel


def feeding_convolutions(model: nn.Module, images: Tensor) -> dict[str, list[nn.Conv2d]]:
    """The batch normalisations with gains by name, each with the convolutions whose outputs it normalises.

    A convolution feeds a layer if its output arrives through nothing but additions: directly, as in ResNets, or over
    skip connections too, as in pre-activation networks. Layers that no convolution feeds are left out: those of dense
    vectors, and those behind a concatenation. ``model`` is run on the first of ``images`` (N, C, H, W).
    """
    outputs: dict[Node, nn.Conv2d] = {}
    inputs: dict[str, list[Node]] = {}
    names = {layer: name for name, layer in batch_norms(model).items() if layer.weight is not None}

    def note_output(layer: nn.Module, output: Tensor) -> None:
        outputs[cast(Node, output.grad_fn)] = cast(nn.Conv2d, layer)

    def note_input(layer: nn.Module, value: Tensor) -> None:
        if value.grad_fn is not None:
            inputs.setdefault(names[layer], []).append(value.grad_fn)

    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    with (
        watching(convolutions, note_output),
        watching(names, note_input, inputs=True),
        torch.enable_grad(),  # from the images on, so that every tensor knows what made it
    ):
        model(images[:1].detach().clone().requires_grad_())
    feeding = {name: [conv for node in nodes for conv in _origins(node, outputs)] for name, nodes in inputs.items()}
    return {name: convolutions for name, convolutions in feeding.items() if convolutions}


def _origins(node: Node, outputs: dict[Node, nn.Conv2d]) -> list[nn.Conv2d]:
    """The convolutions whose ``outputs`` are added up in ``node``."""
    origins, waiting, seen = [], [node], {node}
    while waiting:
        current = waiting.pop()
        if current in outputs:
            origins.append(outputs[current])
        elif current.name().startswith(_SAME_CHANNELS):
            before = [parent for parent, _ in current.next_functions if parent is not None and parent not in seen]
            seen.update(before)
            waiting.extend(before)
    return origins
