"""Choosing settings: on the validation part, by victims that no table shows, and by the rule that is declared."""

import json
import sys
from pathlib import Path

import pytest
import tiny

from bench.plan.profiles import PROFILES
from bench.plan.registry import Registry
from bench.plan.selection import parse
from bench.plugin.parameters import spelled
from bench.store.store import Store

CHOICES = sorted((Path(__file__).parents[1] / "docs" / "findings" / "tuning").glob("*.json"))
FILE = Path(__file__).parents[1] / "benchmarks" / "tuning.py"


@pytest.fixture(scope="module")
def tuning():
    sys.path.insert(0, str(FILE.parent))
    import tuning

    yield tuning
    sys.path.remove(str(FILE.parent))
    for name in ("tuning", "grids"):
        del sys.modules[name]


def figure(value, der, fall=0.0, alarms=0, not_done=0):
    return {"value": value, "der": der, "fall": fall, "alarms": alarms, "not_done": not_done}


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ([figure(1, 0.80), figure(2, 0.90), figure(3, 0.70)], 2),
        ([figure(1, 0.80), figure(2, 0.90, fall=0.051)], 1),  # costs a benign model more than five points
        ([figure(1, 0.80), figure(2, 0.90, fall=0.05)], 2),
        ([figure(1, 0.80), figure(2, 0.90, alarms=1)], 1),
        ([figure(1, 0.80, alarms=1), figure(2, 0.90, alarms=1)], 2),  # no more than the published value
        ([figure(1, 0.80), figure(2, 0.8004)], 1),  # a tie goes to the published value
        ([figure(3, 0.9), figure(1, 0.80), figure(2, 0.8), figure(4, 0.9004)], 3),  # and then to the nearest to it
        ([figure(1, 0.80), figure(2, 0.90, not_done=1)], 1),
        ([figure(1, 0.80, fall=0.2), figure(2, 0.90, fall=0.2)], 1),  # none is left: the published value stays
        ([figure(1, float("nan")), figure(2, 0.60)], 2),
    ],
)
def test_the_rule_chooses_as_it_says(tuning, figures, expected):
    candidates = [one["value"] for one in figures]
    grid = tuning.KINDS[0](defense="ft", parameter="epochs", candidates=candidates, published=1)
    assert grid.chosen(figures) == expected


