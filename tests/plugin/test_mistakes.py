"""What an author gets wrong is answered by one line that names the rule, in the same words wherever the class is."""

from importlib.metadata import EntryPoint, EntryPoints

import pytest
import tiny

import bench
from bench.errors import RequestError
from bench.plan import registry as registry_module
from bench.plan.registry import Registry

HEAD = """
from typing import ClassVar
import torch
from pydantic import Field
from torch import nn
from bench import Attack, Dataset, Defense, Model, Plugin, Prediction, Repair, Runtime
"""
PLUGIN = """
class {cls}({base}):
    name: ClassVar[str] = "{name}"
    {field}
    def {method}({arguments}):
        {body}
"""
ARGUMENTS = {"trigger": "self, images, context", "build": "self, spec"}


def text_of(cls="Mine", base="Repair", name="mine", field="pass", method="repair", body="return model") -> str:
    arguments = ARGUMENTS.get(method, "self, model, known, context")
    return PLUGIN.format(**locals())


GOOD = text_of()
IN_THE_CLASS = {  # what is wrong with it, and what is said after its name
    "a misspelt method": (
        text_of(method="repare"),
        "repair(self, model, known, context) is missing: 'repare' looks like 'repair'",
    ),
    "the method of another kind": (
        text_of(method="guard"),
        "repair(self, model, known, context) is missing: it has guard, as a Runtime has",
    ),
    "no method": (text_of(method="defend"), "repair(self, model, known, context) is missing: it has defend"),
    "several methods": (text_of(base="Dataset"), "load(self, folder) and spec are missing"),
    "a method with too few arguments": (
        GOOD.replace(", context", ""),
        "repair(self, model, known): expected repair(self, model, known, context)",
    ),
    "an optional method with too few": (
        GOOD + "    def unsupported(self): return None",
        "unsupported(self): expected unsupported(self, case)",
    ),
    "the name as a parameter": (
        GOOD.replace("ClassVar[str]", "str"),
        'name is declared as a parameter; expected a class variable, name: ClassVar[str] = "mine"',
    ),
    "knowledge as a parameter": (
        text_of(field="knowledge: str = 'suspects'"),
        'knowledge is declared as a parameter; expected a class variable, knowledge: ClassVar[str] = "suspects"',
    ),
    "a parameter like a method": (
        text_of(field="resolve: int = 3"),
        "parameter 'resolve': every plugin has an attribute of this name; expected another",
    ),
    "a parameter without a type": (text_of(field="beta = 3"), "beta has no type; expected beta: float = …"),
    "a field without a type": (text_of(field="beta = Field(3)"), "beta has no type; expected beta: float = …"),
    "a tensor as a parameter": (
        text_of(field="mask: torch.Tensor = torch.zeros(3)"),
        "a parameter of type torch.Tensor cannot be written down; expected numbers",
    ),
    "no kind of defense": (text_of(base="Defense"), "derives from Defense itself; expected Repair, which has repair"),
    "a guard of no kind": (
        text_of(base="Defense", method="guard"),
        "derives from Defense itself; expected Runtime, which has guard",
    ),
    "no kind and no method": (
        text_of(base="Defense", method="defend"),
        "derives from Defense itself; expected one of Repair, Runtime or Oracle",
    ),
    "no kind at all": (text_of(base="Plugin", method="build"), "derives from Plugin itself; expected Model"),
    "misspelt knowledge": (
        text_of(field="knowledge: ClassVar[str] = 'suspect'"),
        "knowledge='suspect': expected one of none, clean, suspects; did you mean 'suspects'?",
    ),
    "knowledge under a misspelt name": (
        text_of(field="knowlege: ClassVar[str] = 'suspects'"),
        "unknown class variable 'knowlege': did you mean 'knowledge'?",
    ),
    "a name with spaces": (
        text_of(name="my defense"),
        "name='my defense': expected letters, digits, _, . and -, such as 'my_defense'",
    ),
    "a name that means all": (text_of(name="all"), "name='all': expected letters"),
    "a version that is a text": (text_of(field="version: ClassVar[str] = '2'"), "version='2': expected a whole number"),
    "a source that is none": (text_of(field="source: ClassVar = None"), "source=None: expected a text"),
    "a title of two lines": (
        text_of(field="title: ClassVar = 'a\\nb'"),
        "title='a\\nb': expected a text of one line",
    ),
    "an endless title": (
        text_of(field="title: ClassVar = 'a' * 99"),
        f"title='{'a' * 99}': expected a text of one line",
    ),
    "a title that is a parameter": (
        text_of(field="title: str = 'FT-SAM'"),
        'title is declared as a parameter; expected a class variable, title: ClassVar[str] = "FT-SAM"',
    ),
    "an entry that is none": (text_of(field="bibtex: ClassVar = 3"), "bibtex=3: expected a text"),
    "an entry that is a command": (
        text_of(field=r"bibtex: ClassVar = r'@misc{a, title = {\input{x}}}'"),
        r"bibtex='@misc{a, title = {\\input{x}}}': expected texts and accents, not a command",
    ),
}
WHEN_ENTERED = {
    "no name": (GOOD.replace('name: ClassVar[str] = "mine"', "pass"), 'name is missing; expected name: ClassVar[str]'),
    "no base": (GOOD.replace("(Repair)", ""), "derives from object; expected one of Repair, Runtime"),
    "a default beyond its bound": (text_of(field="beta: int = Field(0, ge=1)"), "default of beta=0: expected greater"),
}  # fmt: skip
WHEN_RUN = {
    "nothing repaired": (text_of(body="pass"), "repair gave None, expected an nn.Module"),
    "weights": (
        text_of(body="return model.state_dict()"),
        "repair gave an OrderedDict, expected an nn.Module; load weights with model.load_state_dict",
    ),
    "other outputs": (
        text_of(body="return nn.Sequential(nn.Flatten(), nn.Linear(36, 7))"),
        "logits: got shape (40, 7), expected (40, 4)",
    ),
    "an attribute": (text_of(body="self.mask = 3"), "Mine.mask cannot be set: plugins are frozen"),
    "suspects": (
        text_of(body="len(known.suspects)"),
        'known.suspects is asked for and not declared: expected knowledge: ClassVar[str] = "suspects"',
    ),
    "originals": (
        text_of(field="knowledge: ClassVar[str] = 'suspects'", body="len(known.originals)"),
        "known.originals is asked for and not declared: expected a property wants_pairs",
    ),
    "clean images": (
        text_of(field="knowledge: ClassVar[str] = 'none'", body="known.reference()"),
        'known.clean is asked for and not declared: expected knowledge: ClassVar[str] = "clean"',
    ),
    "a guard's answer in its place": (
        text_of(base="Runtime", method="guard", body="return Prediction(torch.zeros(1, 4))"),
        "guard gave a Prediction, expected a function from images to a Prediction",
    ),
    "no guard": (text_of(base="Runtime", method="guard", body="pass"), "guard gave None, expected a function"),
    "a network as a guard": (
        text_of(base="Runtime", method="guard"),
        "the guard gave a Tensor, expected a Prediction, such as Prediction(logits)",
    ),
}
VICTIMS_WHEN_RUN = {
    "no trigger": ("trigger", "images[..., 0] = 1", "trigger gave None, expected the triggered images"),
    "cut images": ("trigger", "return images[:, :, :3]", "trigger gave (6, 1, 3, 6), expected (6, 1, 6, 6)"),
    "bytes": ("trigger", "return (images * 255).byte()", "trigger gave uint8 values, expected floats in [0, 1]"),
    "no network": ("build", "pass", "build gave None, expected an nn.Module"),
    "other logits": ("build", "return nn.Flatten()", "build gave a network that answers (1, 36) to one image"),
}


