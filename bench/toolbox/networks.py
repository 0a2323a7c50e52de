"""Looking into a network without knowing its architecture: its last linear layer, its latent, its stages.

Nothing here names an architecture. It works for any classifier that ends in a linear layer: ResNets, vision
transformers, the networks of timm.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import torch
from torch import Tensor, nn

Edit = Callable[[Tensor], Tensor]
_LISTS = (nn.ModuleList, nn.ModuleDict)  # modules that hold others and do not run themselves


@contextmanager
def watching(
    modules: nn.Module | Iterable[nn.Module], see: Callable[[nn.Module, Any], object], *, inputs: bool = False
) -> Iterator[None]:
    """While open, ``see(module, output)`` is called whenever one of ``modules`` has run.

    With ``inputs`` it is ``see(module, input)``, called with the first input before the module runs. What ``see``
    returns is ignored, so it cannot change the forward pass. It may raise to stop it.
    """
    watched = [modules] if isinstance(modules, nn.Module) else list(modules)
    if inputs:
        hooks = [module.register_forward_pre_hook(lambda m, args: _ignored(see(m, args[0]))) for module in watched]
    else:
        hooks = [module.register_forward_hook(lambda m, _, output: _ignored(see(m, output))) for module in watched]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _ignored(answer: object) -> None:
    """None, whatever ``see`` returned: torch takes what a hook returns in place of the module's input or output."""


def channels_last(images: Tensor) -> Tensor:
    """The images (N, C, H, W) in the memory layout in which convolutions are fast."""
    return images.contiguous(memory_format=torch.channels_last)


def last_linear(model: nn.Module, images: Tensor) -> nn.Linear:
    """The linear layer whose output is the output of ``model``: weight (classes, d), bias (classes,).

    images: (N, C, H, W) in [0, 1], of which the first is run. Raises LookupError if no linear layer gives the logits.
    """
    outputs: list[tuple[nn.Linear, Tensor]] = []
    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
    with watching(linears, lambda layer, output: outputs.append((cast(nn.Linear, layer), output))), torch.no_grad():
        logits = model(images[:1])
    for layer, output in reversed(outputs if isinstance(logits, Tensor) else []):
        if output is logits or (output.shape == logits.shape and torch.equal(output, logits)):
            return layer
    raise LookupError("the network does not end in a linear layer")


@contextmanager
def edited(module: nn.Module, edit: Edit) -> Iterator[None]:
    """While open, the output of ``module`` is replaced by ``edit(output)``."""
    hook = module.register_forward_hook(lambda _, __, output: edit(output))
    try:
        yield
    finally:
        hook.remove()


class Latent:
    """A network cut before its last linear layer: ``model(x)`` equals ``linear(features(x))``.

    ``images`` (N, C, H, W) in [0, 1] are an example to find the layer with. Raises LookupError as ``last_linear`` does.
    """

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        self.model = model
        self.linear = last_linear(model, images)

    def features(self, images: Tensor) -> Tensor:
        """The latent (N, d) of images (N, C, H, W) in [0, 1], with gradients where they are enabled."""
        latents: list[Tensor] = []
        with watching(self.linear, lambda _, latent: latents.append(latent), inputs=True):
            self.model(images)
        return latents[-1]


def stages(model: nn.Module) -> dict[str, nn.Module]:
    """The network's stages by name, in the order in which they run: where to look into it, or to intervene.

    timm's networks declare their stages. In other networks they are the children of the first module that has several
    children, without linear layers. A ``ModuleList`` among them does not run itself: its members are the stages.
    """
    for module in model.modules():
        declared = getattr(module, "feature_info", None)
        if declared:
            inner = dict(module.named_modules())
            entries: list[dict[str, Any]] = list(declared)
            return {entry["module"]: inner[entry["module"]] for entry in entries if entry["module"] in inner}
        children = dict(module.named_children())
        if len(children) > 1 and not isinstance(module, _LISTS):
            break
    return {name: child for name, child in _unfolded(children).items() if not isinstance(child, (nn.Linear, *_LISTS))}


def _unfolded(children: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """The modules by name, with the members of every ``ModuleList`` in its place."""
    unfolded: dict[str, nn.Module] = {}
    for name, child in children.items():
        members = {f"{name}.{index}": member for index, member in child.named_children()}
        unfolded |= _unfolded(members) if isinstance(child, nn.ModuleList) else {name: child}
    return unfolded


class _Reached(Exception):
    """Stops a forward pass at the module whose output was wanted."""


class Cut:
    """A network cut behind one of its modules: ``model(x)`` equals ``after(before(x))``.

    images: an example (N, C, H, W) in [0, 1], of which the first is run to find the modules before the cut.
    """

    def __init__(self, model: nn.Module, module: nn.Module, images: Tensor) -> None:
        self.model, self.module = model, module
        self._example = images[:1]
        self._skipped = self._chain_before()
        if self._skipped and not self._agrees():
            self._skipped = []

    def before(self, images: Tensor) -> Tensor:
        """The module's output for images (N, C, H, W) in [0, 1]. The forward pass stops there."""
        outputs: list[Tensor] = []

        def stop(_: nn.Module, output: Tensor) -> None:
            outputs.append(output)
            raise _Reached

        with suppress(_Reached), watching(self.module, stop):
            self.model(images)
        return outputs[-1]

    def after(self, activations: Tensor) -> Tensor:
        """The logits (N, classes) of the network when the module's output is ``activations`` (N, …).

        Where the modules before the cut form a plain chain, they are not run, so this costs only the rest.
        """
        images = self._example.expand(len(activations), -1, -1, -1)
        try:
            for module in self._skipped:
                module.forward = lambda value, *_: value
            self.module.forward = lambda *_: activations
            logits: Tensor = self.model(images)
        finally:
            for module in (*self._skipped, self.module):
                module.__dict__.pop("forward", None)  # the class's forward is visible again
        return logits

    def _chain_before(self) -> list[nn.Module]:
        """The outermost modules that have finished when the module runs, in this order."""
        order: list[nn.Module] = []
        containers = {id(m) for m in self.model.modules() if any(c is self.module for c in m.modules())}
        outermost = [
            module
            for parent in self.model.modules()
            if id(parent) in containers and parent is not self.module
            for module in parent.children()
            if id(module) not in containers
        ]
        with watching([*outermost, self.module], lambda module, _: order.append(module)), torch.no_grad():
            self.model(self._example)
        return order[: next(i for i, m in enumerate(order) if m is self.module)]

    @torch.no_grad()
    def _agrees(self) -> bool:
        """Whether the example's logits stay the same when the chain is not run."""
        try:
            return torch.allclose(self.after(self.before(self._example)), self.model(self._example), atol=1e-4)
        except (RuntimeError, TypeError, ValueError):
            return False


def batch_norms(model: nn.Module) -> dict[str, nn.Module]:
    """The batch normalisation layers by name, with timm's layers that fuse normalisation and activation."""
    return {
        name: module for name, module in model.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)
    }
