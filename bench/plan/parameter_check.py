"""A plugin's parameters as a request gives them, and whether they can be written down: what cannot has no key."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_origin

from bench.errors import RequestError, shortened
from bench.plan import identity
from bench.plugin.parameters import explained_detail

if TYPE_CHECKING:
    from bench.plugin.base import Plugin

_LONGEST_PARAMETER = 100_000  # characters


def check_parameters(plugin: "Plugin") -> None:
    """Raises RequestError, naming the parameter, for one whose value cannot be written down: it would have no key."""
    for name in type(plugin).model_fields:
        value = getattr(plugin, name, None)
        try:
            written = identity.canonical(plugin.model_dump(mode="json", include={name}))
            fits = len(written) <= _LONGEST_PARAMETER
        except (ValueError, TypeError, RecursionError):  # pydantic's error for an object is a ValueError
            fits = False
        if not fits or (isinstance(value, str) and shortened(value, len(value)) != value):
            given = f"{plugin.kind} {plugin.name!r}: {name}={_shown(value)}"
            raise RequestError(f"{given}: expected finite numbers, text, or a list of them")


def default_problem(plugin: "type[Plugin]") -> str | None:
    """What is wrong with a default of a plugin's class, with the parameter's name; None if nothing is."""
    from pydantic import ValidationError

    fields = plugin.model_fields
    defaults = {
        name: field.default
        for name, field in fields.items()
        if not field.is_required() and field.default_factory is None
    }
    try:
        plugin(**defaults)
    except ValidationError as error:
        wrong = [one for one in error.errors() if one["loc"] and one["loc"][0] in defaults]
        return f"default of {explained_detail(wrong[0], fields)}" if wrong else None
    except KeyboardInterrupt:
        raise
    except BaseException:  # of its own checks: said when it is made
        return None
    return None


def split_values(plugin: "type[Plugin]", values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of parameters; for one that takes several, ``a+b`` becomes a list, and so does a single value."""
    return {name: _split(plugin, name, value) for name, value in values.items()}


def _split(plugin: "type[Plugin]", name: str, value: Any) -> Any:
    field = plugin.model_fields.get(name)
    if field is None or get_origin(field.annotation) is not tuple or isinstance(value, tuple | list):
        return value
    return value.split("+") if isinstance(value, str) else (value,)


def _shown(value: Any) -> str:
    try:
        return shortened(" ".join(str(value).split()))
    except Exception:  # an integer of 5,000 digits, or an object of anybody's class
        return f"(a {type(value).__name__})"
