"""Worker processes do not run the script that started the run."""

import subprocess
import sys

from bench.engine import local
from bench.engine.spawning import WithoutMain

SCRIPT = """
from bench.engine.spawning import WithoutMain
from multiprocessing import get_context, spawn

print("main", flush=True)
usual = spawn.get_preparation_data
process = WithoutMain().Process(target=print, args=("worker",))
process.start()
process.join()
assert spawn.get_preparation_data is usual
assert "init_main_from_path" in usual("another")
"""


def test_a_script_without_a_guard_is_run_once(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["main", "worker"]


def test_workers_are_such_processes():
    """``test_readme.py`` runs a whole script."""
    assert isinstance(local._SPAWN, WithoutMain)
