"""The studies: each can be planned before anything is downloaded, and has what its name says."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from bench.cli.main import main
from bench.cli.options import merge_options
from bench.engine.estimate import Estimate
from bench.plan.plan import Plan, make_plan
from bench.plan.registry import Registry

STUDIES = Path(__file__).parents[2] / "studies"
QUICK = {"profile": "quick", "models": "resnet18[width=16,stem=pooled]", "seeds": "0"}
FIGURES = sorted(path for part in ("tac", "bna", "fire", "fine-pruning") for path in STUDIES.glob(f"{part}-*.toml"))
OF_PAPERS = ["cifar10-resnet18", "cifar10-resnet50", "cifar10-vit", "gtsrb-resnet18", "tiny-resnet18"]


def plan(path: Path, folder: Path, **typed: Any) -> Plan:
    request, _ = merge_options(path, typed)
    return make_plan(request, Registry(), folder)


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.toml")), ids=lambda path: path.stem)
def test_a_study_can_be_planned_and_says_how_it_is_run(path, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Estimate, "time_steps", lambda *_: None)  # of ResNet-50 and others, for seconds each
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(path), "--data", str(tmp_path), "--store", str(tmp_path / "store")])
    assert ended.value.code == 0, capsys.readouterr().err
    assert f"bench run studies/{path.name}\n" in path.read_text()


@pytest.mark.parametrize("name", OF_PAPERS)
def test_a_papers_study_has_three_seeds_a_control_row_and_a_control_column(name, tmp_path):
    made = plan(STUDIES / f"{name}.toml", tmp_path)
    dataset, _, model = name.partition("-")
    names = {kind: {cell.refs[kind].name for cell in made.cells} for kind in ("dataset", "model", "attack", "defense")}
    assert [name.partition("_")[0] for name in names["dataset"]] == [dataset]
    assert [name.partition("_")[0] for name in names["model"]] == [model]
    assert {"none", "badnets", "trojan", "blend", "wanet", "input_aware"} <= names["attack"]
    assert {"none", "tac", "bna", "fire", "fine_pruning", "ft_sam", "sau"} <= names["defense"]
    seeds = Counter(cell.victim.seed for cell in made.cells)
    assert len(seeds) == 3
    assert len(set(seeds.values())) == 1
    of_one_attack = [cell for cell in made.cells if cell.refs["attack"].name == "badnets"]  # each asks a whole network
    applicable = [cell for cell in of_one_attack if made.unsupported(cell) is None]
    assert len(applicable) > 0.7 * len(of_one_attack)


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_a_study_of_a_seeds_figure_names_its_source_and_fits_the_quick_profile(path, tmp_path):
    assert re.search("et al\\.|Neurocomputing|RAID", path.read_text().splitlines()[0])
    made = plan(path, tmp_path, **QUICK)
    applicable = [cell for cell in made.cells if made.unsupported(cell) is None]
    assert len(applicable) > 0.9 * len(made.cells)
    assert len(made.cells) <= 60


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_a_sweep_that_a_study_asks_for_is_over_what_its_commands_vary(path, tmp_path):
    text = path.read_text()
    asked = re.findall(r"--figure sweep:(?:(\w+)\.)?(\w+)", text)
    assert asked or "bench report\n" in text
    for plugin, name in asked:
        if name == "reference":
            commands = re.findall(rf"bench run studies/{path.name}(.*)\n", text)
            assert len(set(commands)) == len(commands) > 1
            assert "--reference" in "".join(commands)
        else:
            assert len(values(plan(path, tmp_path), plugin, name)) > 1


def values(made: Plan, plugin: str, name: str) -> set[Any]:
    """The values of a parameter among a plan's defenses."""
    refs: Iterable[Any] = (cell.refs["defense"] for cell in made.cells)
    told = {ref.identity["parameters"].get(name) for ref in refs if plugin in ("", ref.name)}
    return told - {None}


def test_a_study_named_after_a_table_has_that_tables_model_attacks_and_form(tmp_path):
    assert {cell.refs["model"].name for cell in plan(STUDIES / "ft-sam-table.toml", tmp_path).cells} == {
        "preact_resnet18"
    }
    cells = plan(STUDIES / "bna-table.toml", tmp_path).cells
    assert len({cell.refs["attack"].name for cell in cells}) == 9
    [bna] = {cell.refs["defense"].label for cell in cells if cell.refs["defense"].name == "bna"}
    assert bna == "bna[paper]"
