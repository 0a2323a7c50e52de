"""What plugins say of themselves: for ``bench show NAME``, and as reference pages in Markdown.

``python -m bench.cli.plugin_pages attacks`` prints the page docs/attacks.md.
"""

import inspect
import sys
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any, cast

from rich.markup import escape
from rich.table import Table
from torch import nn

from bench.plan.profiles import PROFILES
from bench.plan.registry import Registry
from bench.plugin import Defense, Oracle, Repair, Runtime
from bench.plugin.attack import Attack
from bench.plugin.base import Case, Plugin
from bench.plugin.dataset import Dataset
from bench.plugin.model import Model
from bench.plugin.parameters import Preset, bound, spelled, written
from bench.plugin.values import ImageSpec

_INTRODUCTIONS = {
    "attack": """\
Every attack that comes with defensebench. *Labels*: whether poisoned images get the target's label (dirty) or keep
their own (clean). *Attacker controls*: the data only, or the training too. *Visible*: whether a person would see the
trigger, as its source has it. The profile `paper` has the published settings, each with its source
([profiles](profiles.md)); every record holds the values that were used. Where the published form controls the training
and the default the data only, `poisons=batches` is the published form; the column `controls` of a record says which
was run.""",
    "defense": """\
Every defense that comes with defensebench. A *repair* changes the network once; a *runtime* defense leaves it as it is
and guards inference; an *oracle* is no defense but a column to compare with, which is told what no defender knows and
is never ranked. *Given*: what the defender has in hand, and nothing else. *On a ViT*: whether it works on a network
without convolutions and batch normalisation. The defaults are our own form of a method; the profile `paper` has the
published settings, each with its source ([profiles](profiles.md)). Every record holds the values that were used.""",
    "model": """\
Every architecture that comes with defensebench, and any of timm's by its name there. Networks take images in [0, 1];
image size, patch size and stem are fitted to the data set.""",
    "dataset": """\
Every data set that comes with defensebench, and a folder of one's own. They lie where `--data` or `DEFENSEBENCH_DATA`
says, are downloaded there at first use and checked by hash, and are decoded once into `decoded/` beside them, which may
be deleted at any time. Every data set takes `train_size`.""",
}
_KINDS = {"repair": Repair, "runtime": Runtime, "oracle": Oracle}
_FEW = ImageSpec(1, 16, 16, classes=5, mean=(0.5,), std=(0.25,))
_GIVEN = {"none": "nothing", "clean": "clean images", "suspects": "clean and suspected images"}


def description(plugin: type[Plugin], presets: Mapping[str, Preset]) -> list[Any]:
    """What ``bench show`` prints of a plugin, as lines for rich: documentation, parameters and ``presets``."""
    text = inspect.cleandoc(plugin.__doc__ if "__doc__" in vars(plugin) and plugin.__doc__ else "")
    head = f"[bold]{plugin.kind} {plugin.name}[/bold]  version {plugin.version}  {escape(plugin.source)}"
    facts = [escape(_words(_attack_facts(plugin)))] if issubclass(plugin, Attack) else []
    lines: list[Any] = [head, *facts, "", *(escape(part) + "\n" for part in (_module_text(plugin), text) if part)]
    if plugin.model_fields:
        lines.append(_rich_table(("parameter", "default", "values", "what"), _parameters(plugin)))
    if presets:
        rows = [
            [written(plugin.name, {}, name), ", ".join(_assignments(preset)) or "the defaults", preset.what]
            for name, preset in presets.items()
        ]
        lines += ["", _rich_table(("preset", "its values", "what"), rows)]
    return [*lines, ""]


