"""The studies: each can be planned before anything is downloaded, and has what its name says."""

from collections import Counter
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.cli.options import merge_options
from bench.plan.plan import Plan, make_plan
from bench.plan.registry import Registry

STUDIES = Path(__file__).parents[2] / "studies"
OF_PAPERS = ["cifar10-resnet18", "cifar10-resnet50", "cifar10-vit", "gtsrb-resnet18", "tiny-resnet18"]


def plan(path: Path, folder: Path) -> Plan:
    request, _ = merge_options(path, {})
    return make_plan(request, Registry(), folder)


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.toml")), ids=lambda path: path.stem)
def test_a_study_can_be_planned_and_says_how_it_is_run(path, tmp_path, capsys):
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
    applicable = [cell for cell in made.cells if made.unsupported(cell) is None]
    assert len(applicable) > 0.7 * len(made.cells)
