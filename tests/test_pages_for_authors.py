"""The pages for authors of plugins, followed word by word: every command does what the page says that it does."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import followed
import pytest

from bench.cli.main import main

PAGES = ["write-a-defense.md", "write-an-attack.md", "write-a-model.md", "write-a-data-set.md"]


@pytest.fixture
def printed(tmp_path, monkeypatch, capfd):
    """Runs a command in an empty folder; gives its status and what it prints, on a page 100 characters wide."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("sys.path", [*sys.path])

    def run(command: str) -> tuple[int, str]:
        program, *arguments = shlex.split(command)
        if program != "bench":
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            done = subprocess.run(
                [sys.executable, "-m", program, *arguments], capture_output=True, text=True, env=environment
            )
            return done.returncode, done.stdout + done.stderr
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        return int(ended.value.code or 0), "".join(capfd.readouterr())

    return run


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_does_what_the_page_says(page, printed, tmp_path):
    for step in followed.steps(page):
        if step.kind != "commands":
            step.apply(tmp_path)
            continue
        for command in step.commands:
            inline = " --executor inline" if command.startswith("bench run") else ""  # the same results, sooner
            status, text = printed(command + inline)
            assert status == step.status, text
            assert step.output, f"the page does not say what is printed by {command}"
            assert followed.missing(step.output, text) == [], text


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_begins_is_written_and_what_it_runs_can_be_planned(page, printed, tmp_path):
    ran = 0
    for step in followed.steps(page):
        if step.kind != "commands":
            step.apply(tmp_path)
            continue
        for command in step.commands:
            if command.startswith("bench new"):
                status, text = printed(command)
                assert followed.missing(step.output, text) == []
            elif command.startswith("bench run"):
                status, text = printed(command.replace("bench run", "bench plan"))
                ran += 1
            else:
                continue
            assert status == 0, text
    assert ran


def test_the_page_on_defenses_has_ten_steps():
    text = (Path(followed.DOCS) / "write-a-defense.md").read_text()
    assert [f"## {number}." in text for number in range(1, 12)] == [True] * 10 + [False]


def test_a_line_that_is_not_printed_is_missed_and_numbers_may_differ():
    assert followed.missing("badnets  98.1 –\nclip 3*\n", "x\n badnets 97 4.0\nclip 3\n") == []
    assert followed.missing("2 passed in 9.12s", "2 passed in 80.83s (0:01:20)\n") == []
    assert followed.missing("ok name 'clip'\nFAIL … global …", "ok name 'clap'\nFAIL random global numbers") == [
        "ok name 'clip'"
    ]
