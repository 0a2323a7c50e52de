"""BNA: detect the backdoor by reverse-engineering its trigger, then align the activations that the trigger alters.

Li, Xiang, Miller, Kesidis, arXiv 2308.09850 (Neurocomputing 614, 2025). A class whose estimated trigger is
abnormally small is a target. On reference images that carry that trigger, each batch normalisation layer becomes
clip((z - mu) / sigma, lower, upper) gamma + beta with mu, sigma and the bounds learned, channel by channel, so that
its distribution is that of the same images without the trigger. No weight changes. Only inputs that the network
assigns to a target go through the aligned network, and those that it assigns elsewhere are flagged as triggered.

Derived here: a search over targets with all other classes pooled, which costs C triggers in place of the paper's
C (C - 1) pairs; the warp as a third trigger model, because the additive one finds WaNet's warps hardly smaller than
what clean networks yield.
"""

import copy
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.images import stratified_order
from bench.networks import batch_norms
from bench.plugin import Case, Context, Guard, Knowledge, Known, LabelledImages, Prediction, Runtime
from defenses._inversion import TRIGGER_MODELS, Triggers, invert

Divergence = Literal["tv", "js", "kl"]


class BNA(Runtime):
    name: ClassVar[str] = "bna"
    source: ClassVar[str] = "Li et al., Neurocomputing 614, 2025, arXiv 2308.09850"
    knowledge: ClassVar[Knowledge] = "clean"

    trigger_models: tuple[Literal["patch", "additive", "warp"], ...] = Field(
        ("patch", "additive", "warp"), min_length=1, description="what triggers are searched for"
    )
    search: Literal["targets", "pairs"] = Field(
        "targets", description="a trigger for each class from all others, or for each ordered pair of classes"
    )
    threshold: float = Field(7, gt=0, description="a target's 1/norm exceeds the median by this many MADs")
    images: int = Field(16, ge=1, description="reference images for each trigger in the search")
    steps: int = Field(60, ge=1, description="steps of the search")
    goal: float = Field(0.95, gt=0, le=1, description="share of the images that a trigger must lead to its target")
    refine_images: int = Field(100, ge=1, description="reference images for a detected target's trigger")
    refine_steps: int = Field(100, ge=1, description="steps for a detected target's trigger")
    divergence: Divergence = Field("tv", description="total variation, Jensen-Shannon or Kullback-Leibler")
    bin_width: float = Field(0.1, gt=0, description="of the histograms, in standard deviations of the channel")
    tau: float = Field(150, gt=0, description="sharpness of the histograms' bins")
    epochs: int = Field(10, ge=1, description="passes over the activations, for each layer")
    samples: int = Field(8192, ge=1, description="activations a channel that are drawn from the images' positions")
    batch: int = Field(1024, ge=1, description="activations a channel for each step")
    learning_rate: float = Field(0.01, gt=0)
    bound: float = Field(3, gt=0, description="where the clipping bounds start, in standard deviations")

    def unsupported(self, case: Case) -> str | None:
        return None if batch_norms(case.network) else "the network has no batch normalisation to align"

    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        model = copy.deepcopy(model).requires_grad_(False)
        reference = known.reference()
        found = self._detect(model, reference, context)
        aligned = {}
        for number, (target, (kind, sources)) in enumerate(found.items()):
            context.progress(0.5 + 0.5 * number / len(found))
            clean, triggers = self._estimate(model, reference, target, kind, sources, context)
            aligned[target] = self._align(model, clean, triggers.apply(clean[None])[0], context)
        return lambda images: respond(model, aligned, images)

    # --- detection

    def _detect(
        self, model: nn.Module, reference: LabelledImages, context: Context
    ) -> dict[int, tuple[str, list[int]]]:
        """Detected targets with the trigger model that showed each most clearly and their source classes."""
        with torch.no_grad():
            classes = model(reference.floats[:1]).shape[1]
        tasks = [
            (sources, target)
            for target in range(classes)
            for sources in self._sources(target, reference.labels.unique().tolist())
        ]
        images = [self._draw(reference, sources, context) for sources, _ in tasks]
        count = min(map(len, images))
        stacked = torch.stack([some[:count] for some in images])
        targets = torch.tensor([target for _, target in tasks], device=context.device)
        best: dict[int, tuple[float, str]] = {}
        sources_of: dict[int, list[int]] = {}
        anomalies: dict[str, list[float]] = {}
        notes: dict[str, Any] = {}
        for number, kind in enumerate(self.trigger_models):
            triggers = invert(
                model, TRIGGER_MODELS[kind], stacked, targets, context.generator, steps=self.steps, goal=self.goal
            )
            anomaly = torch.where(triggers.success >= self.goal, anomaly_index(1 / triggers.norms), 0)
            notes[kind] = {
                "norm": triggers.norms.tolist(),
                "success": triggers.success.tolist(),
                "anomaly": anomaly.tolist(),
            }
            anomalies[kind] = [
                max(value for value, (_, target) in zip(anomaly.tolist(), tasks, strict=True) if target == wanted)
                for wanted in range(classes)
            ]
            for value, (sources, target) in zip(anomaly.tolist(), tasks, strict=True):
                if value > self.threshold:
                    best[target] = max(best.get(target, (0.0, kind)), (value, kind))
                    sources_of[target] = sorted({*sources_of.get(target, []), *sources})
            context.progress(0.5 * (number + 1) / len(self.trigger_models))
        context.note("triggers", notes)
        context.note("detected", {str(target): kind for target, (_, kind) in sorted(best.items())})
        context.note(
            "class_statistic",
            {
                "name": "anomaly index of 1 / trigger norm",
                "values": [max(column) for column in zip(*anomalies.values(), strict=True)],
                "flagged": sorted(best),
            },
        )
        return {target: (kind, sources_of[target]) for target, (_, kind) in sorted(best.items())}

    def _sources(self, target: int, classes: list[int]) -> list[list[int]]:
        """The sets of source classes for which triggers to ``target`` are sought."""
        others = [label for label in classes if label != target]
        return [others] if self.search == "targets" else [[label] for label in others]

    def _draw(self, reference: LabelledImages, sources: list[int], context: Context) -> Tensor:
        return _of_classes(reference, sources, self.images, context.generator)

    def _estimate(
        self,
        model: nn.Module,
        reference: LabelledImages,
        target: int,
        kind: str,
        sources: list[int],
        context: Context,
    ) -> tuple[Tensor, Triggers]:
        """Clean images (N, C, H, W) of the source classes, and the trigger estimated anew from all of them."""
        clean = _of_classes(reference, sources, self.refine_images, context.generator)
        triggers = invert(
            model,
            TRIGGER_MODELS[kind],
            clean[None],
            torch.tensor([target], device=context.device),
            context.generator,
            steps=self.refine_steps,
            goal=self.goal,
        )
        context.note(
            f"trigger_{target}", {"model": kind, "norm": triggers.norms.item(), "success": triggers.success.item()}
        )
        return clean, triggers

    # --- alignment

    def _align(self, model: nn.Module, clean: Tensor, triggered: Tensor, context: Context) -> nn.Module:
        """A copy of ``model`` whose activations on ``triggered`` (N, C, H, W) are distributed as the model's on
        ``clean``, layer by layer: a layer is fitted when the triggered images reach it through the fitted ones."""
        aligned = copy.deepcopy(model)
        wanted: dict[str, Tensor] = {}
        hooks = [
            layer.register_forward_pre_hook(lambda _, inputs, name=name: wanted.update({name: inputs[0]}))
            for name, layer in batch_norms(model).items()
        ]
        try:
            with torch.no_grad():
                model(clean)
        finally:
            for hook in hooks:
                hook.remove()
        losses: dict[str, list[float]] = {}

        def fit(name: str, layer: AlignedNorm, inputs: Tensor) -> None:
            losses[name] = self._fit(layer, wanted[name], inputs, context.generator)

        fitting = []
        for name, layer in batch_norms(aligned).items():
            replacement = AlignedNorm(layer, self.bound)
            parent, _, child = name.rpartition(".")
            setattr(aligned.get_submodule(parent), child, replacement)
            fitting.append(
                replacement.register_forward_pre_hook(
                    lambda module, inputs, name=name: fit(name, module, inputs[0])
                )
            )
        with torch.no_grad():
            aligned(triggered)
        for hook in fitting:
            hook.remove()
        context.note("divergence", losses)
        return aligned.requires_grad_(False)

    def _fit(self, layer: "AlignedNorm", clean: Tensor, triggered: Tensor, generator: torch.Generator) -> list[float]:
        """Fit ``layer`` to its inputs (N, K, H, W) in the clean and in the triggered images.

        Returns the divergence, as a mean over channels, before and after."""
        target, values = (_per_channel(each, self.samples, generator) for each in (clean, triggered))
        target = layer.normalised(target)  # mu, sigma are still the network's own
        low = float((target.min() / self.bin_width).floor()) * self.bin_width
        bins = max(1, int(((target.max() - low) / self.bin_width).ceil()))
        wanted = soft_histogram(target, low, bins, self.bin_width, self.tau)

        def loss(some: Tensor) -> Tensor:
            actual = soft_histogram(layer.clipped(some), low, bins, self.bin_width, self.tau)
            return divergence(wanted, actual, self.divergence)

        before = loss(values).mean().item()
        with torch.enable_grad():
            parameters = [p.requires_grad_() for p in (layer.mu, layer.sigma, layer.lower, layer.upper)]
            optimizer = torch.optim.Adam(parameters, lr=self.learning_rate)
            for _ in range(self.epochs):
                order = torch.randperm(values.shape[1], generator=generator, device=values.device)
                for index in order.split(self.batch):
                    gradients = torch.autograd.grad(loss(values[:, index]).sum(), parameters)
                    for parameter, gradient in zip(parameters, gradients, strict=True):
                        parameter.grad = gradient
                    optimizer.step()
        return [before, loss(values).mean().item()]


