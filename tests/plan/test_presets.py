"""Presets: what a selection with one stands for, what it is called, and what is wrong with a wrong one."""

from pathlib import Path

import pytest

from bench.errors import RequestError
from bench.plan import recipes
from bench.plan.plan import Plan, make_plan
from bench.plan.profiles import PROFILES, PUBLISHED
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.plan.selection import Choice, parse
from bench.plugin.parameters import bound

MINE = """
from typing import ClassVar, Literal
from pydantic import Field
from bench import Attack, Preset, Repair

class Mine(Repair):
    name: ClassVar[str] = "mine"
    presets: ClassVar = {
        "paper": {"strength": 2.0, "kinds": "a+b"},
        "strong": Preset("for deep networks", strength=3),
    }
    strength: float = Field(1.0, gt=0, le=9)
    kinds: tuple[Literal["a", "b"], ...] = Field(("a",))
    times: int = Field(1, ge=1)

    def repair(self, model, known, context):
        return model

class Needy(Mine):
    name: ClassVar[str] = "needy"
    presets: ClassVar = {"usual": {"n": 3}, "half": {"times": 2}}
    n: int = Field(ge=1)

class Bare(Mine):
    name: ClassVar[str] = "bare"
    presets: ClassVar = {}

class Spot(Attack):
    name: ClassVar[str] = "spot"
    presets: ClassVar = {"paper": {"poisoning_rate": 0.25}}

    def trigger(self, images, context):
        return images
"""


BUILT_IN = Registry()


@pytest.fixture(scope="module")
def registry(tmp_path_factory) -> Registry:
    file = tmp_path_factory.mktemp("plugins") / "mine.py"
    file.write_text(MINE)
    return Registry([file])


def planned(registry: Registry, defenses: str, **options: object) -> Plan:
    usual = {"attacks": "badnets", "datasets": "digits", "models": "resnet18[width=4]", "reference": 40, "seeds": 0}
    return make_plan(Request(defenses=defenses, **{**usual, **options}), registry, Path())


def labels(plan: Plan, kind: str = "defense") -> list[str]:
    return list(dict.fromkeys(cell.refs[kind].label for cell in plan.cells))


def test_a_word_without_a_value_is_a_preset_and_may_be_swept():
    assert parse("tac[paper], b*[paper , beta=1]") == [Choice("tac", {}, "paper"), Choice("b*", {"beta": 1}, "paper")]
    assert parse("tac[beta=1|2,paper|other]") == [
        Choice("tac", {"beta": beta}, preset) for preset in ("paper", "other") for beta in (1, 2)
    ]


def test_a_preset_has_its_values_and_a_parameter_beside_it_wins(registry):
    plain, changed = (cell.defense.parameters for cell in planned(registry, "mine[paper],mine[paper,strength=4]").cells)
    assert plain == {"strength": 2.0, "kinds": ["a", "b"], "times": 1}
    assert changed == plain | {"strength": 4.0}


@pytest.mark.parametrize(
    ("selected", "label"),
    [
        ("mine[paper]", "mine[paper]"),
        ("mine[times=2,paper]", "mine[paper,times=2]"),
        ("mine[paper,strength=2]", "mine[paper]"),  # what the preset says anyway
        ("mine[paper,strength=1]", "mine[paper,strength=1]"),  # the default, from which the preset differs
        ("needy[usual]", "needy[usual]"),
        ("needy[usual,n=4]", "needy[usual,n=4]"),
        ("needy[half,n=4]", "needy[half,n=4]"),
    ],
)
def test_the_label_has_the_preset_and_what_differs_from_it(registry, selected, label):
    assert labels(planned(registry, selected)) == [label]


def test_a_preset_is_no_part_of_the_identity(registry):
    for first, other in [
        ("mine[paper]", "mine[strength=2,kinds=a+b]"),
        ("mine[kinds=b+a]", "mine[paper,strength=1,kinds=b+a]"),
    ]:
        both = planned(registry, f"{first},{other}")
        assert labels(both) == [first]
        assert both.cells[0].key == planned(registry, other).cells[0].key


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_preset_means_the_same_in_every_profile(name):
    """Under ``quick`` too the published setting is whole: nothing of that profile's own stays in it."""
    kind = next(kind for kind in ("attack", "defense", "model") if name in {e.name for e in BUILT_IN.entries(kind)})

    def parameters(selected: str, profile: str) -> dict[str, object]:
        asked = {"defenses": "none", "datasets": "cifar10", "profile": profile, f"{kind}s": selected}
        return planned(BUILT_IN, **asked).cells[0].refs[kind].parameters

    for profile in PROFILES:
        assert parameters(f"{name}[paper]", profile) == parameters(name, "paper")


def test_every_kind_can_have_presets_and_a_profile_takes_that_of_its_name(registry):
    plan = planned(registry, "mine", attacks="spot,spot[paper]", profile="paper")
    assert (labels(plan, "attack"), labels(plan)) == (["spot"], ["mine"])
    assert plan.cells[0].victim.attack.parameters["poisoning_rate"] == 0.25
    assert plan.cells[0].defense.parameters["kinds"] == ["a", "b"]
    assert plan.notes == ()
    quick = planned(registry, "mine", attacks="spot")
    assert (quick.cells[0].victim.attack.parameters["poisoning_rate"], quick.notes) == (0.1, ())


def test_a_profiles_values_are_for_built_in_plugins_only(plugin_file):
    """Another plugin may have the name of a built-in one of another kind."""
    text = MINE.replace('"mine"', '"lira"').replace('"paper"', '"mild"')
    plan = planned(Registry([plugin_file("mine", text)]), "lira", profile="paper")
    assert plan.cells[0].defense.parameters["strength"] == 1


