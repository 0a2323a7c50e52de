"""The parameters that a plugin is examined with: its own, but with little to compute.

A plugin may say what they are by a preset named ``check``. Else they are those of the profile quick, for a built-in,
and every whole number that says how often something is done, or on how many images, is lowered.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from bench.plan.profiles import PROFILES
from bench.plugin.base import Plugin

PRESET = "check"
OFTEN = {  # the last word of a parameter's name, and what is little of it
    "epochs": 2,
    "steps": 2,
    "rounds": 1,
    "iterations": 2,
    "passes": 1,
    "controls": 1,
    "overlays": 8,
    "images": 20,
    "width": 8,
}


def quick(plugin: type[Plugin], given: Mapping[str, Any], *, built_in: bool) -> Plugin:
    """The plugin with the parameters ``given`` and, for the others, little to compute.

    Raises what its constructor raises for ``given`` alone.
    """
    if PRESET in plugin.presets:
        return plugin(**{**plugin.presets[PRESET], **given})
    values: dict[str, Any] = dict(PROFILES["quick"].parameters.get(plugin.name, {})) if built_in else {}
    for name, field in plugin.model_fields.items():
        default = values.get(name, field.default)
        few = OFTEN.get(name.rpartition("_")[2])
        if few is not None and type(default) is int and default > few:
            values[name] = few
    lowered = {name: value for name, value in values.items() if name not in given}
    while lowered:
        try:
            return plugin(**{**lowered, **given})
        except ValidationError as error:  # below a bound, or it does not go with another parameter: as it was
            wrong = {str(detail["loc"][0]) for detail in error.errors() if detail["loc"]} & lowered.keys()
            for name in wrong or set(lowered):
                del lowered[name]
    return plugin(**given)