class AlignedNorm(nn.Module):
    """A batch normalisation layer that clips what it normalises: clip((z - mu) / sigma, lower, upper) gamma + beta.

    mu, sigma, lower, upper: one each a channel; they start at the layer's running statistics and at -+``bound``.
    """

    def __init__(self, layer: nn.Module, bound: float) -> None:
        super().__init__()
        mean, variance, self.layer = layer.running_mean, layer.running_var, layer
        self.mu, self.sigma = nn.Parameter(mean.clone()), nn.Parameter((variance + layer.eps).sqrt())
        self.lower, self.upper = (nn.Parameter(torch.full_like(mean, edge)) for edge in (-bound, bound))

    def normalised(self, values: Tensor) -> Tensor:
        """Values (K, M) of the K channels in standard deviations."""
        return (values - self.mu[:, None]) / self.sigma[:, None]

    def clipped(self, values: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(self.normalised(values), self.lower[:, None]), self.upper[:, None])

    def forward(self, images: Tensor) -> Tensor:
        mu, sigma, lower, upper, gamma, beta = (
            each.view(-1, *[1] * (images.ndim - 2))
            for each in (self.mu, self.sigma, self.lower, self.upper, *_affine(self.layer))
        )
        out = torch.minimum(torch.maximum((images - mu) / sigma, lower), upper) * gamma + beta
        for name in ("drop", "act"):  # timm's layers hold the activation that follows
            out = getattr(self.layer, name, nn.Identity())(out)
        return out


