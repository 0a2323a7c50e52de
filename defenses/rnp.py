"""RNP: make the network forget its clean task, recover that by masks alone, and prune what the recovery throws out.

Li et al., "Reconstructive Neuron Pruning for Backdoor Defense", ICML 2023. First the loss on clean images is maximised
until the accuracy is 0.2: what is left works for the backdoor. Then masks over the channels of this unlearned network
are trained on the same images; channels whose mask falls are the backdoor's, and are pruned in the network as it
was given.

Unlearning (rate 0.01, at most 20 epochs, to an accuracy of 0.2) and recovery (20 epochs, rate 0.2, masks in [0, 1])
are the paper's, with 1 % of the training set; the weight alpha of the recovery's loss, 0.2, is taken from its public
code from memory. That code tries thresholds and shows the attack's success for each, which a defender does not
know: here the threshold is the highest one (in steps of 0.02) within a bound of the reference accuracy. If none is, the
network stays as it is. Derived: unlearning ends within an epoch, at the first batch below the accuracy; the masks of a
network without batch normalisation are over its layer normalisations.

On a slim ResNet-18 (width 16, 200 digits, BadNets, two seeds) it prunes nothing, DER 0.50. Unlearning does what
it should: accuracy 0.06, success of the attack 1.0. But all channels serve the clean task, and the masks that fall are
those of channels that unlearning moved: pruning the 23 that reach zero halves the accuracy, with the attack at 0.36.
Gentler unlearning (rates 0.001 to 0.005) and recovery (3 to 60 epochs, batch statistics or the network's own) separate
no better: within 2 % of the reference accuracy the attack never fell below 0.82.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from bench.defenses._channels import Channels, descend, prune_below, rescaled, scaled_layers
from bench.defenses._unlearning import unlearned
from bench.plugin import Case, Context, Known, LabelledImages, Repair, batches


class RNP(Repair):
    name: ClassVar[str] = "rnp"
    source: ClassVar[str] = "Li et al., ICML 2023, arXiv 2305.14876"

    forget_accuracy: float = Field(0.2, ge=0, lt=1, description="reference accuracy at which unlearning ends")
    forget_epochs: int = Field(20, ge=1, description="of the unlearning, at most")
    forget_rate: float = Field(0.01, gt=0, description="learning rate of the unlearning")
    recover_epochs: int = Field(20, ge=1, description="of the masks' training")
    recover_rate: float = Field(0.2, gt=0, description="learning rate of the masks")
    alpha: float = Field(0.2, gt=0, description="weight of the loss of the recovery")
    batch_size: int = Field(128, ge=2, description="reference images a step")
    step: float = Field(0.02, gt=0, lt=1, description="between the thresholds that are tried")
    bound: float = Field(0.02, ge=0, lt=1, description="share of the reference accuracy that pruning may cost")

    def unsupported(self, case: Case) -> str | None:
        return None if scaled_layers(case.network) else "the network has no normalisation layer whose gains to mask"

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        data = known.reference()
        forgetful, accuracy = unlearned(
            model,
            data,
            context,
            accuracy=self.forget_accuracy,
            epochs=self.forget_epochs,
            learning_rate=self.forget_rate,
            batch_size=self.batch_size,
        )
        context.progress(0.4)
        masks = self._masks(forgetful, data, context)
        cut = prune_below(model, scaled_layers(model), masks, data, bound=self.bound, step=self.step)
        context.note("unlearned_accuracy", accuracy)
        context.note("pruned", {"channels": cut.pruned, "of": cut.channels, "threshold": cut.threshold})
        return model

    def _masks(self, network: nn.Module, data: LabelledImages, context: Context) -> Channels:
        """Masks, a value (K,) in [0, 1] for the channels of each layer, with which ``network`` knows ``data`` again."""
        layers = scaled_layers(network)
        network.train()
        masks = [torch.ones_like(layer.weight, requires_grad=True) for layer in layers.values()]
        optimizer = torch.optim.SGD(masks, lr=self.recover_rate, momentum=0.9)
        for epoch in range(self.recover_epochs):
            for index in batches(len(data), self.batch_size, context.generator, context.device):
                logits = rescaled(network, layers, masks)(data.at(index).floats)
                descend(optimizer, masks, self.alpha * F.cross_entropy(logits, data.labels[index]))
            context.progress(0.4 + 0.6 * (epoch + 1) / self.recover_epochs)
        network.eval()
        return [mask.detach() for mask in masks]
