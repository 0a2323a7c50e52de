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
    values |= given
    for name in [name for name in values if name not in given]:
        try:
            return plugin(**values)
        except ValidationError:  # below a bound, or it does not go with another parameter: as it was
            del values[name]
    return plugin(**values)
