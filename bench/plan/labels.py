"""How tables name a plugin with its parameters."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from bench.plan.registry import Registry
from bench.plugin.base import Plugin
from bench.plugin.parameters import spelled, written


def label(plugin: Plugin, defaults: Mapping[str, Any], preset: str | None, registry: Registry) -> str:
    """The plugin's name in tables, with its preset, and those parameters that are not the defaults.

    The ``defaults`` are the preset's, else the profile's, and the plugin's own for the rest.
    """
    fields, values = type(plugin).model_fields, plugin.model_dump()
    required = {name: values[name] for name, field in fields.items() if field.is_required()}
    try:
        with registry.apart((plugin.kind, plugin.name)):
            usual_plugin = type(plugin)(**{**required, **defaults})
        usual = usual_plugin.model_dump()
    except ValidationError:  # parameters that go together: without the others, what is required is refused
        usual = {}
    left_out = {name: fields[name].default for name in fields if name not in values and name in usual}
    shown = {
        name: value
        for name, value in (values | left_out).items()  # a dump leaves out a later parameter that has its default
        if (name in required and not (preset and name in defaults)) or name not in usual or value != usual[name]
    }
    return written(plugin.name, {name: spelled(value) for name, value in shown.items()}, preset)
