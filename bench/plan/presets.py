"""Presets: the named sets of parameters that a plugin declares, whether they are sound, and what a wrong name says.

The preset ``paper`` of the built-in plugins is what ``paper.toml`` holds of them.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bench.errors import RequestError, one_line, shortened
from bench.plan.blame import named
from bench.plan.parameter_check import check_parameters, split_values
from bench.plan.profiles import PUBLISHED
from bench.plan.selection import is_preset_name
from bench.plugin.parameters import Preset, bound, explained_detail, unknown

if TYPE_CHECKING:
    from bench.plugin.base import Plugin

_PUBLISHED = "the published setting, which the profile paper takes; docs/published-settings.csv has the sources"


def presets_of(plugin: "type[Plugin]", *, built_in: bool) -> dict[str, Preset]:
    """The presets of a sound plugin by name, with their values as the plugin is made with them."""
    presets = {}
    if built_in and plugin.name in PUBLISHED:
        presets["paper"] = Preset(_PUBLISHED, **PUBLISHED[plugin.name])
    for name, values in plugin.presets.items():
        presets[name] = Preset(getattr(values, "what", ""), **values)
    return {name: Preset(preset.what, **split_values(plugin, preset)) for name, preset in presets.items()}


@lru_cache(1000)
def problem_of(plugin: "type[Plugin]") -> str | None:
    """What is wrong with the presets that a plugin's class declares, with preset and parameter; None if nothing is."""
    try:
        presets: Any = plugin.presets
        if not isinstance(presets, Mapping):
            return f"presets={_shown(presets)}: expected a dictionary of presets"
        for name, values in presets.items():
            if problem := _problem(plugin, name, values):
                return f"preset {_shown(name)}: {problem}"
    except Exception as error:  # whatever a class has there, and whatever its own checks raise
        return f"presets: {one_line(error)}"
    return None


def unknown_preset(plugin: "type[Plugin]", name: str, presets: Mapping[str, Preset]) -> RequestError:
    """The error for a word in brackets that is none of a plugin's ``presets``."""
    fields, given = plugin.model_fields, _shown(name)
    start = named(plugin)
    if name in fields:
        values = bound(plugin.model_json_schema()["properties"][name])
        return RequestError(f"{start}: {given} is a parameter and has no value here; expected {name}=value: {values}")
    if presets:
        near = get_close_matches(name, presets, n=3, cutoff=0.5)
        there = f"{'there are' if len(presets) > 1 else 'there is'} {', '.join(presets)}"
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else there
    else:
        hint = "it has none"
    parameter = get_close_matches(name, fields, n=1, cutoff=0.7)
    hint += f"; {parameter[0]}=value sets a parameter" if parameter else ""
    return RequestError(f"{start}: unknown preset {given}: {hint}")


def _problem(plugin: "type[Plugin]", name: Any, values: Any) -> str | None:
    from pydantic import ValidationError

    fields = plugin.model_fields
    if not (isinstance(name, str) and is_preset_name(name)):
        return "expected a name of letters, digits, _, . and - that begins with a letter"
    if name in fields:
        return "a parameter has this name; expected another"
    if not (isinstance(values, Mapping) and all(isinstance(parameter, str) for parameter in values)):
        return f"{_shown(values)}: expected a dictionary of parameters"
    if strange := next((parameter for parameter in values if parameter not in fields), None):
        return unknown("parameter", strange, fields)
    try:
        check_parameters(plugin(**split_values(plugin, values)))
    except ValidationError as error:
        wrong = [detail for detail in error.errors() if detail["type"] != "missing"]  # those are for the request
        return explained_detail(wrong[0], fields) if wrong else None
    except RequestError as error:
        return str(error).removeprefix(f"{named(plugin)}: ")
    return None


def _shown(value: Any) -> str:
    return shortened(" ".join(repr(value).split()))
