"""A reader of pickles that runs no code of theirs: they may hold numbers, texts, bytes, lists, dicts and numpy arrays.

A pickle names the functions that it is put together by; none of them is called here. Not even numpy sees what it says
before it was checked: numpy trusts the types and flags in a pickle. MD5 sums, by which the official files are known, do
not protect from somebody who makes two files with the same one.
"""

import io
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def load(content: bytes) -> dict[Any, Any]:
    """The pickled dict, whose values may be arrays. Texts of Python 2 are read as Latin-1.

    Raises ValueError for anything else than such data.
    """
    try:
        made = _DataUnpickler(io.BytesIO(content), encoding="latin1").load()
        if type(made) is not dict:
            raise ValueError(f"it holds a {type(made).__name__}, expected a dict")
        return {name: value.array() if isinstance(value, _Array) else value for name, value in made.items()}
    except Exception as error:  # a damaged pickle raises nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"not a pickle of plain data: {reason[:200]}") from error


class _DataUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _StandIn(_STAND_INS[module, name])


class _StandIn:
    """What is called instead of the function that a pickle names. Nothing can be set on it."""

    __slots__ = ("_make",)
    _make: Callable[..., Any]

    def __init__(self, make: Callable[..., Any]) -> None:
        object.__setattr__(self, "_make", make)

    def __call__(self, *given: Any) -> Any:
        return self._make(*given)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError("it changes a function")


class _Number:
    """The type of an array's elements, such as u1, with the byte order that the pickle sets."""

    def __init__(self, name: str, *_: Any) -> None:
        if not isinstance(name, str) or name[:1] not in tuple("biuf") or not name[1:].isdecimal():
            raise pickle.UnpicklingError("it holds an array of other things than numbers")
        self._name, self._order = name, "="

    def __setstate__(self, state: Any) -> None:
        self._order = state[1]
        if self._order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("it holds an array in an unknown byte order")

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self._order + self._name)


class _Array:
    """An array: made empty, and then given its shape, type, order of axes and bytes."""

    def __init__(self, *_: Any) -> None:
        self._state: Any = None

    def __setstate__(self, state: Any) -> None:
        self._state = state

    def array(self) -> NDArray[Any]:
        _, shape, number, fortran, content = self._state
        if not isinstance(number, _Number) or type(shape) is not tuple:
            raise ValueError("it holds an array without a type or a shape")
        content = content.encode("latin-1") if isinstance(content, str) else content
        if type(content) is not bytes or len(content) != math.prod(shape) * number.dtype.itemsize:
            raise ValueError(f"it holds an array {shape} without the bytes of one")
        return np.frombuffer(content, number.dtype).reshape(shape, order="F" if fortran else "C")


def _encode(text: str, encoding: str) -> bytes:
    """Bytes, as protocol 2 writes them."""
    if encoding not in ("latin1", "latin-1") or not isinstance(text, str):
        raise pickle.UnpicklingError("it holds bytes in an unusual encoding")
    return text.encode("latin-1")


_STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Number,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("_codecs", "encode"): _encode,
}