@pytest.fixture
def no_installed_plugins(monkeypatch):
    monkeypatch.setattr(registry_module, "entry_points", lambda: EntryPoints([]))


@pytest.mark.parametrize("mistake", IN_THE_CLASS)
def test_a_mistake_in_a_class_is_named_when_it_is_made(plugin_file, no_installed_plugins, mistake):
    text, expected = IN_THE_CLASS[mistake]
    with pytest.raises(RequestError) as caught:
        exec(HEAD + text, {"__name__": "mine"})
    said = str(caught.value)
    assert said.startswith(f"class Mine: {expected}")
    assert "\n" not in said
    path = plugin_file("mine", HEAD + text)
    assert Registry([path]).problems == [f"--plugin {path}: {said}"]


@pytest.mark.parametrize("mistake", WHEN_ENTERED)
def test_a_mistake_that_a_base_class_may_have_is_named_when_it_is_entered(plugin_file, no_installed_plugins, mistake):
    text, expected = WHEN_ENTERED[mistake]
    [problem] = Registry([plugin_file("mine", HEAD + text)]).problems
    assert f"class Mine: {expected}" in problem
    assert "\n" not in problem


def test_what_is_no_mistake_is_a_plugin(plugin_file, no_installed_plugins):
    texts = [
        GOOD.replace(": ClassVar[str]", ""),
        text_of("Plain", name="plain", field="version = 2; knowledge = 'none'; names: ClassVar = ('a',)"),
        "class Base(Repair):\n    beta: float = 1\n    def helper(self): return 3",
        text_of("Derived", base="Base", name="derived", field="beta: float = 2"),
        text_of("Free", name="free").replace("self, model, known, context", "self, *everything"),
    ]
    registry = Registry([plugin_file("mine", HEAD + "\n".join(texts))])
    assert registry.problems == []
    assert {entry.name for entry in registry.entries("defense")} == {"mine", "plain", "derived", "free"}


