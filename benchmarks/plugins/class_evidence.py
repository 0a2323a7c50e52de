"""What could tell the target class of a network, beside what TAC looks at: statistics of every class, in the record.

    bench run --plugin benchmarks/plugins/class_evidence.py --defenses class_evidence …

The note ``class_evidence`` of a record maps each statistic to its values, one a class. Nothing is decided by them.
"""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from bench.defenses._adversarial_distance import adversarial_distances, lead, step_length
from bench.defenses._quadratic_program import constraints, least_distance, smallest_shifts
from bench.defenses._tac_evidence import Distances
from bench.defenses.tac import _norms, _seen
from bench.plugin import Repair
from bench.toolbox.networks import Cut, Latent, stages

Head = Callable[[Tensor], Tensor]


class ClassEvidence(Repair):
    """Repairs nothing: it notes statistics of all classes."""

    name: ClassVar[str] = "class_evidence"
    images: int = Field(100, ge=2, description="reference images for all but the norms")
    first: int = Field(1, ge=0, description="number of the first stage to look behind; the earliest are the dearest")
    steps: int = Field(80, ge=1, description="of the search for one change that all images share")

    def repair(self, model, known, context):
        data = known.reference()
        model.requires_grad_(False).eval()
        latent = Latent(model, data.example)
        classes = latent.linear.out_features
        found = norms(latent, data, self.images)
        order = torch.randperm(len(data), generator=context.generator, device=context.device)
        some = data.at(order[: self.images])
        for name, module in list(stages(model).items())[self.first :]:
            cut = Cut(model, module, some.example)
            with torch.no_grad():
                activations = cut.before(some.floats)
            distances = adversarial_distances(cut.after, activations, classes)
            into = Distances(distances, some.labels).of_classes()
            shared = [
                shared_change(cut.after, activations[some.labels != label], label, self.steps)
                for label in range(classes)
            ]
            found[f"distance to the class behind {name}"] = into
            found[f"distance away from the class behind {name}"] = away(distances, some.labels)
            found[f"shared change behind {name}"] = np.array(shared)
            found[f"shared change behind {name}, in distances"] = shared / into
            context.log(f"{name} done")
        context.note("class_evidence", {name: finite(values) for name, values in found.items()})
        return model


def finite(values: np.ndarray) -> list[float | None]:
    """The values, None where a class has no images among those that were drawn."""
    return [float(value) if np.isfinite(value) else None for value in values]


def norms(latent: Latent, data, count: int) -> dict[str, np.ndarray]:
    """Of shifts of the latent that give all images a class, and of those that give it to a single one."""
    features, weight, bias = _seen(latent, data)
    labels, logits = data.labels.cpu().numpy(), features @ weight.T + bias
    single = np.array([
        np.mean([
            np.linalg.norm(least_distance(*constraints(logits[[image]], weight, label)))
            for image in np.flatnonzero(labels != label)[:count]
        ])
        for label in range(len(weight))
    ])  # fmt: skip
    found = {
        "norm of the layer's weights": np.linalg.norm(weight - weight.mean(0), axis=1),
        "norm of one image": single,
    }
    for quantile in (1, 0.98, 0.9):
        shifts = smallest_shifts(features, weight, bias, quantile=quantile)
        found[f"norm, quantile {quantile}"] = _norms(shifts)
        found[f"norm, quantile {quantile}, in norms of one image"] = found[f"norm, quantile {quantile}"] / single
    return found


def away(distances: Tensor, labels: Tensor) -> np.ndarray:
    """For every class (C,) how far its images are from the nearest other class, by distances (C, N)."""
    others = distances.masked_fill(F.one_hot(labels, len(distances)).T.bool(), torch.inf).amin(0)
    return np.array([others[labels == label].mean().item() for label in range(len(distances))])


def shared_change(head: Head, activations: Tensor, label: int, steps: int) -> float:
    """The norm of the smallest change met with which nine tenths of activations (N, ...) are given the class."""
    target = torch.full((len(activations),), label, device=activations.device)
    radius = 0.3 * activations.flatten(1).norm(dim=1).median()
    change, smallest = torch.zeros_like(activations[:1]), torch.inf
    for step in range(steps):
        change.requires_grad_()
        logits = head(activations + change)
        leads = lead(logits, F.one_hot(target, logits.shape[1]).bool())
        (gradient,) = torch.autograd.grad(F.softplus(-leads).sum(), change)
        with torch.no_grad():
            reached = (leads > 0).float().mean() >= 0.9
            if reached and step:
                smallest = min(smallest, change.norm().item())
            if step:
                radius = radius * (0.93 if reached else 1.05)
            change = change.detach() - gradient * (step_length(step, steps) * radius / gradient.norm().clamp_min(1e-12))
            change *= radius / change.norm().clamp_min(1e-12)
    return smallest if np.isfinite(smallest) else radius.item()
