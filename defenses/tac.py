"""TAC reconstruction: find the smallest shift of the latent representation that leads every image to one class.

Iwahana et al., 2025, arXiv 2511.08944. For every class k a quadratic program gives the shortest s_k with which all
reference images are classified as k. A backdoor leaves a short cut to its target p: the norm of s_p is a small
outlier. The network is then fine-tuned with s_p added to the latents, which unlearns what the trigger does.

Derived here, as the paper's threshold is not known: a one-sided outlier test on the logarithms of the norms; and,
since many triggers show more clearly where they enter than where they end, the norms are joined (geometric mean) with
each class's mean adversarial distance behind an early stage. Some classes lie far from all others in any network: how
far is measured in control networks that are trained on the reference images alone, and taken off.
The paper's plain rule: evidence=latent, quantile=1, logarithm=false, test=extreme, targets=1.

Beyond the paper: several poisoned classes, by a test that finds several outliers; and all-to-all, where distances
between pairs tell and every class gets a shift of its own (BadNets, one victim: ASR 0.96 to 0.03, DER 0.956; no false
alarm on five benign and seven all-to-one victims). beta_rule=raise stops too early to be the default: a class ceases to
be an outlier of the norms before the trigger ceases to work (Blend: DER 0.65 with beta 1, 0.90 with 4).
"""

import copy
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._perturbation import Array, Outlier, small_outliers, smallest_shifts
from bench.defenses._shift_tuning import Backdoor, ShiftTuning, note_shifts, unsupported
from bench.defenses._tac_evidence import Distances, all_to_all, control, pair_residuals, stage_distances
from bench.plugin import Case, Context, ImageSpec, Known, LabelledImages, Repair, RequestError
from bench.toolbox.networks import Latent
from bench.toolbox.training import logits_of


