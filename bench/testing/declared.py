"""What every plugin says of itself: a name, a text, a source, parameters with bounds, presets."""

import inspect
import pickle
import sys
from functools import cache
from typing import Any

from pydantic import ValidationError

from bench.errors import RequestError, one_line, shortened
from bench.plan.parameter_check import check_parameters
from bench.plan.presets import problem_of
from bench.plan.registry import Registry
from bench.plugin.base import Plugin
from bench.plugin.parameters import explained
from bench.testing.properties import KINDS, Family, Unmet
from bench.testing.subject import Subject

FAMILY = Family(runs=False)


@FAMILY.property("name", "a name that a selection can write and that no built-in has")
def name(subject: Subject) -> str:
    given: Any = getattr(subject.plugin, "name", None)
    if not (isinstance(given, str) and given.isascii() and given.replace("-", "_").replace(".", "_").isidentifier()):
        raise Unmet(f"name={given!r}", "a class variable of letters, digits, _, . and - that begins with a letter")
    if given == "all" or subject.kind not in KINDS:
        raise Unmet(f"{subject.kind} {given!r}", "another name, of a Dataset, Model, Attack or kind of Defense")
    if not subject.built_in and (subject.kind, given) in _built_in():
        raise Unmet(f"name={given!r}", "a name that no built-in has: the built-in would be run")
    return repr(given)


@FAMILY.property("docstring", "a docstring, of the class or its file, that says what the method is")
def docstring(subject: Subject) -> str:
    module = sys.modules.get(subject.plugin.__module__)
    own = subject.plugin.__dict__.get("__doc__") or ""
    text = inspect.cleandoc(own or getattr(module, "__doc__", None) or "").strip()
    if len(text.split()) < 3:
        raise Unmet(repr(text) if text else "none")
    return repr(shortened(text.partition("\n")[0], 60))


@FAMILY.property("source", "a source: who published it, or that it is the author's own")
def source(subject: Subject) -> str:
    given: Any = subject.plugin.source
    if not (isinstance(given, str) and given.strip()):
        raise Unmet(f"source={given!r}")
    return repr(shortened(given, 60))


@FAMILY.property("described", "a description of every parameter")
def described(subject: Subject) -> str:
    fields = subject.plugin.model_fields
    if missing := [name for name, field in fields.items() if not (field.description or "").strip()]:
        raise Unmet(f"none of {', '.join(missing)}")
    return f"{len(fields)} of {len(fields)}"


@FAMILY.property("defaults", "it is made from its defaults, which keep within its own bounds")
def defaults(subject: Subject) -> str:
    try:
        made = subject.plugin(**subject.given)
        type(made).model_validate(made.model_dump())
    except ValidationError as error:
        raise Unmet(explained(error, subject.plugin.model_fields)) from None
    return ", ".join(f"{name}={getattr(made, name)}" for name in type(made).model_fields)[:60] or "no parameters"


@FAMILY.property("written", "parameters that can be written down, and a plugin that is the same when they are read")
def written(subject: Subject) -> str:
    made = _made(subject)
    try:
        check_parameters(made)
    except RequestError as error:
        raise Unmet(str(error)) from None
    again = subject.plugin(**made.model_dump(mode="json"))
    if again != made:
        raise Unmet(f"{again!r} from what {made!r} was written as")
    return ""


@FAMILY.property("presets", "presets whose values keep within the bounds")
def presets(subject: Subject) -> str:
    if problem := problem_of(subject.plugin):
        raise Unmet(problem)
    return ", ".join(subject.plugin.presets) or "none"


@FAMILY.property("pickling", "it can be pickled, and is the same when it is read")
def pickling(subject: Subject) -> str:
    made = _made(subject)
    try:
        again = pickle.loads(pickle.dumps(made))  # what was pickled here
    except Exception as error:  # whatever a parameter's class raises
        raise Unmet(one_line(error)) from None
    if again != made:
        raise Unmet(f"{again!r}", f"{made!r}")
    return ""


@FAMILY.property("frozen", "its parameters cannot be set after it is made")
def frozen(subject: Subject) -> str:
    if not subject.plugin.model_config.get("frozen") or subject.plugin.model_config.get("extra") != "forbid":
        raise Unmet(f"model_config={subject.plugin.model_config}", "that of bench.Plugin: frozen, extra forbidden")
    return ""


@cache
def _built_in() -> set[tuple[str, str]]:
    registry = Registry(lazily=True)
    return {(kind, entry.name) for kind in KINDS for entry in registry.entries(kind) if entry.is_built_in}


def _made(subject: Subject) -> Plugin:
    return subject.plugin(**subject.given)