@pytest.mark.parametrize(
    ("selected", "complaint"),
    [
        ("mine[papr]", "defense 'mine': unknown preset 'papr': did you mean 'paper'?"),
        ("mine[zzz]", "defense 'mine': unknown preset 'zzz': there are paper, strong"),
        ("none[paper]", "defense 'none': unknown preset 'paper': it has none"),
        ("m*[papr]", "defense 'mine': unknown preset 'papr'"),
        ("mine[time]", "unknown preset 'time': there are paper, strong; times=value sets a parameter"),
        ("mine[paper,other]", "selection 'mine[paper,other]': 'paper' and 'other' have no values"),
        ("mine[strength=2,]", "cannot read ''; expected param=value or a preset's name"),
        ("mine[paper,strength=20]", "strength=20: expected less than or equal to 9"),
    ],
)  # fmt: skip
def test_a_wrong_preset_is_one_line_with_the_nearest_name(registry, selected, complaint):
    with pytest.raises(RequestError) as caught:
        planned(registry, selected)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_parameter_without_a_value_is_called_one_with_its_bounds(registry):
    fields = registry.load("defense", "mine").model_json_schema()["properties"]
    for name, schema in fields.items():
        with pytest.raises(RequestError) as caught:
            planned(registry, f"mine[{name}]")
        assert str(caught.value).startswith(f"defense 'mine': {name!r} is a parameter and has no value")
        assert str(caught.value).endswith(f"expected {name}=value: {bound(schema)}")


@pytest.mark.parametrize(
    ("presets", "complaint"),
    [
        ('{"p": {"strengh": 1}}', "preset 'p': unknown parameter 'strengh': did you mean 'strength'?"),
        ('{"q": {}, "p": {"strength": 0}}', "preset 'p': strength=0: expected greater than 0"),
        ('{"p": {"kinds": "a+c"}}', "preset 'p': kinds.1=c: expected 'a' or 'b'"),
        ('{"p": {"strength": float("inf")}}', "preset 'p': strength=inf: expected less than or equal to 9"),
        ('{"times": {}}', "preset 'times': a parameter has this name; expected another"),
        ('{"a b": {}}', "preset 'a b': expected a name of letters"),
        ("{3: {}}", "preset 3: expected a name of letters"),
        ('{"p": 3}', "preset 'p': 3: expected a dictionary of parameters"),
        ('{"p": {3: 3}}', "preset 'p': {3: 3}: expected a dictionary of parameters"),
        ('["p"]', "presets=['p']: expected a dictionary of presets"),
        ("3", "presets=3: expected a dictionary of presets"),
    ],
)
def test_a_mistake_in_a_preset_names_plugin_preset_and_parameter_and_breaks_only_that_plugin(
    plugin_file, presets, complaint
):
    text = MINE.replace("presets: ClassVar = {}", f"presets: ClassVar = {presets}")
    registry = Registry([plugin_file("mine", text)])
    with pytest.raises(RequestError) as caught:
        planned(registry, "bare")
    assert str(caught.value).startswith(f"defense 'bare' is broken: {complaint}")
    assert "\n" not in str(caught.value)
    assert registry.entry("defense", "mine").problem is None
    assert {entry.name for entry in registry.entries("defense") if entry.problem} == {"bare"}
    assert labels(planned(registry, "mine*,b*"))[0] == "mine"


def test_an_installed_plugin_with_a_wrong_preset_is_broken_too(monkeypatch):
    from bench.defenses.clp import CLP

    class Wrong(CLP):
        presets = {"tight": {"u": -1}}  # noqa: RUF012

    monkeypatch.setattr("bench.defenses.clp.CLP", Wrong)
    with pytest.raises(RequestError, match=r"^defense 'clp' is broken: preset 'tight': u=-1: expected greater than 0$"):
        planned(Registry(), "clp")


def test_what_the_request_must_set_may_be_missing_in_a_preset(registry):
    assert labels(planned(registry, "needy[half,n=1]")) == ["needy[half,n=1]"]
    with pytest.raises(RequestError, match=r"defense 'needy': n="):
        planned(registry, "needy[half]")


@pytest.mark.parametrize(
    ("defenses", "attacks", "noted"),
    [
        ("none", "none", []),
        ("tac,strip", "badnets", []),  # of strip the defaults are the published setting
        ("retrain", "badnets", []),  # it has no parameters
        ("bare", "norm_evader", ["attack 'norm_evader'", "defense 'bare'"]),
        ("bare[strength=1|2],bare", "badnets", ["defense 'bare'"]),  # once
        ("bare[strength=1,kinds=a,times=1]", "badnets", []),  # all are given
        ("needy[usual],mine", "badnets", []),
    ],
)
def test_under_the_profile_paper_a_plugin_without_a_published_setting_is_named(registry, defenses, attacks, noted):
    lines = [f"profile paper: no published setting of {name}: its defaults are used" for name in noted]
    assert list(planned(registry, defenses, attacks=attacks, profile="paper").notes) == lines
    assert planned(registry, defenses, attacks=attacks).notes == ()


def test_a_model_of_our_own_form_is_named_too(registry):
    [line] = planned(registry, "none", models="resnet18,mobilenet_v3", profile="paper").notes
    assert line == "profile paper: no published setting of model 'mobilenet_v3': its defaults are used"


def test_a_recipe_has_no_presets():
    with pytest.raises(RequestError, match=r"--recipes fast\[paper\]: a recipe has no presets; expected param=value"):
        recipes.chosen("fast[paper]")
