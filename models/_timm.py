"""Networks from timm, ready for images in [0, 1]: normalisation, pretrained weights, and errors of one line."""

import logging
from dataclasses import replace
from typing import Any, Self, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.models._sampled import sample_first
from bench.plugin import ImageSpec, Model, RequestError
from bench.toolbox.networks import last_linear


class Normalised(nn.Module):
    """``net`` on normalised images: takes images (N, C, H, W) in [0, 1], gives logits (N, classes)."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, spec: ImageSpec) -> None:
        super().__init__()
        sample_first(net)
        self.net = net
        self.register_buffer("mean", torch.tensor(spec.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(spec.std).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net((images - self.mean) / self.std)
        return logits


class Pretrainable(Model):
    """Base of the networks for which timm has weights."""

    pretrained: bool = Field(
        False,
        description="start from timm's ImageNet weights, downloaded when the plan is made, and normalise the images "
        "as these weights expect",
    )

    def resolve(self, spec: ImageSpec) -> Self:
        if self.pretrained:
            check_builds(self, spec)  # so that missing weights are reported before any work starts
        return self

    def normalised(self, net: nn.Module, spec: ImageSpec) -> Normalised:
        """``net`` with the normalisation that its weights expect."""
        return Normalised(net, spec_of_weights(net, spec) if self.pretrained else spec)


def create(name: str, spec: ImageSpec, *, pretrained: bool = False, **options: Any) -> nn.Module:
    """timm's architecture ``name`` for the images and classes of ``spec``, freshly initialised or with timm's weights.

    The last layer of a pretrained network is fresh unless there are 1000 classes. Raises RequestError if the weights
    are not available.
    """
    import timm  # heavy: planning does without it

    options |= {"num_classes": spec.classes, "in_chans": spec.channels}
    if not pretrained:
        return timm.create_model(name, **options)
    hub = logging.getLogger("huggingface_hub")  # it reports every retry; one line at the end is enough
    level = hub.level
    try:
        hub.setLevel(logging.ERROR)
        return timm.create_model(name, pretrained=True, **options)
    except Exception as error:  # a download fails in many ways, and some architectures have no weights
        raise RequestError(
            f"pretrained=true: expected weights of {name} that timm can download or has in its cache: "
            f"{_first_line(error)}"
        ) from error
    finally:
        hub.setLevel(level)


def check_builds(model: Model, spec: ImageSpec, label: str | None = None) -> None:
    """Build ``model`` and run it on a black image. The global random state stays as it is.

    Raises RequestError, in which the model is called ``label`` (default: its name), if it does not take images of this
    size or does not end in a linear layer.
    """
    label, size = label or model.name, f"{spec.channels}x{spec.height}x{spec.width}"
    try:
        with torch.random.fork_rng(devices=[]):
            last_linear(model.build(spec).eval(), torch.zeros(1, *spec.shape))
    except RequestError as error:
        raise RequestError(f"{label}: {error}") from error
    except LookupError as error:
        raise RequestError(f"{label}: expected a classifier that ends in a linear layer: {error}") from error
    except Exception as error:  # whatever an architecture raises, the request does not fit it
        raise RequestError(f"{label}: cannot be built for images of {size}: {_first_line(error)}") from error


def spec_of_weights(net: nn.Module, spec: ImageSpec) -> ImageSpec:
    """``spec`` with the mean and std that the weights of timm's ``net`` were trained with.

    For another number of channels than theirs their average is used, as timm sums or repeats the channels' weights.
    """
    config = cast(dict[str, Any], net.pretrained_cfg)
    mean, std = tuple(config["mean"]), tuple(config["std"])
    if len(mean) != spec.channels:
        mean, std = ((sum(values) / len(values),) * spec.channels for values in (mean, std))
    return replace(spec, mean=mean, std=std)


def _first_line(error: Exception) -> str:
    """The first line of an error's text, after its kind."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
