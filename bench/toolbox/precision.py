"""Computing in bf16 without its faults, and noticing numbers that are none.

oneDNN, which computes PyTorch's convolutions on CPUs, leaves parts of a weight gradient in bf16 unwritten where the
input of a strided convolution is narrower than the stride and some columns of the kernel see nothing but padding: they
hold what the memory held before. ``cpu_bf16`` computes these convolutions in single precision.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Size = int | Sequence[int]


def has_bf16(device: torch.device) -> bool:
    """Whether the hardware computes in bf16, and computes it right."""
    if device.type == "cpu":
        return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


@contextmanager
def cpu_bf16() -> Iterator[None]:
    """Autocast to bf16 on the CPU, except for convolutions whose weight gradient is wrong in it.

    Where gradients are off when it is opened, there is no exception: the outputs are right.
    """
    with torch.autocast("cpu", torch.bfloat16), _NarrowInFloat32() if torch.is_grad_enabled() else nullcontext():
        yield


class _NarrowInFloat32(TorchFunctionMode):
    """Sees every convolution, of whatever module or function, as it is called."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        unwritten = _UNWRITTEN.get(func)
        if unwritten and torch.is_grad_enabled() and torch.is_autocast_enabled("cpu") and unwritten(*args, **kwargs):
            with torch.autocast("cpu", enabled=False):
                output: Tensor = func(*map(_float, args), **{name: _float(value) for name, value in kwargs.items()})
            return output.to(torch.bfloat16)  # as the layers around it have it
        return func(*args, **kwargs)


def _float(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) else value


def _of_convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,  # noqa: ARG001 (the function's own arguments, in its order)
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,  # noqa: ARG001
) -> bool:
    """Whether the weight gradient of the convolution with these arguments has unwritten parts in bf16."""
    if isinstance(padding, str) or not weight.requires_grad:  # by name, padding goes with stride 1 or is none
        return False
    step, pad, space, taps = _last(stride), _last(padding), _last(dilation), weight.shape[-1]
    wide = input.shape[-1]
    return _unseen_columns(wide, (wide + 2 * pad - space * (taps - 1) - 1) // step + 1, taps, step, pad, space)


def _of_transposed(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,  # noqa: ARG001 (the function's own arguments, in its order)
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,  # noqa: ARG001
    dilation: Size = 1,
) -> bool:
    """The same of a transposed convolution: its gradient is that of the convolution from its output to its input."""
    if not weight.requires_grad:
        return False
    step, pad, space, taps = _last(stride), _last(padding), _last(dilation), weight.shape[-1]
    narrow = input.shape[-1]
    wide = (narrow - 1) * step - 2 * pad + space * (taps - 1) + _last(output_padding) + 1
    return _unseen_columns(wide, narrow, taps, step, pad, space)


def _unseen_columns(wide: int, narrow: int, taps: int, step: int, pad: int, space: int) -> bool:
    """Whether a convolution from ``wide`` columns, fewer than its stride, to ``narrow`` has taps on padding only.

    Also from a single column with every tap on it: there the fault was seen now and then, in littered memory.
    """
    if wide >= step or wide == 1:
        return wide < step
    seen = {tap for tap in range(taps) for place in range(narrow) if 0 <= place * step - pad + tap * space < wide}
    return len(seen) < taps


def _last(value: Size) -> int:
    return value if isinstance(value, int) else value[-1]


_UNWRITTEN: dict[Callable[..., Any], Callable[..., bool]] = {
    torch.conv1d: _of_convolution,
    torch.conv2d: _of_convolution,
    torch.conv3d: _of_convolution,
    torch.conv_transpose1d: _of_transposed,
    torch.conv_transpose2d: _of_transposed,
    torch.conv_transpose3d: _of_transposed,
}


def expect_finite(network: nn.Module | Mapping[str, Tensor], whose: str = "", when: str = "") -> None:
    """Raises ValueError, which names the tensor, unless all numbers are finite.

    network: its parameters, their gradients and its persistent buffers are looked at; or tensors by name.
    whose, when: put before the tensor's name and at the message's end.
    """
    tensors = _tensors(network) if isinstance(network, nn.Module) else network.items()
    floats = [(name, value.detach()) for name, value in tensors if value.is_floating_point() or value.is_complex()]
    if not floats or all(torch.stack([value.isfinite().all() for _, value in floats]).tolist()):
        return
    counts = {name: int((~value.isfinite()).sum()) for name, value in floats}
    wrong = {name: count for name, count in counts.items() if count}
    name, count = next(iter(wrong.items()))
    others = f" (as do {len(wrong) - 1} other tensors)" if len(wrong) > 1 else ""
    raise ValueError(f"{whose}{name} holds {count} values that are not finite{others}{when}")


def _tensors(network: nn.Module) -> Iterable[tuple[str, Tensor]]:
    yield from network.state_dict().items()
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            yield f"the gradient of {name}", parameter.grad
