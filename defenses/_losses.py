"""Losses and divergences that several defenses use."""

import torch
from torch import Tensor


def surprise_without(logits: Tensor, classes: Tensor) -> Tensor:
    """-log(1 - p) (N,), with p the softmax probability that logits (N, C) give ``classes`` (N,).

    It is computed from the other classes' logits, so that it stays finite, and has a gradient, where p rounds to 1.
    """
    others = logits.scatter(1, classes[:, None], -torch.inf)
    return logits.logsumexp(1) - others.logsumexp(1)


# The Jensen-Shannon divergence has two forms. That of logits stays exact for tiny probabilities. Histograms have bins
# that are truly empty, so their form counts an empty bin as a little; it would change results to exchange the two.


def jensen_shannon_of_logits(first: Tensor, second: Tensor) -> Tensor:
    """The Jensen-Shannon divergence (N,), in nats, of the softmax of two sets of logits (N, C)."""
    one, other = first.log_softmax(1), second.log_softmax(1)
    middle = torch.logaddexp(one, other) - torch.log(torch.tensor(2.0, device=one.device))
    return sum(((side.exp() * (side - middle)).sum(1) for side in (one, other)), torch.zeros_like(one[:, 0])) / 2


def jensen_shannon_of_histograms(first: Tensor, second: Tensor) -> Tensor:
    """The Jensen-Shannon divergence (K,), in nats, of histograms (K, B) whose rows sum to 1."""
    middle = (first + second) / 2
    return (kullback_leibler_of_histograms(first, middle) + kullback_leibler_of_histograms(second, middle)) / 2


def kullback_leibler_of_histograms(first: Tensor, second: Tensor) -> Tensor:
    """KL(first || second) (K,), in nats, of histograms (K, B) whose rows sum to 1."""
    return (first * ((first + EMPTY) / (second + EMPTY)).log()).sum(1)


EMPTY = 1e-6  # what an empty bin counts as; otherwise the divergence would be infinite
