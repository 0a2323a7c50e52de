"""Clean unlearning: train a network to fail on clean images. What that changes shows where the backdoor is.

RNP (Li et al., ICML 2023) and TSBD (Lin et al., NeurIPS 2024) begin with it: the cross-entropy of clean images is
maximised, with clipped gradients, until the accuracy has fallen to a level near chance.
"""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from bench.plugin import Context, LabelledImages, batches
from bench.toolbox.networks import channels_last
from bench.toolbox.precision import expect_finite
from bench.toolbox.training import autocast

LARGEST_GRADIENT_NORM = 20.0  # the loss has no upper bound: without a limit to the steps the weights diverge
WHOSE = "unlearning: "


def unlearned(
    model: nn.Module,
    data: LabelledImages,
    context: Context,
    *,
    accuracy: float,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    whole_epochs: bool = False,
) -> tuple[nn.Module, float]:
    """A copy of ``model``, in eval mode, that was trained to fail on ``data``, and its accuracy on the last batch.

    At most ``epochs`` epochs. It ends within an epoch, at the first batch whose accuracy is at most ``accuracy`` (in
    [0, 1]): with few batches in an epoch, the end of that epoch is far below chance. With ``whole_epochs`` it ends
    after the first epoch whose accuracy, over all of its batches, is at most that, and no gradient is clipped. Raises
    ValueError, with the tensor's name, at the end of an epoch in which a weight, a buffer or a gradient stopped being
    finite, or where it would return such a network or rest on such logits.
    """
    network = copy.deepcopy(model).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=learning_rate, momentum=0.9, weight_decay=5e-4)
    for epoch in range(epochs):
        correct = 0.0
        for index in batches(len(data), batch_size, context.generator, context.device):
            images, labels = data.at(index).floats, data.labels[index]
            with autocast(context.device):
                logits = network(channels_last(images)).float()
            reached = float((logits.argmax(1) == labels).float().mean())
            correct += reached * len(index)
            if reached <= accuracy and not whole_epochs:  # also with logits that are NaN, whose argmax is 0
                expect_finite({"the logits": logits}, whose=WHOSE, when=f" in epoch {epoch + 1} of {epochs}")
                expect_finite(network, whose=WHOSE, when=f" in epoch {epoch + 1} of {epochs}")
                return network.eval(), reached
            optimizer.zero_grad(set_to_none=True)
            (-F.cross_entropy(logits, labels)).backward()
            if not whole_epochs:
                torch.nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT_NORM)
            optimizer.step()
        expect_finite(network, whose=WHOSE, when=f" after epoch {epoch + 1} of {epochs}")
        if whole_epochs and (reached := correct / len(data)) <= accuracy:
            break
    return network.eval(), reached
