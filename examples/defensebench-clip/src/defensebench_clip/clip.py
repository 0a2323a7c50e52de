"""Clip: activations beyond what clean images reach are cut, because a trigger drives some of them far.

Wang, Xiang, Miller, Kesidis, "Improved Activation Clipping for Universal Backdoor Mitigation and Test-Time Detection",
2023, arXiv 2308.04617. Departure: one bound for each stage of the network, a quantile over the reference images, in
place of bounds that are optimised.
"""

from contextlib import ExitStack
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.plugin import Context, Guard, Knowledge, Known, Prediction, Runtime
from bench.toolbox.networks import edited, stages, watching


class Clip(Runtime):
    """Bounds from a few clean images; the network itself stays as it is."""

    name: ClassVar[str] = "clip"
    source: ClassVar[str] = "after Wang et al., 2023, arXiv 2308.04617"
    knowledge: ClassVar[Knowledge] = "clean"

    quantile: float = Field(0.9, gt=0, le=1, description="of the largest activations of the reference images")
    images: int = Field(50, ge=1, description="reference images that the bounds are taken from, at most")

    @torch.no_grad()
    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        clean = known.reference()
        chosen = torch.randperm(len(clean), generator=context.generator, device=context.device)[: self.images]
        parts = stages(model)
        bounds = {name: self.bound(model, part, clean.at(chosen).floats) for name, part in parts.items()}
        context.note("bounds", bounds)

        def answer(images: Tensor) -> Prediction:
            with ExitStack() as clipped:
                for name, part in parts.items():
                    clipped.enter_context(edited(part, lambda values, most=bounds[name]: values.clamp(-most, most)))
                return Prediction(model(images))

        return answer

    def bound(self, model: nn.Module, part: nn.Module, images: Tensor) -> float:
        """The quantile of the largest absolute activation of ``part`` over images (N, C, H, W)."""
        largest: list[Tensor] = []
        with watching(part, lambda _, values: largest.append(values.abs().flatten(1).amax(1))):
            model(images)
        return float(torch.cat(largest).quantile(self.quantile))
