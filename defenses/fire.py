"""FIRE: repair at inference. What the trigger adds to the activations is subtracted from them.

Ahlers, Passon, Noller, Grunske, arXiv 2602.10780: at one stage of the network the activations x of a suspected input
become x - alpha beta, and the rest of the network runs on; no parameter changes. beta is the general direction of
the trigger, estimated from a few triggered images with or without their clean originals. The defender must have such
images in hand: from an incident, or from a detector upstream.

Derived here, because the paper could not be read: how the class content is taken out of an unpaired direction, which
inputs count as suspected, and how stage and strength are chosen (by cross-validation on the estimation images).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.networks import Cut, last_linear, stages
from bench.plugin import Context, Guard, Knowledge, Known, Prediction, Runtime
from bench.training import logits_of
from defenses._direction import (
    RunningMean,
    Test,
    class_means,
    paired_direction,
    presence_test,
    projected,
    shifted,
    unpaired_direction,
)

FOLDS = 4  # of the cross-validation
STRENGTHS = (0.5, 1.0, 1.5, 2.0)  # what alpha is chosen among


@dataclass(frozen=True)
class Place:
    """Where a network can be intervened in: ``model(x)`` equals ``after(look(x)[0])``."""

    name: str
    look: Callable[[Tensor], tuple[Tensor, Tensor]]  # images to flat activations (N, d) and logits, in one pass
    after: Callable[[Tensor], Tensor]  # flat activations to logits


@dataclass(frozen=True)
class Seen:
    """The estimation images at one place: activations (N, d) of the clean images, (M, d) of the triggered ones and,
    with pairs, of these ones' originals, whose classes are ``wanted`` (M,)."""

    clean: Tensor
    labels: Tensor
    triggered: Tensor
    originals: Tensor | None
    wanted: Tensor | None
    clean_logits: Tensor
    triggered_logits: Tensor

    def at(self, clean: Tensor, triggered: Tensor) -> "Seen":
        """The part that two masks select."""
        return Seen(
            self.clean[clean],
            self.labels[clean],
            self.triggered[triggered],
            None if self.originals is None else self.originals[triggered],
            None if self.wanted is None else self.wanted[triggered],
            self.clean_logits[clean],
            self.triggered_logits[triggered],
        )


@dataclass(frozen=True)
class Estimate:
    """What is estimated at one place: the direction (d,), the classes' means (C, d), the test for the trigger."""

    direction: Tensor
    means: Tensor
    test: Test