def _rich_table(headings: tuple[str, ...], rows: Iterable[list[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in headings:
        table.add_column(column, header_style="dim", no_wrap=column not in ("what", "its values"))
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def page(kind: str, registry: Registry) -> str:
    """The reference page of the built-in plugins of a kind: an overview, then a section for each."""
    names = [entry.name for entry in registry.entries(kind) if entry.origin == "built-in"]
    plugins = [registry.load(kind, name) for name in names]
    facts = {plugin.name: _facts(plugin, registry) for plugin in plugins}
    overview = [[f"[{p.name}](#{p.name})", _summary(p), *facts[p.name].values()] for p in plugins]
    parts = [
        f"# {kind.capitalize()}s",
        f"<!-- written by `python -m bench.cli.plugin_pages {kind}s`: change the plugins, not this page -->",
        _INTRODUCTIONS.get(kind, ""),
        _table(["name", "what it is", *facts[names[0]]], overview),
        *(_section(plugin, facts[plugin.name], registry) for plugin in plugins),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(plugin: type[Plugin], facts: dict[str, str], registry: Registry) -> str:
    parts = [
        f"## {plugin.name}",
        _module_text(plugin),
        ". ".join(filter(None, [f"Source: {plugin.source}", _words(facts), f"Version {plugin.version}."])),
    ]
    if issubclass(plugin, Defense) and (refusal := _refusal(plugin, registry)):
        parts.append(f"It declines a ViT: {refusal}.")
    presets = registry.presets(plugin.kind, plugin.name)
    for name, profile in PROFILES.items():
        own = profile.parameters.get(plugin.name, {})
        if own and name not in presets:
            parts.append(f"In the profile {name}: {_marked(own)}.")
    for name, preset in presets.items():
        also = ", and the profile of that name" * (name in PROFILES)
        parts.append(f"Preset `{written(plugin.name, {}, name)}`{also}: {_marked(preset)}.")
    rows = [[f"`{name}`", f"`{default or 'none'}`", *rest] for name, default, *rest in _parameters(plugin)]
    parts.append(_table(["parameter", "default", "values", "what"], rows) if rows else "It has no parameters.")
    return "\n\n".join(parts)


def _assignments(values: Mapping[str, Any]) -> list[str]:
    return [f"{name}={spelled(value)}" for name, value in values.items()]


def _marked(values: Mapping[str, Any]) -> str:
    """Parameters with their values, in Markdown."""
    return ", ".join(f"`{text}`" for text in _assignments(values)) or "the defaults"


def _parameters(plugin: type[Plugin]) -> list[list[str]]:
    """Name, default, possible values and description of every parameter."""
    properties = plugin.model_json_schema()["properties"]
    return [
        [name, spelled(field.default), bound(properties[name]), field.description or ""]
        for name, field in plugin.model_fields.items()
    ]


def _facts(plugin: type[Plugin], registry: Registry) -> dict[str, str]:
    """What is said of every plugin of a kind, by heading."""
    if issubclass(plugin, Attack):
        return _attack_facts(plugin)
    if issubclass(plugin, Defense):
        kind = next(word for word, base in _KINDS.items() if issubclass(plugin, base))
        return {"kind": kind, "given": _given(plugin), "on a ViT": "no" if _refusal(plugin, registry) else "yes"}
    return {}


def _attack_facts(plugin: type[Attack]) -> dict[str, str]:
    maps = bound(plugin.model_json_schema()["properties"]["label_map"]).removesuffix(" only")
    return {
        "labels": "clean" if plugin.clean_label else "dirty",
        "attacker controls": plugin.controls
        + f" (published: {plugin.published_controls})" * bool(plugin.published_controls),
        "visible": "yes" if plugin.visible else "no",
        "label maps": maps.replace(" | ", ", "),
    }


def _words(facts: dict[str, str]) -> str:
    """Facts as one line."""
    words = "; ".join(f"{name}: {value}" for name, value in facts.items())
    return words[:1].upper() + words[1:]


def _given(plugin: type[Defense]) -> str:
    return _GIVEN[plugin.knowledge] + " and the secret" * issubclass(plugin, Oracle)


def _refusal(plugin: type[Defense], registry: Registry) -> str | None:
    """Why the defense declines a vision transformer, or None if it does not."""
    attack = cast(Attack, registry.create("attack", "none", {}))
    case = Case(cast(Dataset, SimpleNamespace(spec=_FEW)), cast(Model, _Transformer()), attack, plugin())
    return case.defense.unsupported(case)


class _Transformer:
    """A vision transformer as a model plugin would build it, only smaller."""

    def build(self, spec: ImageSpec) -> nn.Module:
        import timm

        return timm.create_model(
            "vit_tiny_patch16_224",
            img_size=spec.height,
            patch_size=4,
            in_chans=spec.channels,
            num_classes=spec.classes,
            embed_dim=24,
            depth=2,
            num_heads=2,
        )


def _summary(plugin: type[Plugin]) -> str:
    """The first paragraph of the plugin's file, without its name."""
    text = _module_text(plugin).split("\n\n")[0].replace("\n", " ")
    return text.partition(": ")[2] or text


def _module_text(plugin: type[Plugin]) -> str:
    return inspect.cleandoc(sys.modules[plugin.__module__].__doc__ or "")


def _table(headings: list[str], rows: Iterable[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *([text.replace("|", "\\|") for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(page(sys.argv[1].removesuffix("s"), Registry()))
