"""What a guard answers is checked: anything but a Prediction of the right shapes and types is named in one line."""

from typing import Any

import torch
from torch import Tensor

from bench.plugin.values import Prediction, a_kind


def checked(prediction: Any, count: int, classes: int) -> Prediction:
    """The prediction for ``count`` images of ``classes`` classes, with logits and scores as float32.

    Raises TypeError or ValueError, in one line, for an answer that is not a Prediction of finite logits (B, classes),
    finite scores (B,) or none, and verdicts (B,) bool or none.
    """
    if not isinstance(prediction, Prediction):
        hint = ", such as Prediction(logits)" * isinstance(prediction, Tensor)
        raise TypeError(f"the guard gave {a_kind(prediction)}, expected a Prediction{hint}")
    score, flagged = prediction.score, prediction.flagged
    return Prediction(
        _numbers("logits", prediction.logits, (count, classes)),
        None if score is None else _numbers("score", score, (count,)),
        None if flagged is None else _dense("flagged", flagged, (count,), "bool", (torch.bool,)),
    )


_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def _numbers(name: str, value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``value`` as float32; ValueError unless all of it is finite, also then."""
    numbers = _dense(name, value, shape, "floats", _FLOATS).float()
    if wrong := int((~numbers.isfinite()).sum()):
        raise ValueError(f"{name}: {wrong} of {numbers.numel()} values are not numbers, expected finite float32 values")
    return numbers


def _dense(name: str, value: Tensor, shape: tuple[int, ...], kind: str, types: tuple[torch.dtype, ...]) -> Tensor:
    """``value``, if it is a dense tensor of this shape and of one of these types."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: got a {type(value).__name__}, expected a tensor of {kind} {shape}")
    if value.layout != torch.strided or value.is_nested or value.is_meta:
        layout = "meta" if value.is_meta else "nested" if value.is_nested else str(value.layout).removeprefix("torch.")
        raise TypeError(f"{name}: got a {layout} tensor, expected a dense tensor of {kind} {shape}")
    if value.dtype not in types:
        raise TypeError(f"{name}: got {str(value.dtype).removeprefix('torch.')} values, expected {kind} {shape}")
    if value.shape != shape:
        hint = ", the transpose of it" if len(shape) == 2 and value.shape == shape[::-1] else ""
        raise ValueError(f"{name}: got shape {tuple(value.shape)}, expected {shape}{hint}")
    return value
