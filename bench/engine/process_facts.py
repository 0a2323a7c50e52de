"""What a stage could change in its process beside torch and functions.

Only what later stages may depend on is here. The global generators of random numbers are not: every stage seeds them
anew (``bench.engine.worker``).
"""

import gc
import locale
import operator
import os
import resource
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from bench.engine.fact import Fact, differs
from bench.records.texts import printable

# variables that scikit-learn and torch's compiler set when they are first used, and the threads that the latter keeps
_SET_BY_LIBRARIES = ("KMP_", "TORCHINDUCTOR_", "_TORCHINDUCTOR_", "TRITON_")
_COMPILER, _KEPT_BY_COMPILER, _KEPT_BY_TQDM = "torch._inductor.async_compile", "ThreadPoolExecutor", "tqdm_monitor"
_ONE, _HALF_STEP, _SMALLEST = 1.0, 2.0**-53, 5e-324


def urgent_facts() -> Iterator[Fact]:
    """What is put back first: what interrupts, and what every import inside a function needs."""
    yield Fact("a timer", _timers, _set_timers, is_short=False)
    yield Fact("loaded modules", lambda: dict(sys.modules), _set_modules, _modules_replaced)
    yield Fact("the finders of modules", lambda: list(sys.meta_path), _set_finders, _finders_gone)


def process_facts() -> Iterator[Fact]:
    """Python's, numpy's and the system's."""
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
    yield Fact("limits of resources", _limits, _set_limits)
    yield Fact("signal handlers", _handlers, _set_handlers)
    yield Fact("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit, _lowered)
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
_SIGNAL_NAMES = [signal.strsignal(number) or str(number) for number in _SIGNALS]
_STREAMS = ("stdin", "stdout", "stderr", "__stdout__", "__stderr__")
_INTERPRETER_HOOKS = ("excepthook", "displayhook", "breakpointhook", "unraisablehook")


def _rounding() -> tuple[float, ...]:
    return _ONE + _HALF_STEP, -_ONE - _HALF_STEP, _ONE - _HALF_STEP / 2


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_SET_BY_LIBRARIES)}


def _set_environment(value: dict[str, str]) -> None:
    for name in {**os.environ, **value}:
        if name not in value and not name.startswith(_SET_BY_LIBRARIES):
            del os.environ[name]
    os.environ.update(value)


def _umask() -> int:
    mask = os.umask(0o077)  # it can only be read by setting it
    os.umask(mask)
    return mask


def _limits() -> dict[str, tuple[int, int]]:
    return {name: resource.getrlimit(number) for name, number in _LIMITS.items()}


def _set_limits(value: dict[str, tuple[int, int]]) -> None:
    for name, (soft, hard) in value.items():
        now = resource.getrlimit(_LIMITS[name])
        if now != (soft, hard):
            try:
                resource.setrlimit(_LIMITS[name], (soft, hard))
            except (ValueError, OSError):  # only root raises what bounds the limit
                bounded = now[1] if now[1] != resource.RLIM_INFINITY and not 0 <= soft <= now[1] else soft
                resource.setrlimit(_LIMITS[name], (bounded, now[1]))


def _handlers() -> dict[str, Any]:
    handlers: dict[str, Any] = dict(zip(_SIGNAL_NAMES, map(signal.getsignal, _SIGNALS), strict=True))
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


def _set_finders(value: list[Any]) -> None:
    sys.meta_path[:] = [*value, *(finder for finder in sys.meta_path if finder not in value)]


def _finders_gone(fact: Fact, before: list[Any], after: list[Any]) -> str | None:
    """Libraries may add their own; none may be taken away."""
    return f"{fact.what} changed" if any(finder not in after for finder in before) else None


def _set_modules(value: dict[str, Any]) -> None:
    for name in _forged(value, sys.modules):
        del sys.modules[name]
    sys.modules.update(value)


def _modules_replaced(fact: Fact, before: dict[str, Any], after: dict[str, Any]) -> str | None:
    """More may be loaded; what was loaded must stay what it is."""
    if len(before) == len(after) and all(map(operator.is_, map(after.get, before), before.values())):
        return None  # as nearly always: quick, for there are thousands
    names = [name for name, module in before.items() if after.get(name) is not module] + _forged(before, after)
    return f"{fact.what} replaced ({printable(', '.join(names), 100)})" if names else None


def _forged(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Modules that take the place of the harness's, which would be loaded later."""
    new = [name for name in after if name not in before and name.startswith("bench.")]
    return [name for name in new if getattr(after[name], "__spec__", None) is None]


def _lowered(fact: Fact, before: int, after: int) -> str | None:
    """Many libraries raise the limit."""
    return differs(fact, before, after) if after < before else None


def _gone_from_path(fact: Fact, before: list[str], after: list[str]) -> str | None:
    """One-file plugins may add the folders of their modules; nothing may be taken away."""
    gone = [entry for entry in before if entry not in after]
    return f"{fact.what} without {printable(', '.join(map(repr, gone)), 100)}" if gone else None


def _left_running(_: Fact, before: set[threading.Thread], after: set[threading.Thread]) -> str | None:
    kept = (_KEPT_BY_TQDM, *([_KEPT_BY_COMPILER] if _COMPILER in sys.modules else []))
    started = [it for it in after - before if it.is_alive() and not it.name.startswith(kept)]
    left = [printable(it.name, 40) for it in started if not isinstance(it, threading._DummyThread)]  # not Python's own
    count = f"{len(left)} thread{'s' if len(left) > 1 else ''}"
    return f"{count} running ({printable(', '.join(left), 100)})" if left else None
