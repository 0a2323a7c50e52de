"""TAC reconstruction: find the smallest shift of the latent representation that leads every image to one class.

Iwahana et al., 2025, arXiv 2511.08944. For every class a quadratic program gives the shortest shift with which all
reference images are given that class; that of a target is abnormally short. The network is then fine-tuned with the
shift added to its latents, which unlearns the trigger. Departures: Grubbs' test on logarithms; norms are joined with
adversarial distances behind an early stage, relative to control networks (decide=staged: only where neither the norms
decide nor the classes' priors, of which a clean-label attack lowers one); several targets, and all-to-all.
``tac[paper]`` is the paper's rule, as far as summaries tell it. Controls: poisoned_class=K, a class that may be wrong,
and direction=random: what they repair is not the work of the shift.
"""

import copy
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._classifier import lacks_plain_stages
from bench.defenses._outliers import too_few_classes
from bench.defenses._quadratic_program import Array, Solver, smallest_shifts
from bench.defenses._shift_tuning import Backdoor, note_shifts, note_trained, randomly_directed, unsupported
from bench.defenses._tac_identification import Identifying
from bench.plugin import Case, Context, ImageSpec, Known, LabelledImages, Repair, RequestError, later
from bench.toolbox.networks import Latent
from bench.toolbox.training import logits_of

Seen = tuple[Array, Array, Array]


