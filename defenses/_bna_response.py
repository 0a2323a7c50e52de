"""How BNA answers: the network, and for what it assigns to a target, the aligned network."""

import torch
from torch import Tensor

from bench.plugin import Prediction
from bench.toolbox.inference import Answers


@torch.no_grad()
def respond(model: Answers, aligned: dict[int, Answers], images: Tensor) -> Prediction:
    """The network's logits; where it assigns an input to a target, the logits of that target's aligned network.

    Flagged are inputs that the aligned network does not assign to the target; score: 1 - its probability of it.
    """
    logits = model(images)
    first = logits.argmax(1)
    score = torch.zeros(len(images), device=images.device)
    flagged = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    logits = logits.clone()
    for target, network in aligned.items():
        index = (first == target).nonzero()[:, 0]
        if len(index):
            answer = network(images[index])
            logits[index] = answer
            score[index] = 1 - answer.softmax(1)[:, target]
            flagged[index] = answer.argmax(1) != target
    return Prediction(logits, score, flagged)
