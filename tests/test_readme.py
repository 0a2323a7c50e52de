"""What the README prints works as printed."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import tiny

import bench
from bench.cli.options import EVERY
from bench.cli.reporting import report
from bench.suspect.options import RepairOptions, ScanOptions

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_plugin_example_runs_as_it_is_printed(tmp_path):
    [(name, text)] = re.findall(r"<!-- plugin example: (\S+) -->\n```python\n(.*?)```", README, re.DOTALL)
    file = tmp_path / name
    file.write_text(text)
    results = bench.run(
        defenses="refresh,refresh[passes=3]",
        attacks="badnets",
        datasets="digits[train_size=200]",
        models="resnet18[width=4]",
        plugin=[file],
        store=tmp_path / "store",
        executor="inline",
    )
    assert results.frame.status.tolist() == ["done", "done"]
    assert results.frame.defense_label.tolist() == ["refresh", "refresh[passes=3]"]


def test_the_python_example_is_a_script_that_runs_as_it_is_printed(tmp_path):
    [text] = re.findall(r"<!-- python example -->\n```python\n(.*?)```", README, re.DOTALL)
    small = f'datasets="dots", models="linear", reference=8, plugin={str(tiny.plugins(tmp_path))!r}, workers=1'
    assert text.count("seeds=range(3)") == 1
    (tmp_path / "script.py").write_text(text.replace("seeds=range(3)", small))
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("ACC accuracy on clean images") == 1
    results = bench.load(tmp_path / "bench-store")
    assert {record.defense_label for record in results} == {"shrink[factor=0.8]", "tac", "bna"}
    assert results.ok


def test_the_commands_of_the_readme_name_options_that_exist():
    options = {*EVERY, *inspect.signature(report).parameters, *ScanOptions.model_fields, *RepairOptions.model_fields}
    assert set(re.findall(r"(?<=\s)--([a-z-]+)", README)) <= {name.replace("_", "-") for name in options}
