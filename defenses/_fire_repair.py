"""What FIRE does to an input at one layer, once the trigger's direction there is estimated."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from bench.defenses._fire_direction import Filter, class_means, matched_filter, projected, shifted
from bench.defenses._fire_layers import Layer
from bench.plugin import Prediction

Baseline = Literal["classes", "images"]
PRESENT = 0.5  # score above which an input has the direction


@dataclass(frozen=True)
class Samples:
    """The estimation images at one layer, as flat activations: N clean images and M triggered ones.

    clean (N, d), clean_logits (N, C), labels (N,); triggered (M, d), triggered_logits (M, C); with pairs also the
    triggered images' originals (M, d) and the classes ``wanted`` (M,) that the network gives these.
    """

    clean: Tensor
    clean_logits: Tensor
    labels: Tensor
    triggered: Tensor
    triggered_logits: Tensor
    originals: Tensor | None
    wanted: Tensor | None


@dataclass(frozen=True)
class Estimate:
    """The trigger at one layer.

    direction (d,): what it adds, to be subtracted; presence: how much of it an input has; origin (d,): the mean of
    clean images of the classes that the trigger comes from.
    """

    direction: Tensor
    presence: Filter
    origin: Tensor

    @classmethod
    def of(cls, samples: Samples, targets: Tensor, baseline: Baseline = "classes") -> "Estimate":
        """From the estimation images and the mask ``targets`` (C,) of the target classes.

        baseline: what stands for the originals of triggered images, the mean of the class means or the plain mean.
        """
        means = class_means(samples.clean, samples.labels, len(targets))
        origin = means[targets if targets.all() else ~targets].mean(0)
        if baseline == "images":
            origin = samples.clean.mean(0)
        if samples.originals is not None:
            direction = (samples.triggered - samples.originals).mean(0)
        else:
            direction = samples.triggered.mean(0) - origin
        of_target = targets[samples.labels]
        clean = samples.clean[of_target] if of_target.any() else samples.clean
        within = (samples.clean - means[samples.labels], samples.triggered - samples.triggered.mean(0))
        return cls(direction, matched_filter(direction, clean, samples.triggered, torch.cat(within)), origin)

    def randomised(self, generator: torch.Generator) -> "Estimate":
        """The estimate with a random direction of the same length."""
        noise = torch.randn(self.direction.shape, generator=generator, device=self.direction.device)
        return replace(self, direction=noise * (self.direction.norm() / noise.norm()))


@dataclass(frozen=True)
class Fit:
    """Where to intervene and how strongly; ``targets`` (C,): mask; ``count``: triggered images that it rests on."""

    layer: Layer
    strength: float
    targets: Tensor
    estimate: Estimate
    count: int


@dataclass(frozen=True)
class Repairer:
    """Which inputs are repaired, and how. The values are those of FIRE's parameters of the same names."""

    apply: Literal["suspected", "target", "all", "present"]
    form: Literal["shift", "projection"]
    baseline: Baseline = "classes"

    def prediction(self, fit: Fit, images: Tensor) -> Prediction:
        """The prediction of images (N, C, H, W), after repair."""
        if self.apply == "present":
            return self._in_one_pass(fit, images)
        return self.repaired(fit, *fit.layer.read(images))

    def repaired(self, fit: Fit, activations: Tensor, logits: Tensor) -> Prediction:
        """The prediction of inputs with these activations (N, ...) and logits (N, C), after repair.

        Only the inputs that may need repair are looked at.
        """
        before = logits.argmax(1)
        as_target = fit.targets[before]
        index = (as_target if self.apply in ("suspected", "target") else torch.ones_like(as_target)).nonzero()[:, 0]
        score, logits = logits.new_zeros(len(logits)), logits.clone()
        flat = activations[index].flatten(1)
        score[index] = fit.estimate.presence(flat)
        if self.apply in ("suspected", "present"):
            present = score[index] > PRESENT
            index, flat = index[present], flat[present]
        if len(index):
            logits[index] = fit.layer.resume(self._moved(fit, flat))
        if self.apply == "present":
            return Prediction(logits, score, _flagged(fit, score, logits))
        return Prediction(logits, score * as_target, as_target & (logits.argmax(1) != before))

    def _in_one_pass(self, fit: Fit, images: Tensor) -> Prediction:
        """The prediction of images, of which those with the direction are repaired before the network goes on.

        Whether the network would have assigned an input to the target is not known then.
        """
        scores: list[Tensor] = []

        def edit(activations: Tensor) -> Tensor:
            flat = activations.flatten(1)
            scores.append(fit.estimate.presence(flat))
            present = scores[0] > PRESENT
            if not present.any():
                return activations
            changed = activations.clone()
            changed[present] = self._moved(fit, flat[present]).view_as(activations[present])
            return changed

        logits = fit.layer.run_edited(images, edit)
        return Prediction(logits, scores[0], _flagged(fit, scores[0], logits))

    def _moved(self, fit: Fit, flat: Tensor) -> Tensor:
        if self.form == "shift":
            return shifted(flat, fit.estimate.direction, fit.strength)
        return projected(flat, fit.estimate.direction, fit.strength, fit.estimate.origin)


def _flagged(fit: Fit, score: Tensor, logits: Tensor) -> Tensor:
    """Which inputs (N,) are flagged because they have the direction: not those that are still assigned to the single
    target after the repair."""
    return (score > PRESENT) & (fit.targets.all() | ~fit.targets[logits.argmax(1)])
