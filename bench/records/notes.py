"""What is noted with a cell, checked when it is written: plain values within bounds, and the types of typed notes.

Every function raises TypeError or ValueError, in one line that names the note, for what does not fit.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from bench.records.columns import MOST_JSON
from bench.records.note_types import BY_HARNESS, KINDS
from bench.records.texts import LONGEST, neutral, printable

DEEPEST = 20  # lists and dictionaries within each other
MOST_VALUES = 1_000_000  # of all notes of a cell
LONGEST_NAME = 200  # characters
_KINDS_OF_VALUES = "a number, a string, a bool, None, or lists and string-keyed dictionaries of them"


def free(name: object, value: object) -> Any:
    """``value`` as JSON has it, a copy: tensors and numpy values as numbers, tuples as lists, texts printable.

    Accepted are finite numbers, strings of at most ``LONGEST`` characters, bools, None, and lists and string-keyed
    dictionaries of them, ``DEEPEST`` within each other and ``MOST_VALUES`` at most.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a note: got a {_kind(name)}, expected a string")
    if not name or printable(name, LONGEST_NAME) != name:
        raise ValueError(f"note {printable(name, 40)!r}: expected a name of 1 to {LONGEST_NAME} printable characters")
    return _Plain(name).of(value, ())


def typed(name: str, value: object) -> Any:
    """``value`` of the typed note ``name`` (``bench.records.note_types``), as JSON has it."""
    try:
        return KINDS[name].model_validate(value).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = printable("".join(f"{part}: " for part in first["loc"]), 60)
        message = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"note {name!r}: {place}{printable(message, 300)}") from None


def of_plugin(noted: object, plugin: str) -> dict[str, Any]:
    """All that a ``plugin`` noted, by name, checked again as it may have been changed since; the message names both."""
    try:
        if not isinstance(noted, Mapping):
            raise TypeError(f"the notes: got a {_kind(noted)}, expected a dictionary")
        return {name: _noted(name, value) for name, value in noted.items()}
    except TypeError as error:
        raise TypeError(f"{plugin}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{plugin}: {error}") from None


def to_json(noted: Mapping[str, Any]) -> str:
    """Checked notes as a record keeps them."""
    text = json.dumps(noted, allow_nan=False)
    if len(text) > MOST_JSON:
        sizes = {name: len(json.dumps(value)) for name, value in noted.items()}
        largest = max(sizes, key=sizes.__getitem__)
        raise ValueError(f"note {largest!r}: {sizes[largest]} characters, expected {MOST_JSON} at most for all notes")
    return text


def _noted(name: object, value: object) -> Any:
    if name in BY_HARNESS:
        raise ValueError(f"note {name!r}: expected another name; this one is reserved for the harness")
    return typed(str(name), value) if name in KINDS else free(name, value)


class _Plain:
    """Makes the value of one note plain."""

    def __init__(self, name: str) -> None:
        self.name, self.count = name, 0

    def of(self, value: Any, path: tuple[Any, ...]) -> Any:
        self._count(1, path)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, int | float):
            return self._number(value, path)
        if len(path) > DEEPEST:
            raise ValueError(f"{self._place(path)}: expected at most {DEEPEST} lists or dictionaries in each other")
        if isinstance(value, list | tuple):
            return [self.of(one, (*path, index)) for index, one in enumerate(value)]
        if isinstance(value, Mapping):
            return {self._key(key, path): self.of(one, (*path, key)) for key, one in value.items()}
        return self.of(self._listed(value, path), path)

    def _text(self, value: str, path: tuple[Any, ...]) -> str:
        if len(value) > LONGEST:
            raise ValueError(f"{self._place(path)}: a text of {len(value)} characters, expected at most {LONGEST}")
        return neutral(value)

    def _number(self, value: float, path: tuple[Any, ...]) -> float:
        if isinstance(value, int):
            if abs(value) >= 2**63:
                raise ValueError(f"{self._place(path)}: an integer beyond 2^63, expected a smaller one")
            return int(value)
        if not math.isfinite(value):
            raise ValueError(
                f"{self._place(path)}: {float(value)}, expected a finite number, or None where there is none"
            )
        return float(value)

    def _key(self, key: object, path: tuple[Any, ...]) -> str:
        if not isinstance(key, str):
            raise TypeError(f"{self._place(path)}: a key is a {_kind(key)}, expected strings as keys")
        if printable(key, LONGEST_NAME) != key:
            raise ValueError(f"{self._place(path)}: expected keys of at most {LONGEST_NAME} printable characters")
        return str(key)

    def _listed(self, value: Any, path: tuple[Any, ...]) -> Any:
        """A tensor or an array as numbers; anything else is refused."""
        try:
            size = math.prod(value.shape)
        except Exception:  # the class may be anybody's
            raise TypeError(f"{self._place(path)}: got a {_kind(value)}, expected {_KINDS_OF_VALUES}") from None
        self._count(size, path)
        try:
            listed = value.tolist()
        except Exception as error:  # of a sparse, nested or meta tensor
            raise TypeError(f"{self._place(path)}: a {_kind(value)} that gives no numbers ({error})") from None
        if not isinstance(listed, bool | int | float | str | list):
            raise TypeError(f"{self._place(path)}: {_kind(value)} of {_kind(listed)}, expected {_KINDS_OF_VALUES}")
        self.count -= size  # they are counted when they are looked at
        return listed

    def _count(self, more: int, path: tuple[Any, ...]) -> None:
        self.count += more
        if self.count > MOST_VALUES:
            raise ValueError(f"{self._place(path[:1])}: expected at most {MOST_VALUES} values")

    def _place(self, path: tuple[Any, ...]) -> str:
        inner = "".join(f"[{printable(part, 40) if isinstance(part, str) else part}]" for part in path[:4])
        return f"note {self.name!r}{inner}{'[…]' if len(path) > 4 else ''}"


def _kind(value: object) -> str:
    return printable(type(value).__name__, 60)
