"""From selections to plugins, with the parameters of presets and profiles, fitted to data and images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.errors import RequestError, shortened
from bench.plan import identity
from bench.plan.blame import named
from bench.plan.labels import label
from bench.plan.parameter_check import check_parameters
from bench.plan.profiles import Profile
from bench.plan.registry import Registry
from bench.plan.selection import Choice, choices
from bench.plan.stages import Ref
from bench.plugin.base import Plugin


@dataclass(frozen=True)
class Chosen:
    """A plugin, and what stands for it in a stage."""

    plugin: Plugin
    ref: Ref


class Chooser:
    """Turns selections into plugins, and collects all of them in ``plugins``, by kind and identity.

    notes: what to say of the plugins, a line each.
    """

    def __init__(self, registry: Registry, profile: Profile) -> None:
        self.registry, self.profile = registry, profile
        self.plugins: dict[tuple[str, str], Plugin] = {}
        self.notes: dict[str, None] = {}

    def choose(self, kind: str, selected: "str | tuple[Any, ...]") -> list[Chosen]:
        """The plugins of a selection, each once."""
        chosen: dict[str, Chosen] = {}
        for choice in choices(kind, selected):
            for name in self.registry.select(kind, choice):
                defaults = self._defaults(kind, name, choice)
                plugin = self.registry.create(kind, name, {**defaults, **choice.parameters})
                ref = self._ref(plugin, label(plugin, defaults, choice.preset, self.registry))
                chosen.setdefault(identity.canonical(ref.identity), Chosen(plugin, ref))
        return list(chosen.values())

    def _defaults(self, kind: str, name: str, choice: Choice) -> Mapping[str, Any]:
        """What the parameters that a choice leaves open are, if not the plugin's own defaults: those of its preset.

        Without one, the profile's. A preset stands in the profile's place, so that it means the same in every profile.
        """
        if choice.preset is not None:
            return self.registry.preset(kind, name, choice.preset)
        built_in = self.registry.entry(kind, name).is_built_in
        known = self.profile.parameters if built_in else {}
        if name not in known and self.profile.preset is not None:
            presets = self.registry.presets(kind, name)
            known = {name: presets[self.profile.preset]} if self.profile.preset in presets else {}
            fields = self.registry.load(kind, name).model_fields
            if not known and kind != "dataset" and name != "none" and set(fields) - set(choice.parameters):
                line = f"profile {self.profile.preset}: no published setting of {kind} {name!r}: its defaults are used"
                self.notes[line] = None
        return known.get(name, {})

    def fitted(self, chosen: list[Chosen], method: str, what: Any) -> list[Chosen]:
        """The plugins that their ``method`` makes of the chosen ones for ``what``, with the labels of these."""
        fitted = []
        for choice in chosen:
            with self.registry.asking(choice.plugin.kind, choice.plugin.name, method):
                plugin = getattr(choice.plugin, method)(what)
            if not isinstance(plugin, type(choice.plugin)):
                given = shortened(repr(plugin))
                raise RequestError(f"{named(choice.plugin)}: {method} gave {given}: expected a plugin")
            check_parameters(plugin)
            fitted.append(Chosen(plugin, self._ref(plugin, choice.ref.label)))
        return fitted

    def _ref(self, plugin: Plugin, label: str) -> Ref:
        kind, name = plugin.kind, plugin.name
        version, code = self.registry.version(kind, name), self.registry.fingerprint(kind, name)
        foreign = not self.registry.entry(kind, name).is_built_in
        parameters, shown = plugin.model_dump(mode="json"), (plugin.title, plugin.bibtex)
        ref = Ref(kind, name, version, parameters, label, foreign, plugin.places, code, *shown)
        self.plugins[plugin.kind, identity.canonical(ref.identity)] = plugin
        return ref
