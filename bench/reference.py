"""Reference pages in Markdown, written from the plugins themselves: ``python -m bench.reference attacks``."""

import inspect
import sys
from collections.abc import Iterable

from bench.listing import bound
from bench.plan import spelled
from bench.plugin import Attack, Plugin
from bench.profiles import PROFILES
from bench.registry import Registry

_INTRODUCTIONS = {
    "attack": """\
Every attack that comes with defensebench. *Labels*: whether poisoned images get the target's label (dirty) or keep
their own (clean). *Attacker controls*: the data only, or the training too. *Visible*: whether a person would see the
trigger, as its source has it. The defaults are the published or commonly used settings; a profile may set others, and
every record holds those that were used.""",
}


def page(kind: str, registry: Registry) -> str:
    """The reference page of the built-in plugins of a kind: an overview, then a section each."""
    names = [entry.name for entry in registry.entries(kind) if entry.origin == "built-in"]
    plugins = [registry.load(kind, name) for name in names]
    heads = ["name", "what it is", *_facts(plugins[0])]
    overview = [[f"[{p.name}](#{p.name})", _summary(p), *_facts(p).values()] for p in plugins]
    parts = [
        f"# {kind.capitalize()}s",
        f"<!-- written by `python -m bench.reference {kind}s`: change the plugins, not this page -->",
        _INTRODUCTIONS.get(kind, ""),
        _table(heads, overview),
        *(_section(plugin) for plugin in plugins),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(plugin: type[Plugin]) -> str:
    text = inspect.cleandoc(sys.modules[plugin.__module__].__doc__ or "")
    properties = plugin.model_json_schema()["properties"]
    rows = [
        [f"`{name}`", f"`{spelled(field.default) or 'none'}`", bound(properties[name]), field.description or ""]
        for name, field in plugin.model_fields.items()
    ]
    facts = "; ".join(f"{name}: {value}" for name, value in _facts(plugin).items())
    parts = [f"## {plugin.name}", text, f"Source: {plugin.source}. {facts.capitalize()}. Version {plugin.version}."]
    for name, profile in PROFILES.items():
        own = profile.parameters.get(plugin.name, {})
        if own:
            values = ", ".join(f"`{parameter}={spelled(value)}`" for parameter, value in own.items())
            parts.append(f"In the profile {name}: {values}.")
    return "\n\n".join([*parts, _table(["parameter", "default", "values", "what"], rows)])


def _facts(plugin: type[Plugin]) -> dict[str, str]:
    """What is said of every plugin of a kind, by heading."""
    if issubclass(plugin, Attack):
        maps = bound(plugin.model_json_schema()["properties"]["label_map"]).removesuffix(" only")
        return {
            "labels": "clean" if plugin.clean_label else "dirty",
            "attacker controls": plugin.controls,
            "visible": "yes" if plugin.visible else "no",
            "label maps": maps.replace(" | ", ", "),
        }
    return {}


def _summary(plugin: type[Plugin]) -> str:
    """The first sentence of the plugin's file, without its name."""
    text = inspect.cleandoc(sys.modules[plugin.__module__].__doc__ or "").split("\n\n")[0].replace("\n", " ")
    return text.partition(": ")[2] or text


def _table(heads: list[str], rows: Iterable[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([text.replace("|", "\\|") for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(page(sys.argv[1].removesuffix("s"), Registry()))