class TAC(ShiftTuning, Repair):
    name: ClassVar[str] = "tac"
    version: ClassVar[int] = 2
    source: ClassVar[str] = "Iwahana et al., 2025, arXiv 2511.08944"

    poisoned_class: int | None = Field(None, ge=0, description="the class to repair; None: identify it")
    evidence: Literal["both", "latent", "stage"] = Field(
        "both", description="latent: norms of the shifts, as in the paper; stage: mean adversarial distances; both"
    )
    targets: int = Field(3, ge=1, description="poisoned classes that are looked for, at most")
    pairs: bool = Field(
        True, description="look for all-to-all too, a shift for every class (needs evidence=stage or both)"
    )
    test: Literal["grubbs", "extreme"] = Field("grubbs", description="outlier test of the smallest class")
    logarithm: bool = Field(True, description="test logarithms; without, only one kind of evidence can be tested")
    significance: float = Field(
        0.1, gt=0, lt=1, description="highest p value at which a class is flagged: the share of benign models that are"
    )
    further: float = Field(
        0.01, gt=0, lt=1, description="the same for each class beyond the first; a class too many costs accuracy"
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
    control_epochs: int = Field(40, ge=1, description="of training each control network")
    beta_rule: Literal["fixed", "raise"] = Field(
        "fixed", description="raise: from a quarter of beta up to four times, until no class found is an outlier"
    )
    accuracy_loss: float = Field(
        0.05, ge=0, le=1, description="with beta_rule=raise: fall of accuracy on held-out reference images to accept"
    )
    recompute: bool = Field(
        False, description="solve for the shift's direction anew before every epoch; its length stays, for stability"
    )

    def resolve(self, spec: ImageSpec) -> "TAC":
        if self.poisoned_class is not None and self.poisoned_class >= spec.classes:
            raise RequestError(
                f"tac: poisoned_class={self.poisoned_class}: expected less than {spec.classes}, the data set's classes"
            )
        if self.evidence == "both" and not self.logarithm:
            raise RequestError("tac: logarithm=false: expected evidence=latent or evidence=stage with it")
        return self

    def unsupported(self, case: Case) -> str | None:
        return unsupported(case)

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        data = known.reference()
        latent = Latent(model, data.example)
        classes = len(latent.linear.weight)
        if self.poisoned_class is not None:
            found = [Backdoor((self.poisoned_class,) * classes)]
        else:
            found = self._identify(model, self._shifts(latent, data), data, context)
        if not found:
            return model
        shifts = self._added(latent, data, found, context)
        norms = torch.linalg.vector_norm(shifts, dim=2)
        context.note("shift_norm", float(norms[0].max()))
        note_shifts(found, shifts, context)
        beta = self.beta
        if self.beta_rule == "raise":
            beta = self._chosen_beta(model, found, shifts, data, context)
        self._tune(latent, found, shifts, data, beta, context)
        return model

    def _shifts(self, latent: Latent, data: LabelledImages) -> list[Array | None]:
        """Every class's shift (d,); None where there is none."""
        with torch.no_grad():
            features = torch.cat([latent.features(images) for images in data.floats.split(256)])
        weight, bias = latent.linear.weight, latent.linear.bias
        bias = torch.zeros(len(weight)) if bias is None else bias
        numbers = (values.detach().double().cpu().numpy() for values in (features, weight, bias))
        return smallest_shifts(*numbers, quantile=self.quantile, margin=self.margin)

    def _added(self, latent: Latent, data: LabelledImages, found: list[Backdoor], context: Context) -> Tensor:
        """What is to be added to the latents of each class's images: (B, C, d); zero where no shift leads there."""
        numbers, own = self._shifts(latent, data), {}
        for one in found:
            if not one.universal:
                own = {
                    label: self._shifts(latent, data.at(data.labels == label)) for label in set(data.labels.tolist())
                }
        rows = torch.zeros(len(found), len(found[0].targets), latent.linear.in_features)
        for place, one in enumerate(found):
            for label, target in enumerate(one.targets):
                shift = numbers[target] if one.universal else own.get(label, {target: None})[target]
                if shift is not None:
                    rows[place, label] = torch.as_tensor(shift)
                elif label == 0 or not one.universal:
                    context.log(f"class {target}: no shift leads all images to it; it is left as it is")
        return rows.to(context.device)

    # --- which class? ------------------------------------------------------------------------------------

    def _identify(
        self, model: nn.Module, shifts: list[Array | None], data: LabelledImages, context: Context
    ) -> list[Backdoor]:
        """The backdoors whose classes' statistics are small outliers; everything computed goes into the record."""
        norms = np.array([np.inf if shift is None else np.linalg.norm(shift) for shift in shifts])
        context.note("norms", _plain(norms))
        rows = []
        if self.evidence != "stage":
            rows.append(norms)
            context.note("infeasible", [label for label, norm in enumerate(norms) if np.isinf(norm)])
        led: dict[int, int] = {}
        if self.evidence != "latent":
            distances = self._distances(model, len(shifts), data, context)
            rows.append(distances.of_classes())
            context.note("stage_distances", _plain(rows[-1]))
            if self.pairs:
                residuals = pair_residuals(distances.of_pairs())
                led = all_to_all(residuals)
                context.note("pair_residuals", [_plain(row) for row in residuals])
            if self.controls:
                natural = self._natural_distances(model, len(shifts), data, context)
                context.note("natural_distances", _plain(natural))
                rows[-1] = rows[-1] / natural**self.control_weight
        with np.errstate(divide="ignore"):
            statistic = np.log(rows).mean(0) if self.logarithm else rows[0]
        flagged, outlier = small_outliers(statistic, self.significance, self.targets, self.test, further=self.further)
        if led:
            flagged = sorted(set(led.values()))
            context.note("led_to", [led[label] for label in range(len(shifts))])
        self._note(outlier, flagged, context)
        if led:
            return [Backdoor(tuple(led[label] for label in range(len(shifts))))]
        return [Backdoor((label,) * len(shifts)) for label in flagged]

    def _distances(self, model: nn.Module, classes: int, data: LabelledImages, context: Context) -> Distances:
        return stage_distances(model, self.stage, self.distance_images, classes, data, context)

    def _natural_distances(self, model: nn.Module, classes: int, data: LabelledImages, context: Context) -> Array:
        """The stage distances (C,) in networks of the same architecture that never saw a poisoned image."""
        logs = []
        for _ in range(self.controls):
            clean = control(model, self.control_epochs, self.batch_size, data, context)
            logs.append(np.log(self._distances(clean, classes, data, context).of_classes()))
        means: Array = np.exp(np.mean(logs, 0))
        return means

    def _note(self, outlier: Outlier, flagged: list[int], context: Context) -> None:
        context.note("z", _plain(outlier.z))
        context.note("p_value", outlier.p_value)
        context.note("flagged", flagged)
        kinds = {"both": "norm and distance", "latent": "norm", "stage": "distance"}[self.evidence]
        name = f"z of log {kinds}" if self.logarithm else f"z of {kinds}"
        context.note_class_statistic(name, outlier.z.tolist(), flagged)

    # --- unlearning --------------------------------------------------------------------------------------

    def _tune(
        self,
        latent: Latent,
        found: list[Backdoor],
        shifts: Tensor,
        data: LabelledImages,
        beta: float,
        context: Context,
    ) -> None:
        anew = (lambda: self._added(latent, data, found, context)) if self.recompute else None
        self.unlearn(latent, found, shifts, data, beta, context, anew=anew)

    def _chosen_beta(
        self, model: nn.Module, found: list[Backdoor], shifts: Tensor, data: LabelledImages, context: Context
    ) -> float:
        """The least of five rising betas with which no class found is an outlier of the norms any more.

        A fifth of the reference images is kept out of the trials, to see that accuracy stays within ``accuracy_loss``;
        where it does not, the last beta within that bound. Nothing but reference images decides.
        """
        kept = torch.arange(len(data), device=context.device) % 5 == 0
        held, rest = data.at(kept), data.at(~kept)
        before = _correct(model, held)
        allowed = before - self.accuracy_loss * len(held)
        tried: list[dict[str, Any]] = []
        chosen = self.beta / 4
        for beta in (self.beta * 2.0**power for power in range(-2, 3)):
            candidate = copy.deepcopy(model)
            latent = Latent(candidate, data.example)
            self._tune(latent, found, shifts, rest, beta, context)
            correct = _correct(candidate, held)
            norms = np.array([np.inf if s is None else np.linalg.norm(s) for s in self._shifts(latent, data)])
            with np.errstate(divide="ignore"):
                left, _ = small_outliers(
                    np.log(norms), self.significance, self.targets, self.test, further=self.further
                )
            open_still = sorted(set(left) & {target for one in found for target in one.targets})
            tried.append({"beta": beta, "accuracy_loss": (before - correct) / len(held), "outliers": open_still})
            if correct < allowed:
                break  # a larger weight costs more still
            chosen = beta
            if not open_still:
                break
        context.note("betas", tried)
        return chosen


def _correct(model: nn.Module, data: LabelledImages) -> int:
    """How many images the network classifies right."""
    return int((logits_of(model, data.floats).argmax(1) == data.labels).sum())


def _plain(values: Array) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
