"""Norm evader: BadNets by an attacker who controls training and hides from the norms that TAC compares.

TAC (Iwahana et al., 2025, arXiv 2511.08944) computes for every class the shortest shift of the latent representation
that leads all clean images there, and takes the class with the smallest norm for the target. The paper leaves open
what an attacker can do who regularises training so that the norms look normal. This is such an attacker: training also
raises the norm of the target's shift to those of the other classes. The norms are those of the clean images of a batch,
exact up to the solver's tolerance, with gradients through the dual of the quadratic program (``shift_norms``).
"""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench.attacks.badnets import BadNets
from bench.plugin import AttackContext, Case, LabelledImages, Objective
from bench.toolbox.networks import Latent, last_linear


class NormEvader(BadNets):
    name: ClassVar[str] = "norm_evader"
    source: ClassVar[str] = "this benchmark: BadNets, adapted to evade TAC"
    controls: ClassVar[Literal["data", "training"]] = "training"

    label_map: Literal["all-to-one"] = Field("all-to-one", description="one target class, whose norm is hidden")
    weight: float = Field(1.0, ge=0, description="weight of the regulariser; 0: BadNets")
    level: float = Field(1.1, gt=0, description="desired norm for the target, as a multiple of the other classes' mean")

    def unsupported(self, case: Case) -> str | None:
        try:
            last_linear(case.network, case.example)
        except LookupError as error:
            return str(error)
        return None

    def objective(self, model: nn.Module, train: LabelledImages, context: AttackContext) -> Objective:
        training = model.training
        latent = Latent(model.eval(), train.example)
        model.train(training)
        return NormEvaderObjective(latent, self.target_class, self.weight, self.level)


class NormEvaderObjective(Objective):
    """Cross-entropy plus ``weight`` times ``conspicuousness`` of the target among the clean images of a batch."""

    def __init__(self, latent: Latent, target: int, weight: float, level: float) -> None:
        self.latent, self.target, self.weight, self.level = latent, target, weight, level

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, share: float) -> Tensor:
        features = self.latent.features(images)
        linear = self.latent.linear
        loss = F.cross_entropy(linear(features).float(), labels)
        clean = labels != self.target  # the poisoned images all have the target's label
        if self.weight == 0 or not bool(clean.any()):
            return loss
        with torch.autocast(images.device.type, enabled=False):
            norms = shift_norms(features[clean].float(), linear.weight, linear.bias)
            return loss + self.weight * conspicuousness(norms, self.target, self.level)


def conspicuousness(norms: Tensor, target: int, level: float) -> Tensor:
    """The distance, a scalar, of the target's norm from ``level`` times the mean of the others; norms (C,).

    It is measured in means of the others. These are constants here: the target's norm shall rise, not theirs fall.
    """
    others = torch.cat((norms[:target], norms[target + 1 :])).detach().mean()
    return (norms[target] / others.clamp_min(1e-6) - level).abs()


def shift_norms(features: Tensor, weight: Tensor, bias: Tensor | None, steps: int = 60) -> Tensor:
    """For every class (C,) the norm of the shortest shift s (d,) such that all ``features`` (N, d) + s get that class.

    weight (C, d), bias (C,): the last linear layer; steps: those of the solver. That class k wins means V s >= c, with
    the rows V_j = w_k - w_j, and c_j the largest lead of class j over k among the images. Then |s| >= c.u / |V^T u| for
    every u >= 0, with equality at the solution u of the dual problem. With u as a constant the gradient is still exact
    (envelope theorem). Where no s exists, the value is large but finite.
    """
    logits = F.linear(features, weight, bias)
    leads = (logits[:, None, :] - logits[:, :, None]).amax(0)  # (C, C): the lead of j over k in row k
    products = weight @ weight.T
    to_others = products.diagonal()[:, None] - products  # (w_k - w_j).w_k
    gram = to_others[:, :, None] - products[:, None, :] + products[None]  # (C, C, C): V V^T for every class
    with torch.no_grad():
        dual = _dual(gram, leads, steps)
    length = torch.einsum("kj,kjl,kl->k", dual, gram, dual).clamp_min(1e-12).sqrt()
    return (dual * leads).sum(1) / length


def _dual(gram: Tensor, leads: Tensor, steps: int) -> Tensor:
    """For every class the u >= 0 that maximises c.u - |V^T u|^2 / 2, in the rows of (C, C).

    Accelerated projected gradient ascent (Beck and Teboulle, FISTA, 2009).
    """
    rate = 1 / gram.abs().sum(2).amax(1, keepdim=True).clamp_min(1e-12)
    dual = lookahead = torch.zeros_like(leads)
    momentum = 1.0
    for _ in range(steps):
        gradient = leads - torch.einsum("kjl,kl->kj", gram, lookahead)
        updated = (lookahead + rate * gradient).clamp_min(0)
        next_momentum = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        lookahead = updated + (momentum - 1) / next_momentum * (updated - dual)
        dual, momentum = updated, next_momentum
    return dual
