"""What the store holds already: read without torch, and counted by a plan."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from bench.cli.planned import plan_lines
from bench.defenses.clp import CLP
from bench.plan.plan import make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.records import Record
from bench.store.store import Store

ASKED = Request(
    defenses="none,clp,fine_pruning", attacks="none,badnets", datasets="digits[train_size=200]", models="resnet18"
)


@pytest.fixture
def stored(tmp_path):
    """A store with every cell of a small plan but the last, and the pictures of the victims; and the plan."""
    store, plan = Store(tmp_path / "s"), make_plan(ASKED, Registry(), tmp_path)
    for cell in plan.cells[:-1]:
        share = int(cell.key[:4], 16) / 2**16
        figures = {"acc": share, "asr": share / 2, "ra": 0.8, "der": share, "acc_before": 0.95, "asr_before": 0.99}
        record = Record(**cell.columns, **figures, status="done", n_triggered=9)
        store.write("cells", cell.key, {"record.json": record.model_dump_json(indent=1)})
    for victim in plan.victims:
        images = torch.arange(2 * 3 * 8 * 8).reshape(2, 3, 8, 8).to(torch.uint8)
        store.write("victims", victim.key, {"pictures.safetensors": {"clean": images, "triggered": images.flip(3)}})
    return store, plan


def lean(command: str, *unwanted: str) -> None:
    """Run a command in a process of its own, and see that it came to its end without these modules."""
    code = "import sys; from bench.cli.main import main\n"
    code += f"try: main({command.split()})\nexcept SystemExit as end: print(end)"
    code += f"\nloaded = [name for name in {unwanted} if name in sys.modules]\nassert not loaded, loaded"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "0"), done.stderr[-2000:]


def test_a_report_with_pictures_does_without_torch(stored, tmp_path):
    lean(f"report --store {stored[0].root} --out {tmp_path / 'r'}", "torch")
    assert (tmp_path / "r" / "figures" / "gallery.png").is_file()


def test_planning_imports_none_of_the_libraries_that_only_running_needs(stored):
    asked = f"--attacks badnets --defenses bna,tac --datasets {ASKED.datasets} --store {stored[0].root}"
    lean(f"plan {asked}", "scipy.stats", "scipy.optimize", "sklearn", "cvxpy", "pandas")


def test_plugins_are_asked_once_for_all_seeds_whether_they_can_be_applied(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(CLP, "unsupported", lambda self, case: asked.append(case) or f"not to {case.attack.name}")
    plan = make_plan(ASKED.model_copy(update={"defenses": "clp", "seeds": (0, 1, 2)}), Registry(), tmp_path)
    reasons = [plan.unsupported(cell) for cell in plan.cells]
    assert reasons == ["not to none"] * 3 + ["not to badnets"] * 3
    assert len(asked) == 2


def test_pictures_are_the_stored_ones_with_channels_last(stored):
    from bench.cell.pictures import pictures

    store, plan = stored
    clean, triggered = pictures(store, damaged=pytest.fail)(plan.victims[1].key)
    saved = store.tensors("victims", plan.victims[1].key, "pictures.safetensors")
    np.testing.assert_array_equal(clean, saved["clean"].permute(0, 2, 3, 1).numpy() / 255)
    np.testing.assert_array_equal(triggered, saved["triggered"].permute(0, 2, 3, 1).numpy() / 255)


def test_the_lines_of_a_plan_stand_under_each_other_and_say_what_is_to_do(stored):
    store, plan = stored
    title, head, *lines, sums = plan_lines(plan, store)
    assert title == "digits[train_size=200] × resnet18"
    assert sums == "6 cells (5 done, 1 to do); 0 of 2 victims to train; 1 of 1 triggers to show to a benign network"
    for line, cell in zip(lines, plan.cells, strict=True):
        assert line[head.index("key") :].startswith(cell.key[:12])
        assert line[head.index("defense") :].startswith(cell.defense.label)
    assert [line[head.index("state") :] for line in lines] == ["done"] * 5 + ["to do"]
    *_, sums = plan_lines(plan, None)
    assert sums == "6 cells (6 to do); 2 of 2 victims to train; 1 of 1 triggers to show to a benign network"
