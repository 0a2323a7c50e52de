"""What the README prints works as printed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import bench
from bench.cli.options import EVERY

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


@pytest.mark.parametrize(
    ("others", "where"), [("", 'executor="inline"'), pytest.param('"tac", "bna"', "workers=1", marks=pytest.mark.slow)]
)
def test_the_python_example_is_a_script_that_runs_as_it_is_printed(tmp_path, others, where):
    [text] = re.findall(r"<!-- python example -->\n```python\n(.*?)```", README, re.DOTALL)
    small = 'datasets="digits[train_size=100]", models="resnet18[width=4]", recipes="quick[epochs=1]", reference=20'
    assert text.count('"tac", "bna"') == text.count("seeds=range(3)") == 1
    text = text.replace('"tac", "bna"', others).replace("seeds=range(3)", f"{small}, {where}")
    (tmp_path / "script.py").write_text(text)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("ACC accuracy on clean images") == 1
    assert "shrink[factor=0.8]" in done.stdout
    assert bench.load(tmp_path / "bench-store").ok
    assert (tmp_path / "my-table" / "index.html").exists()


def test_the_commands_of_the_readme_name_options_that_exist():
    names = {name.replace("_", "-") for name in EVERY} | {"out", "figure", "with-invalid"}
    assert set(re.findall(r"(?<=\s)--([a-z-]+)", README)) <= names
