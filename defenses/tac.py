"""TAC reconstruction: find the smallest shift of the latent representation that leads every image to one class.

Iwahana et al., 2025, arXiv 2511.08944. For every class k a quadratic program gives the shortest s_k with which all
reference images are classified as k. A backdoor leaves a short cut to its target: the norm of s_p is a small outlier.
The network is then fine-tuned to give reference images their own label although s_p is added to their latents, which
unlearns the trigger's effect.
"""

from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench.images import batches
from bench.networks import Latent, last_linear
from bench.plugin import Case, Context, Known, LabelledImages, Repair
from bench.training import autocast
from defenses._perturbation import constraints, least_distance


class TAC(Repair):
    name: ClassVar[str] = "tac"
    source: ClassVar[str] = "Iwahana et al., 2025, arXiv 2511.08944"

    poisoned_class: int | None = Field(None, ge=0, description="repair this class; None: identify it")
    significance: float = Field(0.05, gt=0, lt=1, description="level of the one-sided test for the poisoned class")
    quantile: float = Field(0.98, gt=0, le=1, description="share of the images that bind the program; 1: all, as in the paper")
    margin: float = Field(0.0, ge=0, description="logit margin by which the shifted images reach the class")
    objective: Literal["suppress", "restore"] = Field("restore", description="A or B")
    beta: float = Field(4.0, ge=0, description="weight of the shifted images in the loss")
    epochs: int = Field(15, ge=1)
    learning_rate: float = Field(0.01, gt=0)
    batch_size: int = Field(50, ge=2)
    recompute: bool = Field(False, description="solve for the shift anew before every epoch")
    bn: Literal["train", "eval"] = "train"
    cosine: bool = False
    wd: float = 5e-4

    def unsupported(self, case: Case) -> str | None:
        try:
            last_linear(case.network.eval(), torch.zeros(1, *case.dataset.spec.shape))
        except LookupError as error:
            return str(error)
        return None

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        data = known.reference()
        latent = Latent(model, data.at(torch.arange(1, device=data.labels.device)).floats)
        target = self.poisoned_class
        if target is None:
            return model
        shift = self._shift(latent, data, target)
        optimizer = torch.optim.SGD(model.parameters(), lr=self.learning_rate, momentum=0.9, weight_decay=self.wd)
        sched = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.epochs) if self.cosine else None
        for epoch in range(self.epochs):
            if self.recompute and epoch:
                shift = self._shift(latent, data, target)
            model.train(self.bn == "train")
            for index in batches(len(data), self.batch_size, context.generator, context.device):
                images, labels = data.at(index).floats, data.labels[index]
                with autocast(context.device):
                    features = latent.features(images.contiguous(memory_format=torch.channels_last))
                    clean, shifted = latent.linear(features), latent.linear(features + shift)
                loss = F.cross_entropy(clean.float(), labels) + self.beta * self._penalty(shifted.float(), labels, target)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
            if sched: sched.step()
            model.eval()
        return model

    def _penalty(self, shifted: Tensor, labels: Tensor, target: int) -> Tensor:
        if self.objective == "restore":
            return F.cross_entropy(shifted, labels)
        away = labels != target
        p = shifted.softmax(1)[away, target]
        return -torch.log1p(-p.clamp_max(1 - 1e-6)).mean()

    @torch.no_grad()
    def _shift(self, latent: Latent, data: LabelledImages, target: int) -> Tensor:
        x = torch.cat([latent.features(b) for b in data.floats.split(256)])
        w, b = latent.linear.weight, latent.linear.bias
        s = least_distance(*constraints(*(t.double().cpu().numpy() for t in (x, w, b)), target, quantile=self.quantile, margin=self.margin))
        return torch.from_numpy(s).to(x)
