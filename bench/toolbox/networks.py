"""Looking into a network without knowing its architecture: its last linear layer, its latent, its stages.

Everything here goes by what the network does when it runs, so any classifier that ends in a linear layer
will do: ResNets, ViTs, whatever timm holds.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Edit = Callable[[Tensor], Tensor]
_LISTS = (nn.ModuleList, nn.ModuleDict)  # modules that hold others and do not run themselves


@contextmanager
def watching(
    modules: nn.Module | Iterable[nn.Module], see: Callable[[nn.Module, Any], object], *, inputs: bool = False
) -> Iterator[None]:
    """While open, ``see(module, value)`` is told what each of ``modules`` puts out, or with ``inputs`` its first input.

    ``see`` only looks: what it returns is ignored. It may raise to stop the forward pass.
    """
    some = [modules] if isinstance(modules, nn.Module) else list(modules)
    if inputs:
        hooks = [module.register_forward_pre_hook(lambda m, given: _ignored(see(m, given[0]))) for module in some]
    else:
        hooks = [module.register_forward_hook(lambda m, _, output: _ignored(see(m, output))) for module in some]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _ignored(answer: object) -> None:
    """A hook that returns something would replace what it looks at."""


def channels_last(images: Tensor) -> Tensor:
    """The images (N, C, H, W), laid out so that convolutions are fast."""
    return images.contiguous(memory_format=torch.channels_last)


def last_linear(model: nn.Module, images: Tensor) -> nn.Linear:
    """The linear layer (weight (C, d), bias (C,)) whose output is the output of ``model`` on ``images``.

    Raises LookupError if the logits do not come out of a linear layer.
    """
    outputs: list[tuple[nn.Linear, Tensor]] = []
    hooks = [
        module.register_forward_hook(lambda layer, _, output: outputs.append((layer, output)))
        for module in model.modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        with torch.no_grad():
            logits = model(images[:1])
    finally:
        for hook in hooks:
            hook.remove()
    for layer, output in reversed(outputs):
        if output is logits or (output.shape == logits.shape and torch.equal(output, logits)):
            return layer
    raise LookupError("the network does not end in a linear layer")


@contextmanager
def edited(module: nn.Module, edit: Edit) -> Iterator[None]:
    """While open, what ``module`` puts out is ``edit`` of it."""
    hook = module.register_forward_hook(lambda _, __, output: edit(output))
    try:
        yield
    finally:
        hook.remove()


class Latent:
    """The network cut before its last linear layer: ``model(x)`` equals ``linear(features(x))``.

    ``features``: images (N, C, H, W) to latent representations (N, d), with gradients where they are enabled.
    """

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        self.model = model
        self.linear = last_linear(model, images)

    def features(self, images: Tensor) -> Tensor:
        seen: list[Tensor] = []
        hook = self.linear.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            self.model(images)
        finally:
            hook.remove()
        return seen[-1]


def stages(model: nn.Module) -> dict[str, nn.Module]:
    """The network's stages in the order in which they run, by name: places to look at or to intervene.

    timm's networks declare theirs; of another network they are the children of its first module with
    several children, without the classifier; a list among them, which does not run itself, stands for its members.
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
    found: dict[str, nn.Module] = {}
    for name, child in children.items():
        inner = {f"{name}.{place}": module for place, module in child.named_children()}
        found |= _unfolded(inner) if isinstance(child, nn.ModuleList) else {name: child}
    return found


class _Reached(Exception):
    """Raised by a hook to stop a forward pass where its answer is known."""


class Cut:
    """The network cut behind one of its modules: ``model(x)`` equals ``after(before(x))``.

    ``before`` stops as soon as the module has run. ``after`` replaces the module's output; where the modules
    before it form a plain chain, they are left out, so that it costs only the rest of the network.
    """

    def __init__(self, model: nn.Module, module: nn.Module, images: Tensor) -> None:
        self.model, self.module = model, module
        self._example = images[:1]
        self._skipped = self._chain_before()
        if self._skipped and not self._agrees():
            self._skipped = []

    def before(self, images: Tensor) -> Tensor:
        seen: list[Tensor] = []

        def stop(_: nn.Module, __: Any, output: Tensor) -> None:
            seen.append(output)
            raise _Reached

        hook = self.module.register_forward_hook(stop)
        try:
            self.model(images)
        except _Reached:
            pass
        finally:
            hook.remove()
        return seen[-1]

    def after(self, activations: Tensor) -> Tensor:
        images = self._example.expand(len(activations), -1, -1, -1)
        try:
            for module in self._skipped:
                module.forward = lambda value, *_: value
            self.module.forward = lambda *_: activations
            logits: Tensor = self.model(images)
        finally:
            for module in (*self._skipped, self.module):
                module.__dict__.pop("forward", None)  # the class's own forward shows again
        return logits

    def _chain_before(self) -> list[nn.Module]:
        """The outermost modules that run, and end, before the module does."""
        order: list[nn.Module] = []
        containers = {id(m) for m in self.model.modules() if any(c is self.module for c in m.modules())}
        hooks = [
            module.register_forward_hook(lambda m, _, __: order.append(m))
            for parent in self.model.modules()
            if id(parent) in containers and parent is not self.module
            for module in parent.children()
            if id(module) not in containers
        ]
        stop = self.module.register_forward_hook(lambda m, _, __: order.append(m))
        try:
            with torch.no_grad():
                self.model(self._example)
        finally:
            for hook in (*hooks, stop):
                hook.remove()
        return order[: next(i for i, m in enumerate(order) if m is self.module)]

    @torch.no_grad()
    def _agrees(self) -> bool:
        try:
            return torch.allclose(self.after(self.before(self._example)), self.model(self._example), atol=1e-4)
        except (RuntimeError, TypeError, ValueError):
            return False


def batch_norms(model: nn.Module) -> dict[str, nn.Module]:
    """The batch normalisation layers by name, timm's fused ones with activation included."""
    return {
        name: module for name, module in model.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)
    }
