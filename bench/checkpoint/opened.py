"""A checkpoint made into a network that takes images in [0, 1], as every network of the harness does."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from bench.checkpoint import fit
from bench.checkpoint.fit import Layout
from bench.checkpoint.preprocessed import Preprocessed
from bench.checkpoint.preprocessing import Numbers, Order, Preprocessing
from bench.checkpoint.read import Checkpoint
from bench.errors import RequestError, one_line, shortened
from bench.plugin.model import Model
from bench.plugin.values import ImageSpec
from bench.toolbox.precision import expect_finite

_TRIAL_CLASSES = 1009  # a prime that no layer has as its width


class Unbuildable(RequestError):
    """The architecture itself does not fit the images."""


@dataclass(frozen=True)
class OpenedNetwork:
    """A network of somebody else's in eval mode, from images (N, C, H, W) in [0, 1] to logits (N, classes).

    spec: of the images that it takes, with the mean and std that are applied to them. preprocessing: what is done to
    images before the checkpoint's own network, in numbers.
    """

    network: nn.Module
    spec: ImageSpec
    checkpoint: Checkpoint
    layout: Layout
    preprocessing: Preprocessing

    def written(self, repaired: nn.Module) -> dict[str, Tensor]:
        """The tensors of a network that was repaired, as the checkpoint names and stores them.

        Raises RequestError for one that has other tensors than the checkpoint.
        """
        inner = repaired.net if isinstance(repaired, Preprocessed) else None
        if not isinstance(inner, nn.Module):
            raise RequestError(f"is a {type(repaired).__name__} and no longer the checkpoint's architecture")
        return self.layout.written(inner)


def open_network(
    checkpoint: Checkpoint,
    model: Model,
    height: int,
    width: int,
    preprocessing: Preprocessing | None = None,
    *,
    classes: int | None = None,
    label: str | None = None,
) -> OpenedNetwork:
    """The network of a checkpoint: ``model`` built for it, with its weights and the network's own preprocessing.

    height, width: of the images, in pixels. preprocessing: None for the architecture's own. classes: None for as many
    as the checkpoint has. label: what the model is called in messages.

    Whatever normalisation the model brings is made to do nothing, so that mean and std are applied once: those of
    ``preprocessing``, or those that the checkpoint itself holds, as victims of this project do. Raises RequestError, in
    one line, for a checkpoint that does not fit.
    """
    named, label = f"checkpoint {shortened(str(checkpoint.path))}", label or model.name
    try:
        channels, held = _channels_and_classes(checkpoint, model, height, width, label)
        spec = _blank(channels, height, width, classes or held)
        network = _built(model, spec, label)
        layout = fit.load(network, checkpoint.tensors, spec.classes)
        expect_finite(network)
    except Unbuildable:
        raise
    except RequestError as error:
        raise RequestError(f"{named}: does not fit {label}: {error}") from error
    except ValueError as error:
        raise RequestError(f"{named}: {error}") from error
    mean, std, order = _preprocessing(network, layout, preprocessing, spec, named)
    wrapped = Preprocessed(network, mean, std, order).eval()
    spec = replace(spec, mean=mean, std=std)
    _check_answer(wrapped, spec, f"{named}: {label}")
    return OpenedNetwork(wrapped, spec, checkpoint, layout, Preprocessing(mean, std, order))


def _channels_and_classes(checkpoint: Checkpoint, model: Model, height: int, width: int, label: str) -> tuple[int, int]:
    """The channels and classes that the checkpoint has, by its shapes where those of a trial network follow them."""
    trial = _built(model, _blank(3, height, width, _TRIAL_CLASSES), label)
    own, (names, _) = trial.state_dict(), fit.match(trial, checkpoint.tensors)
    of_own = {inner: name for name, inner in names.items()}  # in the network's order, which a file need not have
    pairs = [(own[inner].shape, checkpoint.tensors[of_own[inner]].shape) for inner in own if inner in of_own]
    pairs = [(ours, theirs) for ours, theirs in pairs if len(ours) == len(theirs)]
    channels = [theirs[1] for ours, theirs in pairs if len(ours) == 4 and ours[1] in (1, 3)]  # of the first convolution
    classes = [theirs[0] for ours, theirs in pairs if len(ours) > 0 and ours[0] == _TRIAL_CLASSES]
    # a model that takes no notice of the number of classes has a fixed one
    fixed = [len(value) for value in own.values() if value.ndim == 2]
    return (channels[0] if channels else 3), ([*classes, *fixed[-1:], 1])[0]


def _blank(channels: int, height: int, width: int, classes: int) -> ImageSpec:
    """A spec with which the normalisation that a model brings does nothing."""
    return ImageSpec(channels, height, width, classes, mean=(0.0,) * channels, std=(1.0,) * channels)


def _built(model: Model, spec: ImageSpec, label: str) -> nn.Module:
    """The untrained network. Whatever the model raises is said in one line."""
    try:
        with torch.random.fork_rng(devices=[]):
            fitted = model.resolve(spec)
            network: object = fitted.build(spec)
    except RequestError as error:
        raise Unbuildable(str(error)) from error
    except Exception as error:  # the model may be anybody's
        raise Unbuildable(f"model {label}: cannot be built for images of {_size(spec)}: {one_line(error)}") from error
    if not isinstance(network, nn.Module):
        raise Unbuildable(f"model {label}: build gave a {type(network).__name__}, expected an nn.Module")
    return network.eval()


def _preprocessing(
    network: nn.Module, layout: Layout, given: Preprocessing | None, spec: ImageSpec, named: str
) -> tuple[Numbers, Numbers, Order]:
    """Mean, std and order of the channels that are still to be applied before ``network``."""
    if layout.normalises:
        if given is not None:
            raise RequestError(f"{named}: holds its own mean and std: expected no --mean, --std or --channels with it")
        return spec.mean, spec.std, "rgb"
    chosen = given or Preprocessing()
    if chosen.order == "bgr" and spec.channels != 3:
        raise RequestError(f"--channels bgr: expected a network for 3 channels, this one takes {spec.channels}")
    return *chosen.resolved(network, spec.channels), chosen.order


@torch.no_grad()
def _check_answer(network: nn.Module, spec: ImageSpec, named: str) -> None:
    """Raise RequestError unless the network gives logits for a black image."""
    try:
        logits: object = network(torch.zeros(1, *spec.shape))
    except Exception as error:  # the network may be anybody's
        raise RequestError(f"{named} does not take images of {_size(spec)}: {one_line(error)}") from error
    if not isinstance(logits, Tensor) or logits.shape != (1, spec.classes):
        given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise RequestError(f"{named} gives {given} for an image, expected logits (1, {spec.classes})")


def _size(spec: ImageSpec) -> str:
    return "x".join(map(str, spec.shape))
