"""How FIRE chooses the layer and the strength: by cross-validation on the estimation images."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from bench.defenses._fire_direction import folds, gain, loss
from bench.defenses._fire_layers import Layer, layers_of
from bench.defenses._fire_repair import Estimate, Fit, Repairer, Samples
from bench.plugin import Context, LabelledImages
from bench.toolbox.precision import expect_finite
from bench.toolbox.training import logits_of

FOLDS = 4  # of the cross-validation


def best_fit(
    model: nn.Module,
    clean: LabelledImages,
    triggered: Tensor,
    originals: Tensor | None,
    targets: Tensor,
    repairer: Repairer,
    strengths: Sequence[float],
    context: Context,
) -> Fit | None:
    """The layer and strength with the highest net benefit on the estimation images; None if none has a benefit.

    triggered, originals: images (M, C, H, W) in [0, 1]; targets (C,): mask of the target classes. Raises ValueError,
    with the layer's name, where a benefit is not finite.
    """
    wanted = None if originals is None else logits_of(model, originals).argmax(1)
    # several targets need evidence that there is a trigger at all: most suspects must be helped
    highest, chosen = (0.0 if int(targets.sum()) == 1 else 0.5), None
    worth: dict[str, float] = {}
    layers = layers_of(model, triggered)
    for number, layer in enumerate(layers):
        on_clean, on_triggered = layer.read_all(clean.floats), layer.read_all(triggered)
        on_originals = None if originals is None else layer.read_all(originals)[0]
        samples = Samples(*on_clean, clean.labels, *on_triggered, on_originals, wanted)
        benefits = net_benefits(layer, samples, targets, repairer, strengths, context.generator)
        expect_finite({f"the net benefit of repairs at {layer.name}": torch.tensor(list(benefits.values()))})
        strength = _preferred(benefits, len(triggered))
        worth |= {f"{layer.name}, {alpha:g}": value for alpha, value in benefits.items()}
        if benefits[strength] > highest:
            highest, chosen = benefits[strength], (layer, strength, samples)
        context.progress((number + 1) / len(layers))
    context.note("worth", worth)
    if chosen is None:
        return None
    layer, strength, samples = chosen
    return Fit(layer, strength, targets, Estimate.of(samples, targets, repairer.baseline), len(triggered))


def net_benefits(
    layer: Layer,
    samples: Samples,
    targets: Tensor,
    repairer: Repairer,
    strengths: Sequence[float],
    generator: torch.Generator,
) -> dict[float, float]:
    """For each strength how much it helps triggered images less how much it hurts clean ones, both held out.

    The help is the ``gain`` and the hurt is the ``loss`` of ``_fire_direction``.
    """
    clean_fold = folds(samples.labels, FOLDS, generator)
    triggered_fold = folds(samples.triggered_logits.argmax(1), FOLDS, generator)
    after = {strength: (samples.clean_logits.clone(), samples.triggered_logits.clone()) for strength in strengths}
    for fold in range(FOLDS):
        clean, triggered = clean_fold == fold, triggered_fold == fold
        rest = replace(
            samples,
            clean=samples.clean[~clean],
            labels=samples.labels[~clean],
            triggered=samples.triggered[~triggered],
            originals=None if samples.originals is None else samples.originals[~triggered],
        )
        estimate = Estimate.of(rest, targets, repairer.baseline)
        for strength, (of_clean, of_triggered) in after.items():
            fit = Fit(layer, strength, targets, estimate, len(rest.triggered))
            of_clean[clean] = repairer.repaired(fit, samples.clean[clean], of_clean[clean]).logits
            of_triggered[triggered] = repairer.repaired(
                fit, samples.triggered[triggered], of_triggered[triggered]
            ).logits
    return {
        strength: gain(samples.triggered_logits, of_triggered, samples.wanted)
        - loss(samples.clean_logits, of_clean, samples.labels, targets)
        for strength, (of_clean, of_triggered) in after.items()
    }


def _preferred(benefits: dict[float, float], suspects: int) -> float:
    """The best strength; 1, beta as it is, unless another one is better by what a single suspect can be worth."""
    best = max(benefits, key=benefits.__getitem__)
    if 1.0 in benefits and benefits[1.0] >= benefits[best] - 1 / suspects:
        return 1.0
    return best
