"""How a ``Runtime`` runs: its guard answers in place of the network."""

import torch
from torch import Tensor

from bench.cell.reference import Handed
from bench.plugin.defense import Defense, Guard
from bench.plugin.runtime import Runtime


def guard(defense: Runtime, handed: Handed) -> Guard:
    return defense.guard(handed.model, handed.known, handed.context)


def stream_order(defense: Defense, count: int, generator: torch.Generator) -> Tensor | None:
    """The order (N,) in which ``count`` images pass, one by one, a guard that learns from them; else None."""
    if not (isinstance(defense, Runtime) and defense.learns_from_stream):
        return None
    return torch.randperm(count, generator=generator, device=generator.device)
