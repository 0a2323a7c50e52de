"""Faulty plugins, each with one mistake: the kit names it by the property that is broken, and finds no other."""

import inspect

import pytest
import torch
from plugins import faulty_defenses, faulty_others, faulty_undocumented

from bench.plugin import Plugin
from bench.testing import examine, properties_of, subject_of
from bench.testing.properties import Finding
from bench.testing.subject import Subject

SOUND = [faulty_defenses.Sound, faulty_others.White, faulty_others.Small, faulty_others.Dots]
FAULTY = [
    value
    for module in (faulty_defenses, faulty_others, faulty_undocumented)
    for value in vars(module).values()
    if inspect.isclass(value) and value.__module__ == module.__name__ and getattr(value, "breaks", "")
]


def named(plugin: type[Plugin], name: str) -> Finding:
    [of] = [one for one in properties_of(plugin.kind) if one.name == name]
    [finding] = examine(subject_of(plugin), [of])
    return finding


@pytest.mark.parametrize("plugin", FAULTY, ids=lambda plugin: plugin.__name__)
def test_a_planted_mistake_is_named_by_its_property(plugin):
    finding = named(plugin, plugin.breaks)
    assert finding.status == "failed", finding
    assert finding.found
    assert finding.expected
    assert "\n" not in str(finding)


def test_at_least_twenty_mistakes_are_planted_and_they_break_most_of_the_properties():
    assert len(FAULTY) >= 20
    broken = {(plugin.kind, plugin.breaks) for plugin in FAULTY}
    assert len(broken) >= len(FAULTY) - 2
    defenses = {one.name for one in properties_of("defense")}
    assert defenses - {name for kind, name in broken if kind == "defense"} <= {
        "written",
        "import",
        "name",
    }  # a name is looked at when the class is made


@pytest.mark.parametrize("plugin", SOUND, ids=lambda plugin: plugin.__name__)
def test_a_plugin_without_a_mistake_has_every_property(plugin):
    findings = list(examine(subject_of(plugin), [one for one in properties_of(plugin.kind) if one.name != "import"]))
    assert [str(finding) for finding in findings if finding.status == "failed"] == []
    assert sum(finding.status == "ok" for finding in findings) > 15


@pytest.mark.slow
@pytest.mark.parametrize("plugin", FAULTY, ids=lambda plugin: plugin.__name__)
def test_no_property_is_named_that_is_not_broken(plugin):
    without = [one for one in properties_of(plugin.kind) if one.name != "import"]
    failed = {finding.property.name for finding in examine(subject_of(plugin), without) if finding.status == "failed"}
    assert failed == {plugin.breaks, *getattr(plugin, "entails", ())}


def test_what_a_plugin_changes_is_put_back_before_the_next_property():
    before = torch.get_default_dtype(), torch.get_rng_state()
    subject = Subject(faulty_defenses.LeavesState)
    list(examine(subject, [one for one in properties_of("defense") if one.name in ("state", "runs")]))
    assert torch.get_default_dtype() == before[0]
    assert "A_DEFENSE_WAS_HERE" not in __import__("os").environ
