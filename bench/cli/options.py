"""The options of the commands, made from the models that define them; and a study file put together with them."""

import inspect
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import CoercionError, CycloptsError, Group, Parameter, UnknownOptionError

from bench.engine.options import RunOptions, read_options
from bench.errors import OptionError, RequestError, shortened
from bench.plan.option_help import form_of, group_of, help_of
from bench.plan.option_types import Options, unknown_option, wrong_value
from bench.plan.request import Request

REQUEST = tuple(Request.model_fields)
EVERY = (*REQUEST, *RunOptions.model_fields)
_LARGEST_STUDY = 1_000_000  # bytes
_DEFAULT = re.compile(r" \(default: [^()]*\)")

Command = TypeVar("Command", bound=Callable[..., Any])


def with_options(
    names: Iterable[str],
    models: tuple[type[Options], ...] = (Request, RunOptions),
    *,
    without_default: Collection[str] = (),
) -> Callable[[Command], Command]:
    """Give a command these options of the models in place of its ``**options``, which then hold those that were set.

    All but switches arrive as text, so that the models alone read them. ``without_default``: options that do nothing
    where they are not given, so that the help does not name their default.
    """
    fields = {name: field for model in models for name, field in model.model_fields.items()}
    titles = list(dict.fromkeys(group_of(field) for field in fields.values()))
    groups = {group: Group(group.title, help=group.help, sort_key=place) for place, group in enumerate(titles)}
    parameters = []
    for name in names:
        form = form_of(fields[name])
        kind: Any = bool if form is None else list[str] if form.repeatable else str
        shown = Parameter(
            help=_DEFAULT.sub("", help_of(fields[name])) if name in without_default else help_of(fields[name]),
            group=groups[group_of(fields[name])],
            metavar=form.placeholder if form else None,
            negative="",
            show_default=False,
        )
        parameters.append(
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, shown]
            )
        )

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command)
        own = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        command.__signature__ = signature.replace(parameters=[*own, *parameters])  # type: ignore[attr-defined]
        return command

    return decorate


def merge_options(
    study: Path | None,
    typed: Mapping[str, Any],
    request: type[Request] = Request,
    run: type[RunOptions] = RunOptions,
) -> tuple[Request, RunOptions]:
    """What a study file and the command line say together; the command line wins. Raises RequestError."""
    written = _read_study(study) if study else {}
    typed = {name: value[0] if isinstance(value, list) and len(value) == 1 else value for name, value in typed.items()}
    try:
        return read_options({**written, **typed}, request, run)
    except OptionError as error:
        if error.option in written and error.option not in typed:
            raise RequestError(f"study {study}: {error}") from None
        raise


def complaint(error: CycloptsError) -> str:
    """A wrong command line in one line: in the words that a study file gets, where it could have the same fault."""
    if isinstance(error, UnknownOptionError):
        name = (error.token.keyword or error.token.value).partition("=")[0]
        names = [option.lstrip("-") for argument in error.argument_collection for option in argument.names]
        return str(unknown_option(name.lstrip("-"), names))
    if isinstance(error, CoercionError) and error.target_type is bool and error.token and error.token.keyword:
        return str(wrong_value(error.token.keyword.lstrip("-"), error.token.value, "true or false"))
    return " ".join(str(error).split())


def _read_study(path: Path) -> dict[str, Any]:
    """The options in a TOML file. Plugins and victims are named relative to the file."""
    named = f"study {shortened(str(path))}"
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_STUDY + 1)
        if len(text) > _LARGEST_STUDY:
            raise RequestError(f"{named}: expected at most {_LARGEST_STUDY} bytes")
        written = tomllib.loads(text.decode())
    except OSError as error:
        raise RequestError(f"{named}: cannot be read as TOML: {error.strerror}") from error
    except RequestError:
        raise
    except ValueError as error:  # not TOML, not UTF-8, an integer of 5,000 digits, a NUL in the path
        raise RequestError(f"{named}: cannot be read as TOML: {shortened(str(error))}") from error
    except RecursionError:
        raise RequestError(f"{named}: cannot be read as TOML: it is nested too deep") from None
    for name in {"plugin", "victims"} & set(written):
        files = written[name] if isinstance(written[name], list) else [written[name]]
        if all(isinstance(file, str) and file for file in files):
            written[name] = [str(path.parent / file) for file in files]
    return written
