"""Alignment of activation distributions: batch normalisation that clips, fitted to reference images.

Li, Xiang, Miller, Kesidis (BNA), arXiv 2308.09850. For every channel mu, sigma and the clipping bounds minimise the
divergence between soft histograms of its clean activations and of its transformed triggered ones.
"""

import copy
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from bench.defenses._losses import jensen_shannon_of_histograms, kullback_leibler_of_histograms
from bench.toolbox.networks import batch_norms, channels_last, watching
from bench.toolbox.precision import expect_finite
from bench.toolbox.training import autocast

Divergence = Literal["tv", "js", "kl"]
Adjusted = Literal["both", "bounds", "moments"]
NO_BOUND = 1e6  # standard deviations: nothing is clipped


class AlignedNorm(nn.Module):
    """A batch normalisation layer that clips what it normalises: clip((z - mu) / sigma, lower, upper) gamma + beta.

    The learned parameters (K,), one value a channel, are in standard deviations of the channel, so that one step size
    suits all: mu = mean + shift * std and sigma = std * exp(stretch), from the layer's running mean and std. At first
    shift and stretch are 0. lower and upper start at -bound and +bound; ``Alignment`` narrows them to the channel's
    clean range, because beyond it the histograms are flat and give no gradient.
    """

    def __init__(self, layer: nn.Module, bound: float) -> None:
        super().__init__()
        self.norm = cast(nn.BatchNorm2d, layer)
        zero = torch.zeros_like(self.mean)
        self.shift, self.stretch = nn.Parameter(zero.clone()), nn.Parameter(zero.clone())
        self.lower, self.upper = nn.Parameter(zero - bound), nn.Parameter(zero + bound)
        self.local = False  # whether gradients end here
        self.clipped = torch.empty(0)  # the last pass's clipped activations (N, K, ...), for the divergence

    def learned(self, adjusted: Adjusted) -> tuple[nn.Parameter, ...]:
        moments, bounds = (self.shift, self.stretch), (self.lower, self.upper)
        return {"both": moments + bounds, "bounds": bounds, "moments": moments}[adjusted]

    @property
    def mean(self) -> Tensor:
        return cast(Tensor, self.norm.running_mean)

    @property
    def std(self) -> Tensor:
        return (cast(Tensor, self.norm.running_var) + self.norm.eps).sqrt()

    def normalised(self, activations: Tensor) -> Tensor:
        """Activations (N, K, ...) in standard deviations of their channel, and clipped."""
        shape = (-1, *[1] * (activations.ndim - 2))
        mu, sigma = self.mean + self.shift * self.std, self.std * self.stretch.exp()
        mu, sigma, lower, upper = (each.view(shape) for each in (mu, sigma, self.lower, self.upper))
        return torch.minimum(torch.maximum((activations - mu) / sigma, lower), upper)

    def forward(self, activations: Tensor) -> Tensor:
        out = self.normalised(activations)
        if torch.is_grad_enabled():
            self.clipped = out
        if self.local:
            out = out.detach()
        if self.norm.affine:
            shape = (-1, *[1] * (activations.ndim - 2))
            out = out * self.norm.weight.view(shape) + self.norm.bias.view(shape)
        for name in ("drop", "act"):  # timm's layers include the activation function that follows
            part = getattr(self.norm, name, None)
            out = out if part is None else part(out)
        return out