def _affine(layer: nn.Module) -> tuple[Tensor, Tensor]:
    one = torch.ones_like(layer.running_mean)
    return (one, torch.zeros_like(one)) if layer.weight is None else (layer.weight, layer.bias)


# --- pure functions


@torch.no_grad()
def respond(model: nn.Module, aligned: dict[int, nn.Module], images: Tensor) -> Prediction:
    """The network's logits; where it assigns an input to a target, the logits of that target's aligned network.

    Flagged are inputs that the aligned network does not assign to the target; score: 1 - its probability of it.
    """
    logits = model(images)
    first = logits.argmax(1)
    score = torch.zeros(len(images), device=images.device)
    flagged = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    logits = logits.clone()
    for target, network in aligned.items():
        asked = (first == target).nonzero()[:, 0]
        if len(asked):
            answer = network(images[asked])
            logits[asked] = answer
            score[asked] = 1 - answer.softmax(1)[:, target]
            flagged[asked] = answer.argmax(1) != target
    return Prediction(logits, score, flagged)


def anomaly_index(statistics: Tensor) -> Tensor:
    """How many median absolute deviations each of ``statistics`` (T,) lies above their median."""
    deviation = statistics - statistics.median()
    return deviation / deviation.abs().median().clamp_min(1e-12)


def soft_histogram(values: Tensor, low: float, bins: int, width: float, tau: float) -> Tensor:
    """Histograms (K, bins + 2) of ``values`` (K, M): what lies below ``low``, in each bin, and above the last.

    A value counts in the bin between b and b + width by sig(tau (z - b)) - sig(tau (z - b - width)) (the paper's soft
    indicator), here with the edge nearest to z alone: for tau * width >= 15 the others are less than 1e-3 from 0 or 1.
    """
    edge = ((values.detach() - low) / width).round().clamp(0, bins)
    above = (tau * (values - (low + edge * width))).sigmoid()
    place = edge.long()
    counts = values.new_zeros(len(values), bins + 2)
    counts = counts.scatter_add(1, place, 1 - above).scatter_add(1, place + 1, above)
    return counts / values.shape[1]


def divergence(wanted: Tensor, actual: Tensor, kind: Divergence) -> Tensor:
    """Distance (K,) between distributions (K, B): total variation, Jensen-Shannon, or KL(wanted || actual)."""
    if kind == "tv":
        return (wanted - actual).abs().sum(1) / 2
    if kind == "kl":
        return _relative_entropy(wanted, actual)
    middle = (wanted + actual) / 2
    return (_relative_entropy(wanted, middle) + _relative_entropy(actual, middle)) / 2


def _relative_entropy(p: Tensor, q: Tensor) -> Tensor:
    return (p * ((p + 1e-6) / (q + 1e-6)).log()).sum(1)


def _per_channel(activations: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """``count`` values, at random positions, of each channel of (N, K, ...): (K, count)."""
    flat = activations.transpose(0, 1).flatten(1)
    order = torch.randperm(flat.shape[1], generator=generator, device=flat.device)
    return flat[:, order[:count]]


def _of_classes(reference: LabelledImages, sources: list[int], count: int, generator: torch.Generator) -> Tensor:
    """Up to ``count`` images (N, C, H, W) in [0, 1] of the classes ``sources``, evenly drawn."""
    members = torch.isin(reference.labels, torch.tensor(sources, device=reference.labels.device)).nonzero()[:, 0]
    order = stratified_order(reference.labels[members], generator)[:count]
    return reference.at(members[order]).floats
