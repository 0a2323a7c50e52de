"""What is said of options: their groups and descriptions, in the help of the command line and in docstrings."""

import inspect
import textwrap
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pydantic.fields import FieldInfo

from bench.plan.option_types import Form, OptionGroup, Options

Function = TypeVar("Function", bound=Callable[..., Any])


def group_of(field: FieldInfo) -> OptionGroup:
    """The heading under which an option stands in the help."""
    return next(part for part in field.metadata if isinstance(part, OptionGroup))


def form_of(field: FieldInfo) -> Form | None:
    """How an option is written on the command line; None for one that takes no value."""
    parts = [*_parts(field.annotation), *field.metadata]
    if bool in parts:
        return None
    choices = [part for part in parts if get_origin(part) is Literal]
    if choices:
        names = get_args(choices[0])
        return Form(names[0] if len(names) == 1 else "NAME")
    return [part for part in parts if isinstance(part, Form)][-1]  # the field's own comes after that of its type


def help_of(field: FieldInfo) -> str:
    """The description of an option, with its default where there is one that can be written down."""
    value = f"{field.default:g}" if isinstance(field.default, float) else field.default
    default = "" if field.default in (None, False, ()) else f" (default: {value})"
    return f"{(field.description or '').removesuffix('.')}{default}."


def documented(*models: type[Options]) -> Callable[[Function], Function]:
    """Let the signature and the docstring of a function list the options of these models in place of ``**options``."""

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        own = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        options = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hint)
            for model in models
            for (name, field), hint in zip(model.model_fields.items(), _plain_types(model), strict=True)
        ]
        function.__signature__ = signature.replace(parameters=[*options, *own])  # type: ignore[attr-defined]
        function.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\n{_listed(models)}"
        return function

    return decorate


def _plain_types(model: type[Options]) -> list[Any]:
    hints = get_type_hints(model)
    return [hints[name] for name in model.model_fields]


def _listed(models: Iterable[type[Options]]) -> str:
    """All options under the titles of their groups, with what the command line's help says of them."""
    fields = {name: field for model in models for name, field in model.model_fields.items()}
    lines: list[str] = []
    for group in dict.fromkeys(map(group_of, fields.values())):
        lines += [f"{group.title}:", *textwrap.wrap(group.help, 100, initial_indent="    ", subsequent_indent="    ")]
        lines += [f"    {name}: {help_of(field)}" for name, field in fields.items() if group_of(field) == group]
    return "\n".join(lines)


def _parts(hint: Any) -> list[Any]:
    """A type with everything that it is made of."""
    inner = [] if get_origin(hint) is Literal else get_args(hint)
    return [hint, *(part for one in inner for part in _parts(one))]