@pytest.mark.parametrize(
    ("worked", "expected"),
    [
        ({8: 4, 5: 4, 3: 4}, 8),  # as published wherever that works
        ({8: 3, 5: 4, 3: 4}, 5),  # no stronger than it has to be
        ({8: 0, 5: 2, 3: 2}, 5),  # with none on all victims: the nearest of those that work on most
        ({8: 0, 5: 1, 3: 2}, 3),
        ({8: 0, 5: 0, 3: 0}, 8),
    ],
)
def test_an_attack_is_made_no_stronger_than_it_has_to_be(tuning, worked, expected):
    grid = tuning.KINDS[1](attack="bpp", parameter="levels", candidates=[3, 8, 5], published=8)
    assert grid.order() == [8, 3, 5]  # as near to the published one, as they stand
    grid = tuning.KINDS[1](attack="bpp", parameter="levels", candidates=[8, 5, 3], published=8)
    assert grid.order() == [8, 5, 3]
    figures = [{"value": value, "worked": count, "victims": 4} for value, count in worked.items()]
    assert grid.chosen(figures) == expected
    assert [grid.decided(figure) for figure in figures] == [count == 4 for count in worked.values()]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("seeds = [0, 100]", "seeds=[0, 100]: expected seeds from 100 on; those below are for tables"),
        ("targets = [3, 0]", "targets=[3, 0]: expected other classes than 0, the target of the tables"),
        ('attacks = "sig[target_class=0]"', "attacks=sig[target_class=0]: expected other target classes than 0, which"),
        ("published = 9", "published=9: expected one of the candidates"),
        ("request = { seeds = 1 }", "request={'seeds': 1}: expected no seeds, which the grid says itself"),
        ("", "published is missing"),
        ("valeus = [1]\npublished = 1", "unknown parameter 'valeus'"),
    ],
)
def test_a_wrong_grid_is_refused_in_one_line(tuning, line, message, tmp_path, capsys):
    file = tmp_path / "grids.toml"
    published = "" if "published" in line or not line else "published = 1"
    file.write_text(f"[a]\ndefense = 'ft'\nparameter = 'epochs'\ncandidates = [1, 2]\n{published}\n{line}\n")
    assert tuning.main(["--grids", str(file), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert f"a: {message}" in said
    assert said.count("\n") == 1


def test_a_parameter_that_a_defense_does_not_have_is_refused_before_anything_runs(tuning, tmp_path, capsys):
    file = tmp_path / "grids.toml"
    file.write_text("[a]\ndefense = 'ft'\nparameter = 'epohcs'\ncandidates = [1, 2]\npublished = 1\n")
    assert tuning.main(["--grids", str(file), "--store", str(tmp_path / "store")]) == 2
    assert "epohcs" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
    assert tuning.main(["other", "--grids", str(file)]) == 2
    assert capsys.readouterr().err == "grid 'other': expected one of a\n"


def test_the_grids_that_are_declared_can_be_run(tuning):
    grids = tuning.read_grids(FILE.with_suffix(".toml"))
    assert grids
    for grid in grids.values():
        tuning.check(grid)
        assert grid.options(grid.published)["evaluate"] == "validation"


def tuned(tuning, folder, grid, recipe):
    """Run a grid in the test's folder, on the tiny plugins. Returns the command line, what was found, and its page."""
    file, plugin = folder / "grids.toml", tiny.plugins(folder)
    request = f"datasets = 'dots', models = 'linear', reference = 8, recipes = '{recipe}', plugin = ['{plugin}']"
    file.write_text(f"{grid}\nrequest = {{ {request} }}\n")
    options = {"grids": file, "out": folder / "out", "store": folder / "store", "executor": "inline"}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    assert tuning.main(words) == 0
    [found] = (folder / "out").glob("*.json")
    return words, json.loads(found.read_text()), found.with_suffix(".md").read_text()


def test_a_grid_is_run_on_the_validation_part_and_written_down(tuning, tmp_path, capsys):
    grid = (
        "[halving]\ndefense = 'halve'\nparameter = 'n'\ncandidates = [1, 2, 5]\npublished = 2\n"
        "attacks = 'corner[n=3]'\ntargets = [1, 2]\nseeds = [100, 101]"
    )
    words, found, text = tuned(tuning, tmp_path, grid, "quick")
    assert capsys.readouterr().out == f"halving: n={found['chosen']}\n"
    assert found["chosen"] in (1, 2, 5)
    assert [one["value"] for one in found["figures"]] == [1, 2, 5]
    records = list(Store(tmp_path / "store").records())
    assert {record.evaluated_on for record in records} == {"validation"}
    assert {record.seed for record in records} == {100, 101}
    assert {record.targets for record in records if record.attack == "corner"} == {"[1]", "[2]"}
    assert len(records) == 3 * 2 * 3  # values, seeds; two targets and the benign row
    keys = {record.key: record for record in records}
    for one in found["figures"]:
        own = [keys[cell["key"]] for cell in one["cells"]]
        assert len(own) == 6
        benign = [record.acc_before - record.acc for record in own if record.attack == "none"]
        assert one["fall"] == pytest.approx(sum(benign) / len(benign), abs=1e-6)
    assert f"| **{found['chosen']}** |" in text
    assert "python benchmarks/tuning.py halving" in text
    before = tiny.log(tmp_path)
    assert tuning.main(words) == 0
    assert tiny.log(tmp_path) == before  # the choice is made again, from what the store has
    assert json.loads((tmp_path / "out" / "halving.json").read_text()) == found


def test_an_attack_s_strengths_are_tried_from_the_published_one_on(tuning, tmp_path):
    grid = (
        "[corner]\nattack = 'corner'\nparameter = 'poisoning_rate'\ncandidates = [0.5, 0.3, 0.02]\npublished = 0.02\n"
        "targets = [1]\nseeds = [100]\nfixed = { n = 3 }"
    )
    _, found, text = tuned(tuning, tmp_path, grid, "quick[epochs=60]")
    assert found["chosen"] == 0.3
    assert [(one["value"], one["worked"], one["victims"]) for one in found["figures"]] == [(0.02, 0, 1), (0.3, 1, 1)]
    assert tiny.log(tmp_path).total() == 2  # .5, which is further from the published one, is not tried
    records = list(Store(tmp_path / "store").records())
    assert {record.evaluated_on for record in records} == {"validation"}
    assert {(record.attack, record.targets) for record in records} == {("none", "[]"), ("corner", "[1]")}
    assert "Not tried, as a value nearer to the published one works on all: 0.5." in text
    assert "| **0.3** | 1 of 1 | 100.0 |" in text
    assert "| corner | poisoning_rate | 0.02 | 0 of 1 | 0.3 | 1 of 1 |" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("file", CHOICES, ids=lambda file: file.stem)
def test_a_profile_has_the_values_that_were_chosen_for_it(file):
    found = json.loads(file.read_text())
    grid, name = found["grid"], found["grid"]["parameter"]
    kind = "attack" if "attack" in grid else "defense"
    defaults = PROFILES[grid["request"].get("profile", "quick")].parameters.get(grid[kind], {})
    of_profile = Registry().create(kind, grid[kind], defaults)
    [choice] = parse(f"any[value={str(found['chosen']).lower()}]")
    of_choice = Registry().create(kind, grid[kind], {**defaults, name: choice.parameters["value"]})
    assert spelled(getattr(of_profile, name)) == spelled(getattr(of_choice, name))


def test_the_list_of_choices_is_that_of_their_files(tuning):
    assert (CHOICES[0].parent / "README.md").read_text() == tuning.contents(CHOICES[0].parent)
