"""Functions and classes that a stage replaced: in torch, in what results are computed with, and in the harness."""

import builtins
import sys
from collections.abc import Iterator
from operator import attrgetter, eq
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import torch

# modules whose functions, and classes with their methods, are compared
_EXACT = frozenset({
    "builtins", "copy", "functools", "hashlib", "itertools", "json", "json.encoder", "math", "operator", "random",
    "numpy", "numpy.linalg", "numpy.random", "safetensors.torch", "scipy.optimize", "scipy.stats", "sklearn.metrics",
    "torch", "torch._C._nn", "torch._C._linalg", "torch._C._fft", "torch._tensor", "torch.autograd",
    "torch.autograd.function", "torch.autograd.grad_mode", "torch.fft", "torch.func", "torch.functional",
    "torch.linalg", "torch.nn", "torch.nn.functional", "torch.nn.init", "torch.nn.parameter", "torch.random",
    "torch.serialization", "torch.utils.data", "torchvision.transforms.functional",
})  # fmt: skip
_BEGINNINGS = ("bench.", "torch.nn.modules.", "torch.nn.utils.", "torch.optim.", "timm.layers.")
_MOST = 3  # that are named

# what Python, pydantic and warnings write into a namespace when it is used, and torch when the default dtype changes
_KEPT_BY_OTHERS = ("__pydantic", "__warningregistry__", "__annotations__", "__abstractmethods__", "__signature__",
                   "_abc_impl", "__doc__", "__class_vars__", "__private_attributes__", "Storage")  # fmt: skip
_TORCH = str(Path(torch.__file__).parent)
_CODE, _DEFAULTS = attrgetter("__code__"), attrgetter("__defaults__")
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class made in Python, so that it can be changed


class Loaded:
    """What a module and its classes hold. It is never changed: where ``is_same`` says no, another one is made."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        owners: list[Any] = [module, *_defined_in(module)]
        self.spaces = [(owner, vars(owner), dict(vars(owner))) for owner in owners]
        self.names, self.held = [names for _, names, _ in self.spaces], [held for *_, held in self.spaces]
        values = (value for held in self.held for value in held.values())
        self.functions = [value for value in values if type(value) is FunctionType]
        self.codes = list(map(_CODE, self.functions))
        self.defaults = list(map(_DEFAULTS, self.functions))

    @property
    def is_same(self) -> bool:
        """Whether all is as it was; quick, for identical values are not compared any further."""
        try:
            return (
                all(map(eq, self.names, self.held))
                and list(map(_CODE, self.functions)) == self.codes
                and list(map(_DEFAULTS, self.functions)) == self.defaults
            )
        except Exception:  # of values that are odd to compare, such as arrays
            return False

    def changed(self) -> list[str]:
        """The full names of what was replaced, removed or added, or is made of something else now."""
        names = [f"{_title(owner)}.{name}" for owner, name, _ in self._differing()]
        made_of = zip(self.functions, self.codes, self.defaults, strict=True)
        rewritten = [it for it, code, given in made_of if (it.__code__, it.__defaults__) != (code, given)]
        return [*names, *(f"{it.__module__}.{it.__qualname__}" for it in rewritten)]

    def restore(self) -> None:
        """Put everything back."""
        for function, code, defaults in zip(self.functions, self.codes, self.defaults, strict=True):
            function.__code__, function.__defaults__ = code, defaults
        for owner, name, before in self._differing():
            if before is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, before)

    def _differing(self) -> list[tuple[Any, str, Any]]:
        """What is different now: a module or class, a name, and what was there."""
        found = []
        for owner, names, held in self.spaces:
            now = dict(names)
            other = [(name, value) for name, value in held.items() if now.get(name, _ABSENT) is not value]
            counting = [(name, value) for name, value in other if _counts(owner, name, value)]
            found += [
                (owner, name, value) for name, value in counting if not _is_wrapped_by_torch(now.get(name), value)
            ]
            added = [name for name in now if name not in held and _counts(owner, name, now[name])]
            hiding = [name for name in added if isinstance(owner, type) or hasattr(builtins, name)]
            own = [name for name in hiding if not _is_wrapped_by_torch(now[name], name)]
            found += [(owner, name, _ABSENT) for name in own]
        return found


_ABSENT = object()
_last: dict[str, Loaded] = {}  # by the module's name, since hardly any changes from one stage to the next


def take() -> list[Loaded]:
    """What the modules that are loaded now hold, and their classes."""
    for name, module in list(sys.modules.items()):
        if (name in _EXACT or name.startswith(_BEGINNINGS)) and isinstance(module, ModuleType):
            last = _last.get(name)
            if last is None or last.module is not module or not last.is_same:
                _last[name] = Loaded(module)
    return list(_last.values())


def told(before: list[Loaded]) -> list[str]:
    """What has been replaced, removed or added since, in words; a few of it by name."""
    names = [name for module in before if not module.is_same for name in module.changed()]
    more = [f"{len(names) - _MOST} more functions replaced"] if len(names) > _MOST else []
    return [*(f"{name} replaced" for name in names[:_MOST]), *more]


def restore(before: list[Loaded]) -> None:
    """Put everything back."""
    for module in before:
        if not module.is_same:
            module.restore()


def _counts(owner: Any, name: str, value: Any) -> bool:
    """Whether it matters that ``name`` has, or had, this value: counters, caches and submodules do not."""
    if name.startswith(_KEPT_BY_OTHERS) or isinstance(value, ModuleType):
        return False
    is_code = callable(value) or isinstance(value, staticmethod | classmethod | property)
    return is_code or (isinstance(owner, ModuleType) and owner.__name__.startswith(("bench.", "math")))


def _is_wrapped_by_torch(now: Any, before: Any) -> bool:
    """Whether torch did it itself: to an optimizer's step when the first one is made, to much more when it compiles.

    ``before``: what was there, or the name of a method that was inherited.
    """
    if type(now) is not FunctionType or not now.__code__.co_filename.startswith(_TORCH):
        return False
    inside = [cell.cell_contents for cell in now.__closure__ or ()]
    return any(value is before or getattr(value, "__name__", "") == before for value in inside)


def _defined_in(module: ModuleType) -> Iterator[type]:
    """The classes of a module that can be changed."""
    found = {id(value): value for value in vars(module).values() if isinstance(value, type)}
    for value in found.values():
        is_tensor = module.__name__ == "torch._tensor" and value.__name__ == "Tensor"
        if value.__flags__ & _HEAP_TYPE and (value.__module__ == module.__name__ or is_tensor):
            yield value


def _title(owner: Any) -> str:
    return owner.__name__ if isinstance(owner, ModuleType) else f"{owner.__module__}.{owner.__qualname__}"
