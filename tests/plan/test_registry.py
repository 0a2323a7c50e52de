"""Finding plugins: built-ins, one-file plugins, broken ones, and what a wrong name or parameter says."""

import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest
import tiny

from bench.errors import RequestError
from bench.plan import registry as registry_module
from bench.plan.registry import KINDS, Registry
from bench.plan.selection import parse

MINE = tiny.PLUGIN_FOLDER / "mine.py"


@pytest.fixture
def registry() -> Registry:
    return Registry()


def test_built_ins_are_there(registry):
    names = {kind: [e.name for e in registry.entries(kind)] for kind in ("dataset", "model", "attack", "defense")}
    assert {"mnist5k", "digits", "cifar10"} <= set(names["dataset"])
    assert {"resnet18", "resnet50"} <= set(names["model"])
    assert {"none", "badnets", "blend", "sig", "wanet"} <= set(names["attack"])
    assert {"none", "tac", "bna", "fire", "fine_pruning"} <= set(names["defense"])
    assert all(e.problem is None and e.summary for kind in names for e in registry.entries(kind))


def test_every_built_in_says_where_it_comes_from(registry):
    for kind in ("dataset", "model", "attack", "defense"):
        for entry in registry.entries(kind):
            assert registry.load(kind, entry.name).source, entry.name


def test_a_file_is_a_plugin():
    registry = Registry([MINE])
    assert registry.problems == []
    assert registry.entry("defense", "mine").summary == "Leaves everything as it is."
    assert registry.create("defense", "mine", {"strength": 2}).strength == 2.0


def test_an_edited_file_is_another_version(plugin_file):
    first = Registry([MINE]).version("defense", "mine")
    second = Registry([plugin_file("mine", MINE.read_text() + "\n# edited\n")]).version("defense", "mine")
    assert first != second
    assert first.startswith("1+")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x = 1", "expected a class of kind"),
        ("raise RuntimeError('boom\\nbang')", "RuntimeError: boom bang"),
        ("class A(", "SyntaxError"),
        (MINE.read_text().replace('"mine"', '"tac"'), "built-in has one of that name"),
    ],
)
def test_a_broken_file_breaks_only_itself(plugin_file, text, complaint):
    registry = Registry([plugin_file("broken", text), MINE])
    [problem] = registry.problems
    assert complaint in problem
    assert "\n" not in problem
    assert registry.entry("defense", "mine")
    assert registry.entry("defense", "tac").origin == "built-in"


def test_a_missing_file_is_named(tmp_path):
    [problem] = Registry([tmp_path / "gone.py"]).problems
    assert "gone.py" in problem
    assert "no such file" in problem


def test_a_broken_entry_point_is_listed_as_broken(monkeypatch):
    real = registry_module.entry_points

    def with_broken():
        points = [point for kind in KINDS for point in real(group=f"bench.{kind}s")]
        return EntryPoints([*points, EntryPoint("gone", "no_such_package.module:Thing", "bench.defenses")])

    monkeypatch.setattr(registry_module, "entry_points", with_broken)
    registry = Registry()
    [broken] = [entry for entry in registry.entries("defense") if entry.problem]
    assert broken.name == "gone"
    assert "no_such_package" in broken.problem
    assert "gone" not in registry.select("defense", parse("all")[0])
    with pytest.raises(RequestError, match="broken"):
        registry.load("defense", "gone")


@pytest.mark.parametrize(
    ("name", "parameters", "complaint"),
    [
        ("badnet", {}, "unknown attack 'badnet': did you mean 'badnets'"),
        ("zzz", {}, "unknown attack 'zzz': there are none, adaptive_blend"),
        ("badnets", {"poison_rate": 0.1}, "unknown parameter 'poison_rate': did you mean 'poisoning_rate'"),
        ("badnets", {"poisoning_rate": 2}, "poisoning_rate=2: expected less than 1"),
        ("badnets", {"size": "x"}, "size=x: expected a valid integer"),
        ("badnets", {"label_map": "some"}, "label_map=some: expected 'all-to-one', 'all-to-all' or 'several'"),
        ("sig", {"label_map": "all-to-all"}, "label_map=all-to-all: expected 'all-to-one'"),
    ],
)
def test_a_wrong_request_is_one_line_with_what_was_expected(registry, name, parameters, complaint):
    with pytest.raises(RequestError) as caught:
        registry.create("attack", name, parameters)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_globs_select_and_an_empty_one_is_refused(registry):
    assert registry.select("attack", parse("b*")[0]) == ["badnets", "blend", "bpp"]
    with pytest.raises(RequestError, match="matches none"):
        registry.select("attack", parse("zz*")[0])


def test_a_plugin_that_cannot_be_imported_is_left_out_of_all(monkeypatch):
    monkeypatch.setitem(sys.modules, "bench.attacks.wanet", None)  # makes its import fail
    registry = Registry()
    assert "wanet" not in registry.select("attack", parse("all")[0])
    [line] = registry.skipped
    assert "attack 'wanet' is broken" in line
    with pytest.raises(RequestError, match="broken"):
        registry.select("attack", parse("wanet")[0])


def test_several_values_of_one_parameter_are_written_with_plus(registry):
    models = registry.create("defense", "bna", parse("bna[trigger_models=patch+additive]")[0].parameters).trigger_models
    assert models == ("patch", "additive")
    assert registry.create("defense", "bna", {"trigger_models": "warp"}).trigger_models == ("warp",)
    with pytest.raises(RequestError, match="trigger_models"):
        registry.create("defense", "bna", {"trigger_models": "patch+hat"})


def test_a_plugin_that_needs_a_parameter_is_not_part_of_all(registry):
    assert "image_folder" not in registry.select("dataset", parse("all")[0])
    assert "timm" not in registry.select("model", parse("*")[0])
    assert registry.select("model", parse("timm[name=densenet121]")[0]) == ["timm"]
