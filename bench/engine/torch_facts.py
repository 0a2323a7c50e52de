"""What a stage could change in torch, beside functions. The getters are bound at import: before any plugin is."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.nn.modules import module as modules

from bench.engine.fact import Fact

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


_PRECISION = getattr(torch._C, "_get_fp32_precision_getter", None)


def torch_facts() -> Iterator[Fact]:
    """Modes, flags, precisions and hooks."""
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
    if _PRECISION is not None:
        yield Fact("torch's precision of fp32", _precisions, _set_precisions)  # after the flags, which set it, too
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


def _precisions() -> dict[str, str]:
    return {"/".join(of): _PRECISION(*of) for of in _PRECISIONS} if _PRECISION else {}


def _set_precisions(value: dict[str, str]) -> None:
    for of, precision in zip(_PRECISIONS, value.values(), strict=True):
        torch._C._set_fp32_precision_setter(*of, precision)


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
