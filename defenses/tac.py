"""TAC reconstruction: find the smallest shift of the latent representation that leads every image to one class.

Iwahana et al., 2025, arXiv 2511.08944. For every class k a quadratic program gives the shortest s_k with which all
reference images are classified as k. A backdoor leaves a short cut to its target p: the norm of s_p is a small
outlier. The network is then fine-tuned with s_p added to the latents, which unlearns what the trigger does.

Derived here, as the paper's threshold is not known: a one-sided outlier test on the logarithms of the norms; and,
since many triggers show more clearly where they enter than where they end, the norms are joined (geometric mean) with
each class's mean adversarial distance behind an early stage. Some classes lie far from all others in any network: how
far is measured in control networks that are trained on the reference images alone, and taken off.
The paper's plain rule: evidence=latent, quantile=1, logarithm=false, test=extreme.
"""

import copy
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench.errors import RequestError
from bench.images import batches
from bench.networks import Cut, Latent, last_linear, stages
from bench.plugin import Case, Context, ImageSpec, Known, LabelledImages, Repair
from bench.training import Recipe, autocast, train
from defenses._perturbation import Array, Outlier, distances, smallest_is_outlier, smallest_shifts


class TAC(Repair):
    name: ClassVar[str] = "tac"
    source: ClassVar[str] = "Iwahana et al., 2025, arXiv 2511.08944"

    poisoned_class: int | None = Field(None, ge=0, description="the class to repair; None: identify it")
    evidence: Literal["both", "latent", "stage"] = Field(
        "both", description="latent: norms of the shifts, as in the paper; stage: mean adversarial distances; both"
    )
    test: Literal["grubbs", "extreme"] = Field("grubbs", description="outlier test of the smallest class")
    logarithm: bool = Field(True, description="test logarithms; without, only one kind of evidence can be tested")
    significance: float = Field(
        0.1, gt=0, lt=1, description="highest p value at which a class is flagged: the share of benign models that are"
    )
    quantile: float = Field(
        0.98,
        gt=0,
        le=1,
        description="quantile over images of what a shift must overcome; 1: all images, as in the paper",
    )
    margin: float = Field(0.0, ge=0, description="epsilon: lead of the class's logit over the others")
    stage: int = Field(1, ge=0, description="the stage, by number, behind which adversarial distances are measured")
    distance_images: int = Field(200, ge=1, description="reference images for the adversarial distances")
    controls: int = Field(
        2, ge=0, description="networks trained on the reference images alone, to take off what is natural for a class"
    )
    control_weight: float = Field(
        0.5, ge=0, le=1, description="share of the controls' log distances to take off; few images exaggerate them"
    )
    control_epochs: int = Field(40, ge=1)
    objective: Literal["suppress", "restore"] = Field(
        "restore", description="of shifted images: away from the poisoned class, or back to their own"
    )
    beta: float = Field(4.0, ge=0, description="weight of the shifted images in the loss")
    stretch: float = Field(2.0, gt=0, description="length of the shift in fine-tuning, in lengths of the smallest one")
    recompute: bool = Field(
        False, description="solve for the shift's direction anew before every epoch; its length stays, for stability"
    )
    epochs: int = Field(30, ge=1)
    learning_rate: float = Field(0.01, gt=0)
    batch_size: int = Field(50, ge=2)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)

    def resolve(self, spec: ImageSpec) -> "TAC":
        if self.poisoned_class is not None and self.poisoned_class >= spec.classes:
            raise RequestError(
                f"tac: poisoned_class={self.poisoned_class}: expected less than {spec.classes}, the data set's classes"
            )
        if self.evidence == "both" and not self.logarithm:
            raise RequestError("tac: logarithm=false: expected evidence=latent or evidence=stage with it")
        return self

    def unsupported(self, case: Case) -> str | None:
        network = case.network.eval()
        try:
            last_linear(network, torch.zeros(1, *case.dataset.spec.shape))
        except LookupError as error:
            return str(error)
        return None

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        data = known.reference()
        latent = Latent(model, data.images[:1].float() / 255)
        shifts = self._shifts(latent, data)
        target = self._identify(model, shifts, data, context) if self.poisoned_class is None else self.poisoned_class
        if target is None:
            return model
        shift = shifts[target]
        if shift is None:
            context.log(f"class {target}: no shift leads all images to it; the model is left as it is")
            return model
        context.note("shift_norm", float(np.linalg.norm(shift)))
        self._fine_tune(latent, target, shift, data, context)
        return model

    def _shifts(self, latent: Latent, data: LabelledImages) -> list[Array | None]:
        """Every class's shift (d,); None where there is none."""
        with torch.no_grad():
            features = torch.cat([latent.features(images) for images in data.floats.split(256)])
        weight, bias = latent.linear.weight, latent.linear.bias
        bias = torch.zeros(len(weight)) if bias is None else bias
        numbers = (values.detach().double().cpu().numpy() for values in (features, weight, bias))
        return smallest_shifts(*numbers, quantile=self.quantile, margin=self.margin)

    # --- which class? ------------------------------------------------------------------------------------

    def _identify(
        self, model: nn.Module, shifts: list[Array | None], data: LabelledImages, context: Context
    ) -> int | None:
        """The class whose statistic is a small outlier, or None; everything computed goes into the record."""
        norms = np.array([np.inf if shift is None else np.linalg.norm(shift) for shift in shifts])
        context.note("norms", _plain(norms))
        rows = []
        if self.evidence != "stage":
            rows.append(norms)
            context.note("infeasible", [label for label, norm in enumerate(norms) if np.isinf(norm)])
        if self.evidence != "latent":
            rows.append(self._stage_distances(model, len(shifts), data, context))
            context.note("stage_distances", _plain(rows[-1]))
            if self.controls:
                natural = self._natural_distances(model, len(shifts), data, context)
                context.note("natural_distances", _plain(natural))
                rows[-1] = rows[-1] / natural**self.control_weight
        with np.errstate(divide="ignore"):
            statistic = np.log(rows).mean(0) if self.logarithm else rows[0]
        outlier = smallest_is_outlier(statistic, self.test)
        flagged = [outlier.index] if outlier.p_value <= self.significance else []
        self._note(outlier, flagged, context)
        return flagged[0] if flagged else None

    def _stage_distances(self, model: nn.Module, classes: int, data: LabelledImages, context: Context) -> Array:
        """For every class (C,) the geometric mean over images of other classes of their distance from it."""
        order = torch.randperm(len(data), generator=context.generator, device=context.device)
        some = data.at(order[: self.distance_images])
        places = list(stages(model).values())
        behind = places[min(self.stage, len(places) - 1)] if places else None  # of a bare layer: the images themselves
        cut = Cut(model, behind, some.floats[:1]) if behind else None

        def head(activations: Tensor) -> Tensor:
            if activations.ndim == 4:
                activations = activations.contiguous(memory_format=torch.channels_last)
            with autocast(context.device):
                logits: Tensor = cut.after(activations) if cut else model(activations)
            return logits

        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        for parameter in trainable:
            parameter.requires_grad_(False)
        with torch.no_grad():
            activations = cut.before(some.floats) if cut else some.floats
        found = distances(head, activations, classes)
        for parameter in trainable:
            parameter.requires_grad_(True)
        # an image that has the class, or is taken for it already, tells nothing of the way to it
        counts = (some.labels != torch.arange(classes, device=context.device)[:, None]) & (found > 0)
        logs = torch.where(counts, found.log(), 0).sum(1) / counts.sum(1)
        means: Array = logs.exp().double().cpu().numpy()
        return means

    def _natural_distances(self, model: nn.Module, classes: int, data: LabelledImages, context: Context) -> Array:
        """The stage distances (C,) in networks of the same architecture that never saw a poisoned image."""
        recipe = Recipe(
            epochs=self.control_epochs, batch_size=self.batch_size, learning_rate=0.05, schedule="one-cycle"
        )
        logs = []
        for _ in range(self.controls):
            control = reinitialised(model, context.generator)
            train(control, data, recipe, context.generator, crop=max(1, data.images.shape[-1] // 14))
            logs.append(np.log(self._stage_distances(control, classes, data, context)))
        means: Array = np.exp(np.mean(logs, 0))
        return means

    def _note(self, outlier: Outlier, flagged: list[int], context: Context) -> None:
        context.note("z", _plain(outlier.z))
        context.note("p_value", outlier.p_value)
        context.note("flagged", flagged)
        kinds = {"both": "norm and distance", "latent": "norm", "stage": "distance"}[self.evidence]
        name = f"z of log {kinds}" if self.logarithm else f"z of {kinds}"
        context.note("class_statistic", {"name": name, "values": _plain(outlier.z), "flagged": flagged})

    # --- unlearning --------------------------------------------------------------------------------------

    def _fine_tune(self, latent: Latent, target: int, first: Array, data: LabelledImages, context: Context) -> None:
        """Train with the loss of clean images plus ``beta`` times that of the same images, shifted."""
        model = latent.model
        optimizer = torch.optim.SGD(
            model.parameters(), lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay
        )
        shift: Array | None = first
        length = self.stretch * np.linalg.norm(first)
        for epoch in range(self.epochs):
            if self.recompute and epoch:
                shift = self._shifts(latent, data)[target]
            if shift is None or not shift.any():
                break  # no direction leads to the class any more
            unit = shift / np.linalg.norm(shift)
            added = torch.as_tensor(length * unit, dtype=torch.float32, device=context.device)
            model.train()
            for index in batches(len(data), self.batch_size, context.generator, context.device):
                images, labels = data.at(index).floats, data.labels[index]
                with autocast(context.device):
                    features = latent.features(images.contiguous(memory_format=torch.channels_last))
                    clean, shifted = latent.linear(features), latent.linear(features + added)
                penalty = shifted_loss(shifted.float(), labels, target, self.objective)
                loss = F.cross_entropy(clean.float(), labels) + self.beta * penalty
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
            model.eval()
            context.progress((epoch + 1) / self.epochs)


def reinitialised(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """A copy of ``model`` in which every layer that knows how has drawn its parameters anew."""
    fresh = copy.deepcopy(model)
    seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in fresh.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
    return fresh.requires_grad_(True)


def shifted_loss(logits: Tensor, labels: Tensor, target: int, objective: Literal["suppress", "restore"]) -> Tensor:
    """The loss of shifted images: logits (N, C), labels (N,).

    suppress: -log(1 - softmax_target), over the images of other classes. restore: cross-entropy with their own labels.
    """
    if objective == "restore":
        return F.cross_entropy(logits, labels)
    away = logits[labels != target]
    others = torch.arange(logits.shape[1], device=logits.device) != target
    surprise = away.logsumexp(1) - away[:, others].logsumexp(1)
    return surprise.sum() / max(1, len(away))


def _plain(values: Array) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
