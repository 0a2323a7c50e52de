"""Reference pages in Markdown, written from the plugins themselves: ``python -m bench.cli.plugin_pages attacks``."""

import inspect
import sys
from collections.abc import Iterable
from types import SimpleNamespace
from typing import cast

import timm
from torch import nn

from bench.attacks.none import NoAttack
from bench.plan.profiles import PROFILES
from bench.plan.registry import Registry
from bench.plugin import Defense, Oracle, Repair, Runtime
from bench.plugin.attack import Attack
from bench.plugin.base import Case, Plugin
from bench.plugin.dataset import Dataset
from bench.plugin.model import Model
from bench.plugin.parameters import bound, spelled
from bench.plugin.values import ImageSpec

_INTRODUCTIONS = {
    "attack": """\
Every attack that comes with defensebench. *Labels*: whether poisoned images get the target's label (dirty) or keep
their own (clean). *Attacker controls*: the data only, or the training too. *Visible*: whether a person would see the
trigger, as its source has it. The defaults are the published or commonly used settings; a profile may set others, and
every record holds those that were used.""",
    "defense": """\
Every defense that comes with defensebench. A *repair* changes the network once; a *runtime* defense leaves it as it is
and guards inference; an *oracle* is no defense but a column to compare with, which is told what no defender knows and
is never ranked. *Given*: what the defender has in hand, and nothing else. *On a ViT*: whether it works on a network
without convolutions and batch normalisation. The defaults are the published or commonly used settings where they are
known; a profile may set others, and every record holds those that were used.""",
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


def page(kind: str, registry: Registry) -> str:
    """The reference page of the built-in plugins of a kind: an overview, then a section each."""
    names = [entry.name for entry in registry.entries(kind) if entry.origin == "built-in"]
    plugins = [registry.load(kind, name) for name in names]
    heads = ["name", "what it is", *_facts(plugins[0])]
    overview = [[f"[{p.name}](#{p.name})", _summary(p), *_facts(p).values()] for p in plugins]
    parts = [
        f"# {kind.capitalize()}s",
        f"<!-- written by `python -m bench.cli.plugin_pages {kind}s`: change the plugins, not this page -->",
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
    parts = [
        f"## {plugin.name}",
        text,
        f"Source: {plugin.source}. {facts[:1].upper()}{facts[1:]}. Version {plugin.version}.",
    ]
    if issubclass(plugin, Defense) and (refusal := _refusal(plugin)):
        parts.append(f"It declines a ViT: {refusal}.")
    for name, profile in PROFILES.items():
        own = profile.parameters.get(plugin.name, {})
        if own:
            values = ", ".join(f"`{parameter}={spelled(value)}`" for parameter, value in own.items())
            parts.append(f"In the profile {name}: {values}.")
    parts.append(_table(["parameter", "default", "values", "what"], rows) if rows else "It has no parameters.")
    return "\n\n".join(parts)


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
    if issubclass(plugin, Defense):
        kind = next(word for word, base in _KINDS.items() if issubclass(plugin, base))
        return {"kind": kind, "given": _given(plugin), "on a ViT": "no" if _refusal(plugin) else "yes"}
    return {}


def _given(plugin: type[Defense]) -> str:
    return _GIVEN[plugin.knowledge] + " and the secret" * issubclass(plugin, Oracle)


def _refusal(plugin: type[Defense]) -> str | None:
    """Why the defense declines a vision transformer."""
    case = Case(cast(Dataset, SimpleNamespace(spec=_FEW)), cast(Model, _Transformer()), NoAttack(), plugin())
    return case.defense.unsupported(case)


class _Transformer:
    """A vision transformer as a model plugin would build it, only small."""

    def build(self, spec: ImageSpec) -> nn.Module:
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
    """The first sentence of the plugin's file, without its name."""
    text = inspect.cleandoc(sys.modules[plugin.__module__].__doc__ or "").split("\n\n")[0].replace("\n", " ")
    return text.partition(": ")[2] or text


def _table(heads: list[str], rows: Iterable[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([text.replace("|", "\\|") for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(page(sys.argv[1].removesuffix("s"), Registry()))
