"""What a stage could change in its process, beside functions: each fact with how it is read, told and restored.

Only what later stages of the process may depend on is here. The global generators of random numbers are not: every
stage seeds them anew (``bench.engine.worker``). Functions are bound when this is imported, before any plugin is.
"""

import gc
import locale
import os
import resource
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.modules import module as modules

from bench.records.texts import printable

UNREADABLE = "unreadable"


def _differs(fact: "Fact", before: Any, after: Any) -> str | None:
    if before == after:
        return None
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        names = [str(name) for name in {**before, **after} if before.get(name) != after.get(name)]
        return f"{fact.what} changed ({printable(', '.join(names), 100)})"
    return f"{fact.what} changed ({printable(str(after), 60)})" if fact.is_short else f"{fact.what} changed"


@dataclass(frozen=True)
class Fact:
    """``told``: words that go on after "left", given the values before and after; None if nothing need be said.

    ``is_short``: whether the value says something to a person.
    """

    what: str
    read: Callable[[], Any]
    restore: Callable[[Any], object] | None = None
    told: Callable[["Fact", Any, Any], str | None] = _differs
    is_short: bool = True


def values() -> list[Any]:
    """The values of all ``FACTS``, in their order."""
    return [_value(fact.read) for fact in FACTS]


def _value(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Exception:  # such as flags of torch of which two contradict each other
        return UNREADABLE


# --- torch ---------------------------------------------------------------------------------------------

# of torch._C: each has a function _get_… and most have one _set_…
_FLAGS = (
    "cudnn_enabled", "cudnn_benchmark", "cudnn_deterministic", "cudnn_allow_tf32", "mkldnn_enabled",
    "mkldnn_deterministic", "onednn_allow_tf32", "nnpack_enabled", "qengine", "float32_matmul_precision",
    "cublas_allow_tf32", "cublas_allow_fp16_reduced_precision_reduction", "cublas_allow_fp16_accumulation",
    "cublas_allow_bf16_reduced_precision_reduction", "cpu_allow_fp16_reduced_precision_reduction",
    "linalg_preferred_backend", "blas_preferred_backend", "flash_sdp_enabled", "mem_efficient_sdp_enabled",
    "math_sdp_enabled", "cudnn_sdp_enabled", "math_sdp_allow_fp16_bf16_reduction", "backcompat_broadcast_warn",
    "backcompat_keepdim_warn", "warnAlways", "deterministic_fill_uninitialized_memory", "autograd_fallback_mode",
)  # fmt: skip
_SETTERS = {f"{name}_sdp_enabled": f"_set_sdp_use_{name}" for name in ("flash", "mem_efficient", "math", "cudnn")}
_PRECISIONS = [(backend, use) for backend in ("cuda", "mkldnn") for use in ("all", "conv", "matmul", "rnn")]


def _torch_facts() -> Iterator[Fact]:
    yield Fact("the default dtype", torch.get_default_dtype, torch.set_default_dtype)
    yield Fact("the default device", torch.get_default_device, _set_default_device)
    yield Fact("the gradient mode", torch.is_grad_enabled, torch._C._set_grad_enabled)
    yield Fact("the inference mode", torch.is_inference_mode_enabled)
    yield Fact("anomaly detection", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly)
    for device in ("cpu", "cuda"):
        yield Fact(f"autocast on {device}", *_autocast(device))
    yield Fact("autocast's cache", torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled)
    yield Fact("deterministic algorithms", _deterministic, _set_deterministic)
    yield Fact("the number of threads", torch.get_num_threads, torch.set_num_threads)
    yield Fact("the number of threads between operations", torch.get_num_interop_threads)
    for flag in _FLAGS:
        if (read := getattr(torch._C, f"_get_{flag}", None)) is not None:
            setter = getattr(torch._C, _SETTERS.get(flag, f"_set_{flag}"), None)
            yield Fact(f"torch's {flag.replace('_', ' ')}", read, setter)
    if (precision := getattr(torch._C, "_get_fp32_precision_getter", None)) is not None:
        yield Fact("torch's precision of fp32", lambda: {"/".join(of): precision(*of) for of in _PRECISIONS})
    mha = torch.backends.mha
    yield Fact("torch's fast path of attention", mha.get_fastpath_enabled, mha.set_fastpath_enabled)
    future = torch.__future__
    yield Fact(
        "torch's swapping of parameters",
        future.get_swap_module_params_on_conversion,
        future.set_swap_module_params_on_conversion,
    )
    yield Fact("a mode of torch's functions", torch._C._len_torch_function_stack, is_short=False)
    yield Fact("a mode of torch's operators", torch._C._len_torch_dispatch_stack, is_short=False)
    yield Fact("hooks of all modules", _hooks, _set_hooks, is_short=False)


def _set_default_device(device: torch.device) -> None:
    torch.set_default_device(None if device.type == "cpu" else device)


def _autocast(device: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    enabled, dtype = torch.is_autocast_enabled, torch.get_autocast_dtype

    def restore(value: Any) -> None:
        torch.set_autocast_enabled(device, value[0])
        torch.set_autocast_dtype(device, value[1])

    return lambda: (enabled(device), dtype(device)), restore


def _deterministic() -> tuple[bool, bool]:
    return torch._C._get_deterministic_algorithms(), torch._C._get_deterministic_algorithms_warn_only()


def _set_deterministic(value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


_HOOKS = [
    (vars(owner), name)
    for owner in (modules, sys.modules["torch.optim.optimizer"])
    for name, value in vars(owner).items()
    if name.startswith("_global") and isinstance(value, dict)
]


def _hooks() -> list[dict[Any, Any]]:
    return [dict(namespace[name]) for namespace, name in _HOOKS]


def _set_hooks(value: list[dict[Any, Any]]) -> None:
    for (namespace, name), before in zip(_HOOKS, value, strict=True):
        namespace[name].clear()
        namespace[name].update(before)


# --- the process ---------------------------------------------------------------------------------------

_SET_BY_LIBRARIES = ("KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK")  # scikit-learn does, when it is imported
_ONE, _HALF_STEP, _SMALLEST = 1.0, 2.0**-53, 5e-324


def _process_facts() -> Iterator[Fact]:
    yield Fact("the rounding of floats", _rounding, is_short=False)
    yield Fact("denormal numbers", lambda: _SMALLEST * _ONE != 0, lambda kept: torch.set_flush_denormal(not kept))
    yield Fact("numpy's reaction to errors", np.geterr, lambda value: np.seterr(**value))
    yield Fact("the environment", _environment, _set_environment)
    yield Fact("the working directory", os.getcwd, os.chdir)
    yield Fact("the umask", _umask, os.umask)
    yield Fact(
        "the locale", lambda: locale.setlocale(locale.LC_ALL), lambda value: locale.setlocale(locale.LC_ALL, value)
    )
    yield Fact("the priority", lambda: os.getpriority(os.PRIO_PROCESS, 0))
    if hasattr(os, "sched_getaffinity"):
        yield Fact("the processors", lambda: os.sched_getaffinity(0), lambda value: os.sched_setaffinity(0, value))
    yield Fact("limits of resources", lambda: {name: resource.getrlimit(number) for name, number in _LIMITS.items()})
    yield Fact("signal handlers", _handlers, _set_handlers)
    yield Fact("a timer", _timers, _set_timers, is_short=False)
    yield Fact("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit)
    yield Fact("garbage collection", lambda: (gc.isenabled(), *gc.get_threshold()), _set_collection)
    yield Fact("tracing", lambda: (sys.gettrace(), sys.getprofile()), _set_tracing, is_short=False)
    yield Fact("hooks of the interpreter", _interpreter_hooks, _set_interpreter_hooks)
    yield Fact("standard streams", lambda: {n: getattr(sys, n) for n in _STREAMS}, _set_streams)
    yield Fact("standard descriptors", lambda: {n: os.fstat(n)[1:3] for n in (0, 1, 2)})
    yield Fact("warnings that are errors", _errors_of_warnings, _drop_errors_of_warnings, is_short=False)
    yield Fact("the path of modules", lambda: list(sys.path), _set_path, _gone_from_path)
    yield Fact("threads", lambda: set(threading.enumerate()), None, _left_running)


_LIMITS = {name: getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
_SIGNALS = sorted(signal.valid_signals())
_STREAMS = ("stdin", "stdout", "stderr", "__stdout__", "__stderr__")
_INTERPRETER_HOOKS = ("excepthook", "displayhook", "breakpointhook", "unraisablehook")


def _rounding() -> tuple[float, ...]:
    return _ONE + _HALF_STEP, -_ONE - _HALF_STEP, _ONE - _HALF_STEP / 2


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _SET_BY_LIBRARIES}


def _set_environment(value: dict[str, str]) -> None:
    for name in {**os.environ, **value}:
        if name not in value and name not in _SET_BY_LIBRARIES:
            del os.environ[name]
    os.environ.update(value)


def _umask() -> int:
    mask = os.umask(0o077)  # it can only be read by setting it
    os.umask(mask)
    return mask


def _handlers() -> dict[str, Any]:
    handlers = {signal.strsignal(number) or str(number): signal.getsignal(number) for number in _SIGNALS}
    return {**handlers, "blocked signals": signal.pthread_sigmask(signal.SIG_BLOCK, ())}


def _set_handlers(value: dict[str, Any]) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, value["blocked signals"])
    for number, handler in zip(_SIGNALS, value.values(), strict=False):
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)


_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)


def _timers() -> list[bool]:
    return [any(signal.getitimer(timer)) for timer in _TIMERS]


def _set_timers(value: list[bool]) -> None:
    for timer, was_running in zip(_TIMERS, value, strict=True):
        if not was_running:
            signal.setitimer(timer, 0)


def _set_collection(value: tuple[Any, ...]) -> None:
    (gc.enable if value[0] else gc.disable)()
    gc.set_threshold(*value[1:])


def _set_tracing(value: tuple[Any, Any]) -> None:
    sys.settrace(value[0])
    sys.setprofile(value[1])


def _interpreter_hooks() -> dict[str, Any]:
    return {name: getattr(sys, name) for name in _INTERPRETER_HOOKS}


def _set_interpreter_hooks(value: dict[str, Any]) -> None:
    for name, hook in value.items():
        setattr(sys, name, hook)


def _set_streams(value: dict[str, Any]) -> None:
    for name, stream in value.items():
        setattr(sys, name, stream)


def _errors_of_warnings() -> list[Any]:
    return [entry for entry in warnings.filters if entry[0] == "error"]


def _drop_errors_of_warnings(value: list[Any]) -> None:
    warnings.filters[:] = [entry for entry in warnings.filters if entry[0] != "error" or entry in value]  # type: ignore[index]


def _set_path(value: list[str]) -> None:
    sys.path += [entry for entry in value if entry not in sys.path]


def _gone_from_path(fact: Fact, before: list[str], after: list[str]) -> str | None:
    """One-file plugins may add the folders of their modules; nothing may be taken away."""
    gone = [entry for entry in before if entry not in after]
    return f"{fact.what} without {printable(', '.join(map(repr, gone)), 100)}" if gone else None


def _left_running(_: Fact, before: set[threading.Thread], after: set[threading.Thread]) -> str | None:
    left = [printable(thread.name, 40) for thread in after - before if thread.is_alive()]
    return f"{len(left)} threads running ({printable(', '.join(left), 100)})" if left else None


FACTS = [*_torch_facts(), *_process_facts()]
