"""Profiles: ``paper`` is what the table of published settings says, for every parameter of every built-in plugin."""

import csv
import hashlib
import re
from itertools import pairwise
from pathlib import Path

import pytest

from bench.plan import identity
from bench.plan.plan import make_plan
from bench.plan.profiles import PROFILES
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.plan.selection import parse
from bench.plugin.parameters import spelled

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "published-settings.csv"
DATA = ROOT / "bench" / "plan" / "paper.toml"
FILLED_IN = {"classes", "shape", "crop", "flip"}  # from the data set
REGISTRY = Registry()
BUILT_IN = {
    entry.name: kind
    for kind in ("attack", "defense")
    for entry in REGISTRY.entries(kind)
    if entry.is_built_in and entry.name != "none"  # it does nothing, with whatever parameters
}

with TABLE.open(newline="", encoding="utf-8") as file:
    ROWS = list(csv.DictReader(file))


def written(text: str) -> object:
    """What the table's value is in a selection; an empty one is an empty list."""
    return parse(f"any[value={text}]")[0].parameters["value"] if text else ()


def made(plugin: str, **changes: object):
    """The plugin under the profile paper, with ``changes``."""
    parameters = {**PROFILES["paper"].parameters.get(plugin, {}), **changes}
    return REGISTRY.create(BUILT_IN[plugin], plugin, parameters)


def test_the_table_has_every_parameter_of_every_built_in_plugin_once():
    expected = {
        (name, parameter)
        for name, kind in BUILT_IN.items()
        for parameter in REGISTRY.load(kind, name).model_fields
        if parameter not in FILLED_IN
    }
    listed = [(row["plugin"], row["parameter"]) for row in ROWS]
    assert set(listed) == expected
    assert len(listed) == len(expected)


@pytest.mark.parametrize("plugin", BUILT_IN)
def test_the_profile_has_the_tables_values(plugin):
    for row in ROWS:
        if row["plugin"] == plugin:
            name = row["parameter"]
            of_table = getattr(made(plugin, **{name: written(row["value"])}), name)
            assert spelled(getattr(made(plugin), name)) == spelled(of_table), name


def test_every_value_has_a_source_and_a_choice_between_sources_its_reason():
    assert all(row["source"].strip() for row in ROWS)
    disputed = [row for row in ROWS if "; paper" in row["source"] or "; the paper" in row["source"]]
    assert disputed
    assert [row for row in disputed if not row["why"].strip()] == []


def test_the_data_file_has_only_values_that_differ_and_a_source_beside_each():
    parameters = PROFILES["paper"].parameters
    assert parameters
    for plugin, values in parameters.items():
        kind = BUILT_IN.get(plugin, "model")
        fields, with_them = REGISTRY.load(kind, plugin).model_fields, REGISTRY.create(kind, plugin, values)
        same = [name for name in values if getattr(with_them, name) == fields[name].default]
        assert not same, f"{plugin}: {same} are the defaults"
    lines = DATA.read_text(encoding="utf-8").splitlines()
    assignments = [line for line in lines if " = " in line and not line.startswith("#")]
    assert len(assignments) == sum(map(len, parameters.values()))
    without = [line for line, next_line in pairwise([*lines, ""]) if line.startswith("[") and " = " not in next_line]
    assert all(line.partition("  # ")[2].strip() for line in [*assignments, *without])


def test_every_plugin_with_a_published_value_has_its_table_in_the_data_file():
    """Else a run would say that there is no published setting of it."""
    published = {row["plugin"] for row in ROWS if re.search("BackdoorB|authors' code|paper|et al|arXiv", row["source"])}
    of_our_own = {"norm_evader"}  # badnets with another training
    assert published - of_our_own == set(PROFILES["paper"].parameters) & set(BUILT_IN)


def test_under_the_profile_every_plugin_goes_by_its_bare_name(tmp_path):
    plan = make_plan(Request(profile="paper", seeds="0"), REGISTRY, tmp_path)
    for kind in ("attack", "defense"):
        labels = {cell.refs[kind].label for cell in plan.cells}
        assert labels == {entry.name for entry in REGISTRY.entries(kind) if not entry.problem}
    augmented = {cell.defense.parameters["crop"] for cell in plan.cells if cell.defense.parameters.get("augment")}
    assert augmented == {4}  # as the victims on CIFAR-10


def test_fine_tuning_on_reference_images_augments_them_and_takes_the_published_epochs():
    for plugin in ("ft", "ft_sam", "fine_pruning", "nad", "nc"):
        assert (made(plugin).augment, made(plugin).epochs) == (True, 100), plugin


def test_what_is_left_out_of_a_key_is_the_default():
    """A worker makes the plugin from the parameters in the key: one that is left out has its default there."""
    for name, kind in BUILT_IN.items():
        for parameter, field in REGISTRY.load(kind, name).model_fields.items():
            if field.exclude_if is not None:
                assert field.exclude_if(field.default), f"{name}: {parameter}"
    for profile in PROFILES.values():
        for name, values in profile.parameters.items():
            kind = BUILT_IN.get(name, "model")
            plugin = REGISTRY.create(kind, name, values)
            assert REGISTRY.create(kind, name, plugin.model_dump(mode="json")) == plugin, name


def test_a_plugin_with_its_defaults_or_those_of_quick_has_the_parameters_that_it_always_had():
    """Parameters that were added later are left out. If this fails, stored results of the profile quick are void:
    raise the version of the plugin that changed, and only then the value here.
    """
    parameters = {}
    for name, kind in BUILT_IN.items():
        for profile in ({}, PROFILES["quick"].parameters.get(name, {})):
            plugin = REGISTRY.create(kind, name, profile)
            parameters.setdefault(name, []).append(plugin.model_dump(mode="json"))
    assert hashlib.sha256(identity.canonical(parameters).encode()).hexdigest()[:16] == "aae395b3e4ed1f87"


def test_on_cpus_tac_and_bna_have_their_own_form_beside_the_published_one():
    asked = {"attacks": "badnets", "datasets": "digits", "seeds": 0, "reference": 40, "profile": "cpu"}
    made = make_plan(Request(defenses="tac,tac[paper],bna,bna[paper],ft,ft[paper]", **asked), Registry(), Path())
    shown = {cell.defense.label: cell.defense.parameters for cell in made.cells}
    assert set(shown) == {"tac", "tac[paper]", "bna", "bna[paper]", "ft", "ft[paper]"}
    filled_in = {name: shown["tac"].pop(name) for name in ("crop", "flip")}
    assert filled_in == {"crop": 0, "flip": False}  # as the digits have them
    assert shown["tac"] == REGISTRY.create("defense", "tac", {}).model_dump(mode="json")
    assert shown["ft"] == shown["ft[paper]"] | {"epochs": 20, "learning_rate": 0.1}