@dataclass(frozen=True)
class Alignment:
    """The settings of an alignment. Widths and bounds are in standard deviations of a channel."""

    divergence: Divergence
    joint: bool  # every layer's divergence moves the layers before it too; else only its own parameters
    bin_width: float
    tau: float
    bound: float
    learning_rate: float
    steps: int
    batch: int  # images a step
    samples: int  # activations of a channel that are drawn from a batch
    adjusts: Adjusted = "both"  # only the clipping bounds, or only mu and sigma, without clipping

    def align(self, model: nn.Module, clean: Tensor, triggered: Tensor, generator: torch.Generator) -> "Aligned":
        """A copy of ``model`` in which activations of ``triggered`` are distributed as those of ``clean`` are in it.

        Both are images (N, C, H, W) in [0, 1]. Raises ValueError, with the layer's name, where activations, divergences
        or what is learned are not finite.
        """
        network, layers = with_aligned_norms(model, NO_BOUND if self.adjusts == "moments" else self.bound)
        targets = self._clean_histograms(model, layers, clean)
        parameters = [parameter for layer in layers.values() for parameter in layer.learned(self.adjusts)]
        optimizer = torch.optim.Adam(parameters, lr=self.learning_rate)
        for layer in layers.values():
            layer.local = not self.joint
        losses = []
        for _ in range(self.steps):
            index = torch.randperm(len(triggered), generator=generator, device=clean.device)[: self.batch]
            with torch.enable_grad():
                with autocast(clean.device):
                    network(channels_last(triggered[index]))
                loss = torch.stack(
                    [
                        self._divergence(layer, low, target, generator)
                        for layer, (low, target) in zip(layers.values(), targets, strict=True)
                    ]
                ).sum()
                gradients = torch.autograd.grad(loss, parameters)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimizer.step()
            losses.append(loss.detach() / len(layers))
        divergences = torch.stack(losses) if losses else torch.empty(0)
        expect_finite(network, whose="the aligned network's ", when=f" after {self.steps} steps")
        expect_finite({"the divergences": divergences}, when=f" in {self.steps} steps")
        for layer in layers.values():
            layer.local, layer.clipped = False, torch.empty(0)
        return Aligned(network.requires_grad_(False), divergences.tolist())

    @torch.no_grad()
    def _clean_histograms(
        self, model: nn.Module, layers: dict[str, AlignedNorm], clean: Tensor
    ) -> list[tuple[float, Tensor]]:
        """For every layer the lowest edge, and the histograms (K, B) of its normalised clean activations."""
        norms = batch_norms(model)
        inputs: dict[nn.Module, Tensor] = {}
        with watching(norms.values(), inputs.__setitem__, inputs=True):
            model(channels_last(clean))
        expect_finite({f"what enters {name}": inputs[norms[name]] for name in layers})
        histograms = []
        for name, layer in layers.items():
            values = (per_channel(inputs[norms[name]]) - layer.mean[:, None]) / layer.std[:, None]
            if self.adjusts != "moments":
                layer.lower.clamp_(min=values.amin(1))
                layer.upper.clamp_(max=values.amax(1))
            low = float((values.min() / self.bin_width).floor()) * self.bin_width
            bins = max(1, int(((values.max() - low) / self.bin_width).ceil()))
            histograms.append((low, soft_histogram(values, low, bins, self.bin_width, self.tau)))
        return histograms

    def _divergence(self, layer: AlignedNorm, low: float, target: Tensor, generator: torch.Generator) -> Tensor:
        """The mean over channels of the divergence of the layer's activations from the histograms ``target`` (K, B)."""
        values = per_channel(layer.clipped.float())
        if values.shape[1] > self.samples:
            drawn = torch.randint(values.shape[1], (self.samples,), generator=generator, device=values.device)
            values = values[:, drawn]
        actual = soft_histogram(values, low, target.shape[1] - 2, self.bin_width, self.tau)
        return divergence(target, actual, self.divergence).mean()


@dataclass(frozen=True)
class Aligned:
    """An aligned network, and each step's divergence as a mean over layers and channels; none without a step."""

    network: nn.Module
    divergences: list[float]


def with_aligned_norms(model: nn.Module, bound: float) -> tuple[nn.Module, dict[str, AlignedNorm]]:
    """A copy of ``model`` with an AlignedNorm in place of each batch normalisation, and these by name."""
    network = copy.deepcopy(model).requires_grad_(False)
    layers = {name: AlignedNorm(layer, bound) for name, layer in batch_norms(network).items()}
    for name, layer in layers.items():
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, layer)
    return network.eval(), layers


def soft_histogram(values: Tensor, low: float, bins: int, width: float, tau: float) -> Tensor:
    """Histograms (K, bins + 2) of ``values`` (K, M): the shares below ``low``, in each bin, and above the last bin.

    The paper's soft indicator of a bin [b, b + width] is sig(tau (z - b)) - sig(tau (z - b - width)). Here only the
    edge nearest to z is soft. At every other edge the sigmoid is within sig(-tau width / 2) of 0 or 1, at most 6e-4
    for the paper's tau and width. So a value touches two bins instead of all.
    """
    edge = ((values.detach() - low) / width).round().clamp(0, bins)
    above = (tau * (values - (low + edge * width))).sigmoid()
    below = edge.nan_to_num().long()  # the number of the bin below the edge; a NaN has none and stays in its share
    counts = values.new_zeros(len(values), bins + 2)
    return counts.scatter_add(1, below, 1 - above).scatter_add(1, below + 1, above) / values.shape[1]


def divergence(target: Tensor, actual: Tensor, kind: Divergence) -> Tensor:
    """Distance (K,) between histograms (K, B): total variation, Jensen-Shannon, or KL(target || actual), in nats."""
    if kind == "tv":
        return (target - actual).abs().sum(1) / 2
    if kind == "kl":
        return kullback_leibler_of_histograms(target, actual)
    return jensen_shannon_of_histograms(target, actual)


def per_channel(activations: Tensor) -> Tensor:
    """Activations (N, K, ...) as (K, M), one row a channel."""
    return activations.transpose(0, 1).flatten(1)
