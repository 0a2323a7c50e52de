"""One change of the activations that permutes the classes: what an all-to-all backdoor leaves in a network.

The trigger of an all-to-all backdoor sends the images of every class to another class, and acts on all of them alike.
So behind a late stage one change of the activations does the same, and it does so with images that it was not found
with. The measure is our own; what it was chosen on stands in docs/findings/tac.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy  # its parts are loaded when they are used
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.defenses._adversarial_distance import lead, step_length
from bench.toolbox.precision import expect_finite

SHRINK, GROW = 0.93, 1.05  # of the radius, where enough images are led to their targets and where they are not
RADIUS = 0.3  # the first and the largest, in median norms of the activations
ENOUGH = 0.9  # of the images
ANEW = 5  # steps between two choices of the permutation
FEWEST = 4  # classes: fewer have next to no permutations that give each another one

Head = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Permutation:
    """A ``change`` of activations (1, ...), and the ``targets`` (C,) that it leads the images of each class to."""

    change: Tensor
    targets: tuple[int, ...]

    def share(self, head: Head, activations: Tensor, labels: Tensor, *, chunk: int = 512) -> float:
        """The share of images, with activations (N, ...) and labels (N,), that the change leads to their targets."""
        with torch.no_grad():
            given = torch.cat([head(some + self.change).argmax(1) for some in activations.split(chunk)])
        wanted = torch.tensor(self.targets, device=labels.device)[labels]
        return int((given == wanted).sum()) / len(labels)


def permuting_change(
    head: Head, activations: Tensor, labels: Tensor, classes: int, *, steps: int = 60, chunk: int = 512
) -> Permutation:
    """The smallest change found with which ``head`` gives ``ENOUGH`` of N images another class, each class its own.

    activations (N, ...), labels (N,). No permutation is given: every ``ANEW`` steps it is chosen anew, as the one that
    the changed images' mean log probabilities speak for most. The search follows the normalised gradient on a sphere
    that shrinks while enough images are led to their targets, and grows while they are not, to ``RADIUS`` at most.
    Where none leads enough of them, the change that leads the most. It is deterministic. ``chunk``: images in one pass.
    Raises ValueError where logits or gradients are not finite.
    """
    largest = RADIUS * activations.flatten(1).norm(dim=1).median()
    radius, change = largest.clone(), torch.zeros_like(activations[:1])
    best, most, smallest = change, -1.0, torch.inf
    targets = of_best = torch.arange(classes, device=labels.device)
    for step in range(steps):
        if step % ANEW == 0:
            with torch.no_grad():
                logits = torch.cat([head(some + change).float() for some in activations.split(chunk)])
            expect_finite({"the logits of changed activations": logits})
            targets = permutation(logits, labels, classes)
        led, gradient = _pass(head, change, activations, targets[labels], chunk)
        share, length = led / len(labels), float(change.norm())
        if (share >= ENOUGH and length < smallest) or (smallest == torch.inf and share > most):
            best, of_best, most = change, targets, share
            smallest = length if share >= ENOUGH else torch.inf
        if step:
            radius = torch.minimum(radius * (SHRINK if share >= ENOUGH else GROW), largest)
        change = change - gradient * (step_length(step, steps) * radius / gradient.norm().clamp_min(1e-12))
        change = change * (radius / change.norm().clamp_min(1e-12))
    expect_finite({"the permuting change": change})
    return Permutation(best, tuple(of_best.tolist()))


def _pass(head: Head, change: Tensor, activations: Tensor, targets: Tensor, chunk: int) -> tuple[int, Tensor]:
    """How many of N images the change leads to their targets (N,), and the gradient (1, ...) of the loss of all."""
    led, gradient = 0, torch.zeros_like(change)
    for some, wanted in zip(activations.split(chunk), targets.split(chunk), strict=True):
        varied = change.clone().requires_grad_()
        logits = head(some + varied).float()
        leads = lead(logits, F.one_hot(wanted, logits.shape[1]).bool())
        gradient += torch.autograd.grad(F.softplus(-leads).sum(), varied)[0]
        led += int((leads > 0).sum())
    return led, gradient


def permutation(logits: Tensor, labels: Tensor, classes: int) -> Tensor:
    """For every class another one (C,), each once: those that the mean log probabilities of logits (N, C) speak for."""
    members = F.one_hot(labels, classes).T.float()
    scores = members @ logits.log_softmax(1) / members.sum(1, keepdim=True).clamp_min(1)
    costs = -scores.double().cpu().numpy()
    np.fill_diagonal(costs, 1e9)
    return torch.as_tensor(scipy.optimize.linear_sum_assignment(costs)[1], device=labels.device)
