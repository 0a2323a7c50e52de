"""Code that is edited while a run goes on: every stage is computed by the code that the run began with, or fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from edited import as_in_a_new_process, codes, prepare, run, words
from stores import bench

from bench import api
from bench.store.store import Store

EDITS_ITSELF = """
import os
from pathlib import Path
from typing import ClassVar
from bench.plugin import Repair

WHICH = "old"

class Helped(Repair):
    name: ClassVar[str] = "helped"
    n: int = 0

    def repair(self, model, known, context):
        mine = Path(__file__)
        first = not mine.with_name("edited").exists()
        mine.with_name("edited").touch()
        mine.write_text(mine.read_text().replace('WHICH = "old"', 'WHICH = "new"'))
        mine.with_name("strength.py").write_text("STRENGTH = 'new'")
        if first and os.environ.get("DIE"):
            os._exit(7)
        from strength import STRENGTH
        context.log(f"{WHICH} {STRENGTH}")
        return model
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    return prepare(tmp_path, monkeypatch)


def logs(folder: Path) -> set[str]:
    return {record.log for record in Store(folder / "store").records() if record.defense == "helped"}


def test_a_one_file_plugin_and_its_helpers_are_read_once(folder, capsys):
    (folder / "helped.py").write_text(EDITS_ITSELF)
    (folder / "strength.py").write_text("STRENGTH = 'old'")
    run(folder, capsys, defenses="helped[n=0|1]")
    assert logs(folder) == {"old old"}
    assert len(codes(folder, "defense")["helped"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_is_replaced_goes_on_with_the_same_text(folder, workers):
    (folder / "helped.py").write_text(EDITS_ITSELF)
    (folder / "strength.py").write_text("STRENGTH = 'old'")
    command = [sys.executable, "-m", "bench", *words(folder, defenses="helped[n=0|1|2]", workers=str(workers))]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "DIE": "1"}, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "exit code 7" in done.stderr
    assert logs(folder) == {"old old"}


@pytest.mark.parametrize("executor", ["inline", pytest.param("local", marks=pytest.mark.slow)])
def test_a_stage_of_a_package_that_was_edited_meanwhile_fails_with_one_line(folder, capsys, monkeypatch, executor):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder / "installed"), os.environ.get("PYTHONPATH", "")]))
    check = api.check_data

    def check_and_edit(*arguments):
        check(*arguments)
        (folder / "installed" / "farpackage" / "parts.py").write_text("COLUMN = 3")

    monkeypatch.setattr(api, "check_data", check_and_edit)
    asked = words(folder, attacks="far,corner", defenses="none", executor=executor)
    status, _, err = bench(capsys, *asked)
    assert status == 1
    assert "far × none seed 0: failed" in err
    assert "attack 'far': its code was edited while the run went on; run again" in err
    assert "corner × none seed 0: failed" not in err
    assert "Traceback" not in err
    monkeypatch.setattr(api, "check_data", check)
    as_in_a_new_process()
    run(folder, capsys, attacks="far,corner", defenses="none")


def test_a_process_that_has_imported_the_old_code_does_not_run_it_as_the_new(folder, capsys):
    run(folder, capsys, attacks="far", defenses="none")
    (folder / "installed" / "farpackage" / "parts.py").write_text("COLUMN = 3")
    status, _, err = bench(capsys, *words(folder, attacks="far", defenses="none", executor="inline"))
    assert (status, err.count("\n")) == (2, 1)
    assert "attack 'far': its code was edited after this process had imported it; start Python again" in err
    run(folder, capsys, attacks="corner", defenses="none")
