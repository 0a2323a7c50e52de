"""What some defenses need of a network, and many networks have: a linear layer at its end, stages that give tensors."""

import torch
from torch import Tensor

from bench.plugin import Case
from bench.toolbox.networks import last_linear, stages, watching


def lacks_last_linear(case: Case) -> str | None:
    """Why the network of a case has no latent before its logits; None if it ends in a linear layer."""
    try:
        last_linear(case.network, case.example)
    except LookupError as error:
        return str(error)
    return None


def lacks_plain_stages(case: Case) -> str | None:
    """Why the activations behind the stages of a case's network cannot be read; None if each stage gives one tensor."""
    network = case.network
    names = {stage: name for name, stage in stages(network).items()}
    given: dict[str, list[object]] = {name: [] for name in names.values()}
    with torch.no_grad(), watching(names, lambda stage, output: given[names[stage]].append(output)):
        network(case.example)
    for name, outputs in given.items():
        if not outputs:
            return f"the stage {name} of the network is not run"
        if not all(isinstance(output, Tensor) for output in outputs):
            return f"the stage {name} of the network gives a {type(outputs[0]).__name__} in place of one tensor"
    return None
