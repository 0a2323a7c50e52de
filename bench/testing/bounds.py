"""What every plugin does at the bounds of its parameters, and beyond them."""

import math
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from bench.errors import RequestError, one_line
from bench.testing.properties import Family, Unmet
from bench.testing.samples import BASE
from bench.testing.subject import Subject

FAMILY = Family(runs=False)
Schema = dict[str, Any]


@FAMILY.property("bounds", "it is made, and fitted to images or refused, with every parameter at each of its bounds")
def bounds(subject: Subject) -> str:
    tried = 0
    for name, value in _values(subject, inside=True):
        tried += 1
        try:
            made = subject.plugin(**{**subject.given, name: value})
            if subject.kind != "dataset" and not isinstance(value, bool):  # a switch may ask for a download
                made.resolve(BASE.spec)
        except RequestError:
            continue  # that it does not fit these images, in words
        except ValidationError as error:
            if any(detail["loc"] for detail in error.errors()):  # else it does not go with the others
                raise Unmet(f"that {name}={value!r} is refused, which is within its bounds") from None
        except Exception as error:
            raise Unmet(f"that {name}={value!r} raises {one_line(error)}") from None
    return f"{tried} value{'s' * (tried != 1)}"


@FAMILY.property("beyond", "values beyond the bounds are refused, and so is a parameter that it does not have")
def beyond(subject: Subject) -> str:
    tried = 0
    for name, value in [*_values(subject, inside=False), ("no_such_parameter", 1)]:
        tried += 1
        try:
            subject.plugin(**{**subject.given, name: value})
        except (ValidationError, RequestError):
            continue
        except Exception as error:
            raise Unmet(f"that {name}={value!r} raises {one_line(error)}", "a line that says what is allowed") from None
        raise Unmet(f"that {name}={value!r} is taken")
    return f"{tried} value{'s' * (tried != 1)}"


def _values(subject: Subject, *, inside: bool) -> Iterator[tuple[str, Any]]:
    """Names of parameters with values at their bounds, or just beyond them."""
    schema = subject.plugin.model_json_schema(by_alias=False)
    for name, part in schema.get("properties", {}).items():
        options = [_resolved(option, schema) for option in part.get("anyOf", [part])]
        for option in options:
            several = option.get("type") == "array" and isinstance(option.get("items"), dict)
            of = _resolved(option["items"], schema) if several else option
            found = list(_inside(of) if inside else _beyond(of))
            if inside or len(options) == 1 or all(one.get("type") in (of.get("type"), "null") for one in options):
                yield from (
                    (name, (value,) * max(1, option.get("minItems", 1)) if several else value) for value in found
                )


def _resolved(part: Schema, schema: Schema) -> Schema:
    reference = part.get("$ref", "")
    inner: Schema = schema.get("$defs", {}).get(reference.rpartition("/")[2], part)
    return inner


def _inside(part: Schema) -> Iterator[Any]:
    yield from part.get("enum", [])
    if part.get("type") == "boolean":
        yield from (False, True)
    if part.get("type") not in ("integer", "number"):
        return
    whole = part["type"] == "integer"
    for name, towards in (("minimum", math.inf), ("maximum", -math.inf)):
        if name in part:
            yield part[name] if not whole else int(part[name])
        exclusive = f"exclusive{name.capitalize()}"
        if exclusive in part:
            limit = part[exclusive]
            yield int(limit + math.copysign(1, towards)) if whole else _near(limit, towards)


def _beyond(part: Schema) -> Iterator[Any]:
    if "enum" in part and part.get("type", "string") == "string":
        yield "no such choice"
    if part.get("type") not in ("integer", "number"):
        return
    whole = part["type"] == "integer"
    for name, away in (("minimum", -math.inf), ("maximum", math.inf)):
        if name in part:
            limit = part[name]
            yield int(limit + math.copysign(1, away)) if whole else _near(limit, away)
        if (exclusive := f"exclusive{name.capitalize()}") in part:
            yield int(part[exclusive]) if whole else part[exclusive]


def _near(limit: float, towards: float) -> float:
    """A number close to a bound, which plain arithmetic can still tell from it."""
    return limit + math.copysign(max(abs(limit), 1.0) * 1e-3, towards)
