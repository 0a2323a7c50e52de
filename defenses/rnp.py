"""RNP: unlearn the clean task, recover it by masks over the channels alone, and prune what the recovery masks out.

Li et al., "Reconstructive Neuron Pruning for Backdoor Defense", ICML 2023, arXiv 2305.14876. The loss on clean images
is maximised until the accuracy is 0.2: what is left works for the backdoor. Masks over this network's channels are then
trained on the same images; channels whose mask falls are pruned in the original network. The weight alpha of the
recovery's loss is not checked against the public code. Departures: that code chooses the threshold by the attack's
success, which no defender knows; here it is the highest one within a bound of the reference accuracy. Derived:
unlearning ends within an epoch; without batch normalisation the masks are over the layer normalisations.
"""

from typing import ClassVar

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._channels import NO_GAINS, Channels, Norm, prune_below, rescaled, scaled_layers, trained_masks
from bench.defenses._unlearning import unlearned
from bench.plugin import Case, Context, Known, Repair, later, stratified_order


class RNP(Repair):
    """Pruning by masks that recover the clean task of an unlearned copy."""

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
    whole_epochs: bool = later(
        False, description="unlearn by whole epochs and unclipped gradients, as the authors' code does"
    )
    share: float = later(1.0, gt=0, le=1, description="share of the reference images that is used, evenly by class")

    def unsupported(self, case: Case) -> str | None:
        return None if scaled_layers(case.network) else NO_GAINS

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        data = known.reference()
        if self.share < 1:
            some = stratified_order(data.labels, context.generator)
            data = data.at(some[: max(1, round(self.share * len(data)))])
        forgetful, accuracy = unlearned(
            model,
            data,
            context,
            accuracy=self.forget_accuracy,
            epochs=self.forget_epochs,
            learning_rate=self.forget_rate,
            batch_size=self.batch_size,
            whole_epochs=self.whole_epochs,
        )
        context.note("unlearned_accuracy", accuracy)
        context.progress(0.4)

        def loss(layers: dict[str, Norm], masks: Channels, images: Tensor, labels: Tensor) -> Tensor:
            return self.alpha * F.cross_entropy(rescaled(forgetful, layers, masks)(images), labels)

        masks = trained_masks(
            forgetful,
            data,
            context.part(0.4, 1),
            loss,
            epochs=self.recover_epochs,
            learning_rate=self.recover_rate,
            batch_size=self.batch_size,
        )
        result = prune_below(model, scaled_layers(model), masks, data, bound=self.bound, step=self.step)
        context.note("pruned", result.figures)
        return model
