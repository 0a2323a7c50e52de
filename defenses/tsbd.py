"""TSBD: zero the weights that change most when the network unlearns its clean task, then fine-tune gently.

Lin et al., "Unveiling and Mitigating Backdoor Vulnerabilities based on Unlearning Weight Changes and Backdoor
Activeness", NeurIPS 2024, arXiv 2405.20291. Stage 1 maximises the loss on clean images; in the neurons with the largest
weight change (L1) the weights that changed most become zero. Stage 2 fine-tunes with a penalty on the gradient's norm,
which keeps the backdoor from coming back. Neurons are the rows of all convolutions and linear layers but the last. The
authors' code unlearns gently, by whole epochs (forget_rate=1e-4, forget_epochs=1000, whole_epochs=true), ranks the
weights of all chosen neurons together (ranked=together), takes r for each tensor (look_ahead=tensor), decays nothing.
"""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from bench.defenses._classifier import lacks_last_linear
from bench.defenses._finetuning import FineTuning
from bench.defenses._unlearning import unlearned
from bench.plugin import Case, Context, Known, Objective, later
from bench.toolbox.networks import last_linear


class TSBD(FineTuning):
    """Zeroing of the weights that unlearning changes most, and fine-tuning with a penalised gradient."""

    name: ClassVar[str] = "tsbd"
    source: ClassVar[str] = "Lin et al., NeurIPS 2024, arXiv 2405.20291"

    forget_accuracy: float = Field(0.1, ge=0, lt=1, description="reference accuracy at which unlearning ends")
    forget_epochs: int = Field(20, ge=1, description="of the unlearning, at most")
    forget_rate: float = Field(0.01, gt=0, description="learning rate of the unlearning")
    neurons: float = Field(0.15, gt=0, le=1, description="n: share of the neurons, those that changed most")
    weights: float = Field(0.7, gt=0, le=1, description="m: share of such a neuron's weights that become zero")
    alpha: float = Field(0.7, ge=0, le=1, description="weight of the gradient at the look-ahead")
    radius: float = Field(0.05, gt=0, description="r: how far the look-ahead goes, as an L2 norm")
    whole_epochs: bool = later(False, description="unlearn by whole epochs and unclipped gradients")
    ranked: Literal["apart", "together"] = later(
        "apart", description="m: share of each chosen neuron's weights, or of the weights of all of them together"
    )
    look_ahead: Literal["network", "tensor"] = later(
        "network", description="r is the norm over all weights together, or of every tensor of them"
    )

    def unsupported(self, case: Case) -> str | None:
        if reason := lacks_last_linear(case):
            return reason
        return None if neuron_layers(case.network, case.example) else "the network has no neurons but its classes"

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        data = known.reference()
        forgetful, accuracy = unlearned(
            model,
            data,
            context,
            accuracy=self.forget_accuracy,
            epochs=self.forget_epochs,
            learning_rate=self.forget_rate,
            batch_size=min(128, len(data)),
            whole_epochs=self.whole_epochs,
        )
        context.note("unlearned_accuracy", accuracy)
        layers = neuron_layers(model, data.example)
        changes = [
            (forgetful.get_submodule(name).get_parameter("weight") - layer.weight).detach().abs()
            for name, layer in layers.items()
        ]
        masks = most_changed(changes, self.neurons, self.weights, together=self.ranked == "together")
        with torch.no_grad():
            for layer, mask in zip(layers.values(), masks, strict=True):
                layer.weight[mask] = 0
        context.note("zeroed", {"weights": int(sum(mask.sum() for mask in masks)), "of": sum(m.numel() for m in masks)})
        self.fine_tune(model, data, context, objective=GradientNorm(self.alpha, self.radius, self.look_ahead))
        return model


def neuron_layers(model: nn.Module, images: Tensor) -> dict[str, nn.Conv2d | nn.Linear]:
    """The layers by name whose rows of weights are neurons: convolutions, and linear layers but the classifier.

    Raises LookupError if ``model``, run on ``images`` (N, C, H, W), does not end in a linear layer.
    """
    last = last_linear(model, images)
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and module is not last
    }


def most_changed(changes: list[Tensor], neurons: float, weights: float, *, together: bool = False) -> list[Tensor]:
    """Masks (K, ...) bool of the weights to zero, from their absolute changes (K, ...), a tensor for each layer.

    Chosen are, of the rows of all layers together, the share ``neurons`` with the largest sums, and in each of these,
    or ``together`` in all of these, the share ``weights`` that changed most.
    """
    sums = torch.cat([change.flatten(1).sum(1) for change in changes])
    chosen = torch.zeros_like(sums, dtype=torch.bool)
    chosen[sums.topk(max(1, round(neurons * len(sums)))).indices] = True
    masks = []
    least = 0.0
    if together:
        rows_of = zip(changes, chosen.split([len(change) for change in changes]), strict=True)
        pool = torch.cat([change[rows].flatten() for change, rows in rows_of])
        least = float(pool.topk(max(1, round(weights * len(pool)))).values[-1])
    for change, rows in zip(changes, chosen.split([len(change) for change in changes]), strict=True):
        flat = change.flatten(1)
        if together:
            masks.append(((flat >= least) & rows[:, None]).view_as(change))
            continue
        count = max(1, round(weights * flat.shape[1]))
        mask = torch.zeros_like(flat, dtype=torch.bool).scatter(1, flat.topk(count, dim=1).indices, True)
        masks.append((mask & rows[:, None]).view_as(change))
    return masks


class GradientNorm(Objective):
    """Cross-entropy with a penalty of its gradient's norm, without second derivatives.

    Its gradient is (1 - alpha) g(w) + alpha g(w + radius g(w) / |g(w)|), where g is the cross-entropy's: Zhao, Zhang,
    Hu, "Penalizing Gradient Norm for Efficiently Improving Generalization in Deep Learning", ICML 2022. ``norm``: |.|
    is that of the whole network's gradient, or of each tensor's own.
    """

    def __init__(self, alpha: float, radius: float, norm: Literal["network", "tensor"] = "network") -> None:
        self.alpha, self.radius, self.norm = alpha, radius, norm

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, share: float) -> Tensor:
        weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        gradients = torch.autograd.grad(F.cross_entropy(model(images), labels), list(weights.values()))
        length = torch.stack([gradient.norm() for gradient in gradients]).norm().clamp_min(1e-12)
        slopes = dict(zip(weights, gradients, strict=True))
        lengths = dict.fromkeys(weights, length)
        if self.norm == "tensor":
            lengths = {name: slope.norm().clamp_min(1e-12) for name, slope in slopes.items()}
        moved = {name: weight + self.radius / lengths[name] * slopes[name] for name, weight in weights.items()}
        # batch normalisation keeps the statistics at w: those that the second pass gathers are thrown away
        scratch = {name: buffer.clone() for name, buffer in model.named_buffers()}
        ahead = F.cross_entropy(functional_call(model, moved | scratch, (images,)), labels)
        # a linear function with the slope g(w), so that the first pass need not be differentiated twice
        here = torch.stack([(slopes[name] * weight).sum() for name, weight in weights.items()]).sum()
        return (1 - self.alpha) * here + self.alpha * ahead