class FIRE(Runtime):
    name: ClassVar[str] = "fire"
    knowledge: ClassVar[Knowledge] = "suspects"
    source: ClassVar[str] = "Ahlers et al., 2026, arXiv 2602.10780"

    direction: Literal["unpaired", "paired", "random"] = Field(
        "unpaired",
        description="estimate beta from triggered images alone, or with their originals; "
        "random: a control of the unpaired one's length",
    )
    apply: Literal["suspected", "target", "all"] = Field(
        "suspected",
        description="repair inputs taken for the target that resemble the suspects more than the target's clean "
        "images; every input taken for the target; every input",
    )
    form: Literal["shift", "projection"] = Field(
        "shift", description="subtract alpha beta, or alpha times what the input has of it beyond the clean mean"
    )
    strength: float | None = Field(None, gt=0, description="alpha; chosen on the estimation images if not given")
    stream: bool = Field(False, description="refine beta by every flagged input as the stream passes")

    @property
    def wants_pairs(self) -> bool:
        return self.direction == "paired"

    @property
    def learns_from_stream(self) -> bool:
        return self.stream

    @torch.no_grad()
    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        suspects, clean = known.suspects, known.reference()
        if suspects is None or (self.wants_pairs and known.originals is None):
            raise LookupError(f"{self.name} needs suspected images, and with direction=paired their originals")
        predicted = logits_of(model, suspects).argmax(1)
        target = int(predicted.mode().values)
        hit = predicted == target
        context.note("target", {"class": target, "share": float(hit.float().mean())})
        if 2 * int(hit.sum()) <= len(suspects) or int(hit.sum()) < FOLDS:
            context.log("fire: the suspects lead to no common class; the network is left as it is")
            return lambda images: _unjudged(model(images))

        triggered = suspects[hit]
        originals = known.originals[hit] if self.wants_pairs and known.originals is not None else None
        wanted = None if originals is None else logits_of(model, originals).argmax(1)
        found, best, worth = None, 0.0, {}
        options = places(model, suspects)
        for done, place in enumerate(options):
            clean_seen, clean_logits = _look(place, clean.floats)
            triggered_seen, triggered_logits = _look(place, triggered)
            seen = Seen(
                clean_seen,
                clean.labels,
                triggered_seen,
                None if originals is None else _look(place, originals)[0],
                wanted,
                clean_logits,
                triggered_logits,
            )
            by_strength = self._worth(place, seen, target, context.generator)
            worth[place.name] = {str(strength): value for strength, value in by_strength.items()}
            strength = max(by_strength, key=by_strength.__getitem__)
            if by_strength[strength] > best:
                best = by_strength[strength]
                found = place, strength, self._estimate(seen, target, context.generator)
            context.progress((done + 1) / len(options))
        context.note("worth", worth)
        if found is None:
            context.log("fire: no direction brings the suspects away from their class; the network is left as it is")
            return lambda images: _unjudged(model(images))
        place, strength, estimate = found
        context.note("chosen", {"stage": place.name, "strength": strength})
        beta = RunningMean(estimate.direction, len(triggered))

        @torch.no_grad()
        def guarded(images: Tensor) -> Prediction:
            activations, logits = place.look(images)
            logits, score, flagged = self._apply(place, activations, logits, target, estimate, beta.value, strength)
            return Prediction(logits, score, flagged)

        @torch.no_grad()
        def learning(images: Tensor) -> Prediction:
            one_by_one = []
            for image in images.split(1):
                activations, logits = place.look(image)
                result = self._apply(place, activations, logits, target, estimate, beta.value, strength)
                if result[2]:
                    beta.add(activations[0] - estimate.means[int(result[0].argmax())])
                one_by_one.append(result)
            return Prediction(*(torch.cat(part) for part in zip(*one_by_one, strict=True)))

        return learning if self.stream else guarded

    def _estimate(self, seen: Seen, target: int, generator: torch.Generator) -> Estimate:
        classes = seen.clean_logits.shape[1]
        means = class_means(seen.clean, seen.labels, classes)
        if seen.originals is None:
            direction = unpaired_direction(seen.triggered, means, target)
        else:
            direction = paired_direction(seen.triggered, seen.originals)
        if self.direction == "random":
            noise = torch.randn(direction.shape, generator=generator, device=direction.device)
            direction = noise * (direction.norm() / noise.norm())
        of_target = seen.labels == target
        spread = (seen.clean - means[seen.labels]).square().mean(0)
        test = presence_test(seen.clean[of_target] if of_target.any() else seen.clean, seen.triggered, spread)
        return Estimate(direction, means, test)

    def _apply(
        self,
        place: Place,
        activations: Tensor,
        logits: Tensor,
        target: int,
        estimate: Estimate,
        direction: Tensor,
        strength: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (N, C) after the repair of the inputs to be repaired, scores (N,) and verdicts (N,)."""
        as_target = logits.argmax(1) == target
        score = torch.where(as_target, estimate.test(activations), 0)
        chosen = torch.ones_like(as_target) if self.apply == "all" else as_target
        if self.apply == "suspected":
            chosen = as_target & (score > 0.5)
        if chosen.any():
            if self.form == "shift":
                changed = shifted(activations[chosen], direction, strength)
            else:
                changed = projected(activations[chosen], direction, strength, estimate.means.mean(0))
            logits = logits.clone()
            logits[chosen] = place.after(changed)
        return logits, score, as_target & (logits.argmax(1) != target)

    def _worth(self, place: Place, seen: Seen, target: int, generator: torch.Generator) -> dict[float, float]:
        """Of each strength: how much it helps triggered images less how much it hurts clean ones, both held out.

        Help is what the probability of the wanted class gains; without pairs, that of the likeliest class but the
        target. Hurt is what the probability of the label loses, over all clean images or over those of the target,
        whichever is more.
        """
        strengths = STRENGTHS if self.strength is None else (self.strength,)
        clean_fold, triggered_fold = _folds(seen.labels, generator), _folds(seen.triggered_logits.argmax(1), generator)
        repaired = {strength: (seen.clean_logits.clone(), seen.triggered_logits.clone()) for strength in strengths}
        for fold in range(FOLDS):
            estimate = self._estimate(seen.at(clean_fold != fold, triggered_fold != fold), target, generator)
            for strength, (clean, triggered) in repaired.items():
                for logits, fold_of, activations in (
                    (clean, clean_fold, seen.clean),
                    (triggered, triggered_fold, seen.triggered),
                ):
                    held_out = fold_of == fold
                    logits[held_out], *_ = self._apply(
                        place, activations[held_out], logits[held_out], target, estimate, estimate.direction, strength
                    )
        return {
            strength: _gain(seen.triggered_logits, triggered, seen.wanted, target)
            - _loss(seen.clean_logits, clean, seen.labels, target)
            for strength, (clean, triggered) in repaired.items()
        }


def places(model: nn.Module, images: Tensor) -> list[Place]:
    """Every stage of the network, by what it puts out, and the latent before the last linear layer."""

    def behind(name: str, module: nn.Module) -> Place:
        cut = Cut(model, module, images)
        shape = cut.before(images[:1]).shape[1:]
        return Place(name, _watched(model, module, output=True), lambda flat: cut.after(flat.unflatten(1, shape)))

    linear = last_linear(model, images)
    latent = Place("latent", _watched(model, linear, output=False), linear)
    return [*(behind(name, module) for name, module in stages(model).items()), latent]


def _watched(model: nn.Module, module: nn.Module, *, output: bool) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """The network, run so that it also gives what ``module`` puts out, or takes in, flattened to (N, d)."""

    def look(images: Tensor) -> tuple[Tensor, Tensor]:
        seen: list[Tensor] = []
        hook = module.register_forward_hook(lambda _, given, made: seen.append(made if output else given[0]))
        try:
            logits: Tensor = model(images)
        finally:
            hook.remove()
        return seen[-1].flatten(1), logits

    return look


def _look(place: Place, images: Tensor) -> tuple[Tensor, Tensor]:
    """``place.look`` batch by batch."""
    activations, logits = zip(*(place.look(batch) for batch in images.split(256)), strict=True)
    return torch.cat(activations), torch.cat(logits)


def _folds(labels: Tensor, generator: torch.Generator) -> Tensor:
    """The fold (N,) of each image, at random, every class spread evenly."""
    shuffled = torch.randperm(len(labels), generator=generator, device=labels.device)
    folds = torch.empty_like(labels)
    folds[shuffled[labels[shuffled].argsort(stable=True)]] = torch.arange(len(labels), device=labels.device) % FOLDS
    return folds


def _gain(before: Tensor, after: Tensor, wanted: Tensor | None, target: int) -> float:
    """What the mean probability of the wanted classes (N,), or of the likeliest but the target, has gained."""

    def reached(logits: Tensor) -> Tensor:
        probability = logits.softmax(1)
        if wanted is not None:
            return probability.gather(1, wanted[:, None])
        probability[:, target] = 0
        return probability.amax(1)

    return float((reached(after) - reached(before)).mean())


def _loss(before: Tensor, after: Tensor, labels: Tensor, target: int) -> float:
    """What the mean probability of the labels (N,) has lost, over all images or the target's, whichever is more."""
    lost = (before.softmax(1) - after.softmax(1)).gather(1, labels[:, None])[:, 0]
    of_target = lost[labels == target]
    return max(float(lost.mean()), float(of_target.mean()) if len(of_target) else 0.0)


def _unjudged(logits: Tensor) -> Prediction:
    """No repair, no suspicion."""
    nothing = torch.zeros(len(logits), device=logits.device)
    return Prediction(logits, nothing, nothing > 0)