class TAC(Identifying, Repair):
    name: ClassVar[str] = "tac"
    version: ClassVar[int] = 3
    source: ClassVar[str] = "Iwahana et al., 2025, arXiv 2511.08944"
    identifies: ClassVar[bool] = True

    poisoned_class: int | None = Field(None, ge=0, description="the class to repair; None: identify it")
    quantile: float = Field(
        0.98, gt=0, le=1, description="quantile over images of what a shift must overcome; 1, the paper's: all images"
    )
    first_quantile: float = later(
        1.0, gt=0, le=1, description="decide=staged: the same for the norms that the first stage judges"
    )
    margin: float = Field(0.0, ge=0, description="epsilon: lead of the class's logit over the others")
    solver: Solver = later(
        "nnls",
        description="of the quadratic programs: exact least squares in compressed form, or cvxpy, slower, as a check",
    )
    direction: Literal["reconstructed", "random"] = later(
        "reconstructed",
        description="of the shift in fine-tuning; random: an ablation, a direction drawn anew at the same length",
    )
    beta_rule: Literal["fixed", "raise"] = Field(
        "fixed", description="raise: from a quarter of beta up to four times, until no flagged class is an outlier"
    )
    accuracy_loss: float = Field(
        0.05, ge=0, le=1, description="beta_rule=raise: loss of accuracy on held-out reference images to accept"
    )
    recompute: bool = Field(
        False, description="solve for the shift's direction anew before every epoch; its length stays"
    )

    def resolve(self, spec: ImageSpec) -> Self:
        if self.poisoned_class is not None and self.poisoned_class >= spec.classes:
            raise RequestError(
                f"tac: poisoned_class={self.poisoned_class}: expected less than {spec.classes}, the data set's classes"
            )
        if self.direction == "random" and self.recompute:
            raise RequestError("tac: direction=random: expected recompute=false with it")
        self.check_evidence()
        return super().resolve(spec)

    def unsupported(self, case: Case) -> str | None:
        if (reason := unsupported(case) or lacks_plain_stages(case)) is not None:
            return reason
        if self.poisoned_class is not None or self.flag == "always":
            return None
        return too_few_classes("the outlier test", case.dataset.spec.classes, self.can_flag)

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        data = known.reference()
        latent = Latent(model, data.example)
        note_trained(context, "controls", 0)
        note_trained(context, "tuning", 0)
        seen = _seen(latent, data)
        of_all = self._solved(seen)
        if self.poisoned_class is not None:
            backdoors = [Backdoor.all_to_one(self.poisoned_class, len(of_all))]
        else:
            staged = self.decide == "staged"
            first = self._solved(seen, self.first_quantile) if staged else of_all
            backdoors = self.identify(model, _norms(of_all), _norms(first), _logits(seen), data, context)
        if not backdoors:
            return model
        shifts = self._shifts(latent, data, backdoors, context, of_all)
        if self.direction == "random":
            shifts = randomly_directed(shifts, context.generator)
        context.note("shift_norm", float(torch.linalg.vector_norm(shifts, dim=2)[0].max()))
        note_shifts(backdoors, shifts, context)
        beta = self.beta
        if self.beta_rule == "raise":
            beta = self._chosen_beta(model, backdoors, shifts, data, context)
        recompute = self._recomputed(latent, data, backdoors, context)
        self.unlearn(latent, backdoors, shifts, data, beta, context, recompute=recompute)
        return model

    # --- the shifts --------------------------------------------------------------------------------------

    def _smallest_shifts(self, latent: Latent, data: LabelledImages) -> list[Array | None]:
        """Every class's smallest shift (d,); None where no shift gives all images the class."""
        return self._solved(_seen(latent, data))

    def _solved(self, seen: Seen, quantile: float | None = None) -> list[Array | None]:
        """The same, by what the last layer sees and is; ``quantile``: the field of that name if None."""
        quantile = self.quantile if quantile is None else quantile
        return smallest_shifts(*seen, quantile=quantile, margin=self.margin, solver=self.solver)

    def _shifts(
        self,
        latent: Latent,
        data: LabelledImages,
        backdoors: list[Backdoor],
        context: Context,
        of_all: list[Array | None] | None = None,
    ) -> Tensor:
        """What is added to the latents of each class's images, (B, C, d); zero where no shift gives the target.

        of_all: every class's smallest shift, where it is known.
        """
        of_all = self._smallest_shifts(latent, data) if of_all is None else of_all
        of_label: dict[int, list[Array | None]] = {}  # from the images of one class, for an all-to-all backdoor
        if not all(backdoor.has_one_target for backdoor in backdoors):
            labels = set(data.labels.tolist())
            of_label = {label: self._smallest_shifts(latent, data.at(data.labels == label)) for label in labels}
        rows = torch.zeros(len(backdoors), len(backdoors[0].targets), latent.linear.in_features)
        for number, backdoor in enumerate(backdoors):
            for label, target in enumerate(backdoor.targets):
                shifts = of_all if backdoor.has_one_target else of_label.get(label)
                shift = None if shifts is None else shifts[target]
                if shift is not None:
                    rows[number, label] = torch.as_tensor(shift)
                elif label == 0 or not backdoor.has_one_target:
                    context.log(f"no shift gives all images the class {target}; it is left as it is")
        return rows.to(context.device)

    # --- unlearning --------------------------------------------------------------------------------------

    def _recomputed(
        self, latent: Latent, data: LabelledImages, backdoors: list[Backdoor], context: Context
    ) -> Callable[[], Tensor] | None:
        """What computes the shifts anew while the network is tuned, if that is asked for."""
        return (lambda: self._shifts(latent, data, backdoors, context)) if self.recompute else None

    def _chosen_beta(
        self, model: nn.Module, backdoors: list[Backdoor], shifts: Tensor, data: LabelledImages, context: Context
    ) -> float:
        """The smallest of five rising betas with which the norm of no flagged class is an outlier any more.

        A fifth of the reference images is held out of the trials, to see that accuracy stays within ``accuracy_loss``.
        Where it does not, the last beta within that bound. Nothing but reference images decides.
        """
        held_out = torch.arange(len(data), device=context.device) % 5 == 0
        test, train = data.at(held_out), data.at(~held_out)
        before = _correct(model, test)
        targets = {target for backdoor in backdoors for target in backdoor.targets}
        trials: list[dict[str, Any]] = []
        chosen = self.beta / 4
        for beta in (self.beta * 2.0**power for power in range(-2, 3)):
            candidate = copy.deepcopy(model)
            latent = Latent(candidate, data.example)
            recompute = self._recomputed(latent, train, backdoors, context)
            self.unlearn(latent, backdoors, shifts, train, beta, context, recompute=recompute)
            correct = _correct(candidate, test)
            with np.errstate(divide="ignore"):
                outliers, _ = self._small_outliers(np.log(_norms(self._smallest_shifts(latent, data))))
            remaining = sorted(set(outliers) & targets)
            trials.append({"beta": beta, "accuracy_loss": (before - correct) / len(test), "outliers": remaining})
            if correct < before - self.accuracy_loss * len(test):
                break  # a larger weight costs more still
            chosen = beta
            if not remaining:
                break
        context.note("betas", trials)
        return chosen


def _seen(latent: Latent, data: LabelledImages) -> Seen:
    """The latents (N, d) of the images, and weight (C, d) and bias (C,) of the layer that sees them."""
    with torch.no_grad():
        features = torch.cat([latent.features(images) for images in data.floats.split(256)])
    weight, bias = latent.linear.weight, latent.linear.bias
    bias = torch.zeros(len(weight)) if bias is None else bias
    arrays = [values.detach().double().cpu().numpy() for values in (features, weight, bias)]
    return arrays[0], arrays[1], arrays[2]


def _logits(seen: Seen) -> Array:
    """The logits (N, C) of the images."""
    features, weight, bias = seen
    logits: Array = features @ weight.T + bias
    return logits


def _norms(shifts: list[Array | None]) -> Array:
    """The lengths (C,) of shifts; infinite where there is none."""
    return np.array([np.inf if shift is None else np.linalg.norm(shift) for shift in shifts])


def _correct(model: nn.Module, data: LabelledImages) -> int:
    """How many images the network classifies correctly."""
    return int((logits_of(model, data.floats).argmax(1) == data.labels).sum())
