"""Models that are any network of a library, by its name there: ``timm[name=…]``, ``torchvision[name=…]``."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, ClassVar

from pydantic import SerializerFunctionWrapHandler, model_serializer

from bench.plugin import Model, RequestError


class OfLibrary(Model):
    """Base of a model with a parameter ``architecture``, the network's name in the library.

    It is name= wherever it is written, by this serializer and by an alias of the field: a plugin has a ``name`` of its
    own.
    """

    by_name_only: ClassVar[bool] = True

    @model_serializer(mode="wrap")
    def _as_written(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = dump(self)
        return {{"architecture": "name"}.get(field, field): value for field, value in values.items()}


def unknown_architecture(library: str, name: str, known: Sequence[str], expected: str) -> RequestError:
    """What to raise for a name that the library does not know: with the nearest one, or with what was ``expected``."""
    nearest = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"expected {expected}"
    return RequestError(f"{library}: unknown architecture name={name}: {hint}")