@pytest.fixture(scope="module")
def reasons(tmp_path_factory) -> dict[str, str]:
    """Why each mistaken defense, attack and model has failed."""
    folder = tmp_path_factory.mktemp("mistakes")
    texts, names = [HEAD], {}
    for mistake, (text, _) in WHEN_RUN.items():
        names[mistake] = mistake.replace(" ", "_").replace("'", "")
        texts.append(text.replace("class Mine", f"class _{len(names)}").replace('"mine"', f'"{names[mistake]}"'))
    for mistake, (method, body, _) in VICTIMS_WHEN_RUN.items():
        names[mistake] = mistake.replace(" ", "_")
        base = {"trigger": "Attack", "build": "Model"}[method]
        texts.append(text_of(f"_{len(names)}", base, names[mistake], method=method, body=body))
    (folder / "mine.py").write_text("\n".join(texts))
    attacks = [names[mistake] for mistake, (method, *_) in VICTIMS_WHEN_RUN.items() if method == "trigger"]
    models = [names[mistake] for mistake, (method, *_) in VICTIMS_WHEN_RUN.items() if method == "build"]
    found = {}
    common = {"plugin": [tiny.plugins(folder), folder / "mine.py"], "store": folder / "store", "executor": "inline"}
    common |= tiny.GRID | {"recipes": "quick[epochs=1]"}
    for chosen in (
        {"defenses": [names[mistake] for mistake in WHEN_RUN], "attacks": "corner"},
        {"defenses": "halve", "attacks": attacks},
        {"defenses": "halve", "attacks": "corner", "models": models},
    ):
        for record in bench.run(**common | chosen).failed:
            found |= dict.fromkeys((record.defense, record.attack, record.model), record.reason)
    return {mistake: found[name] for mistake, name in names.items()}


@pytest.mark.parametrize("mistake", [*WHEN_RUN, *VICTIMS_WHEN_RUN])
def test_a_mistake_in_what_a_method_gives_is_named_where_it_first_matters(reasons, mistake):
    expected = (WHEN_RUN[mistake] if mistake in WHEN_RUN else VICTIMS_WHEN_RUN[mistake])[-1]
    assert expected.replace("Mine.", "") in reasons[mistake]
    assert "\n" not in reasons[mistake]


def test_a_package_that_takes_the_name_of_a_built_in_stops_no_run(monkeypatch, tmp_path):
    real = registry_module.entry_points()
    points = [point for kind in registry_module.KINDS for point in real.select(group=f"bench.{kind}s")]
    stranger = EntryPoint("tac", "bench.defenses.ft:FineTuning", "bench.defenses")
    monkeypatch.setattr(registry_module, "entry_points", lambda: EntryPoints([stranger, *points]))
    registry = Registry()
    assert registry.problems == []
    assert registry.entry("defense", "tac").is_built_in
    assert registry.skipped == [
        "defense 'tac' of package unknown: built-in has one of that name, which is used; expected another name"
    ]
