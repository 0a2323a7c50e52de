"""Every record says where it comes from."""

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys

import pytest
import tiny
import torch

import bench
from bench import provenance
from bench.cli.main import main
from bench.engine import devices
from bench.store.store import Store

OPTIONS = ["--datasets", "digits[train_size=200]", "--models", "resnet18[width=4]", "--attacks", "badnets"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "--defenses", "tac[beta=1|2],bna"], "bench run --defenses 'tac[beta=1|2],bna'"),
        (["run", "/home/ann/my study.toml"], "bench run ~/'my study.toml'"),
        (["run", "--store=/home/ann/s", "/home/ann"], "bench run '--store=~/s' '~'"),
        (["run", "/home/anna/s", "/data/home/ann/s"], "bench run /home/anna/s /data/home/ann/s"),
        (["run", "--plugin", ""], "bench run --plugin ''"),
    ],
)
def test_a_command_line_can_be_pasted_and_hides_the_home_directory(arguments, expected):
    assert provenance.command_line(arguments, home="/home/ann") == expected
    again = [part.replace("~", "/home/ann") for part in shlex.split(expected)[1:]]
    assert again == arguments


def test_with_the_home_directory_at_the_root_nothing_is_hidden():
    assert provenance.command_line(["run", "/a"], home="/") == "bench run /a"


def test_records_of_every_status_say_where_they_come_from(tmp_path, capsys, monkeypatch):
    """Those of a worker: ``engine/test_left_behind.py``."""
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copy(tiny.PLUGIN_FOLDER / "trouble.py", tmp_path)
    arguments = ["run", *OPTIONS, "--defenses", "none,raises,declines", "--plugin", str(tmp_path / "trouble.py")]
    arguments += ["--store", str(tmp_path / "s"), "--executor", "inline"]
    with pytest.raises(SystemExit):
        main(arguments)
    assert provenance.typed_command.get() is None
    store = Store(tmp_path / "s", create=False)
    records = {record.defense: record for record in store.records()}
    assert {name: record.status for name, record in records.items()} == {
        "none": "done",
        "raises": "failed",
        "declines": "not-applicable",
    }
    head, dirty = provenance.commit()
    for record in records.values():
        assert record.command.startswith("bench run --datasets 'digits[train_size=200]' --models")
        assert record.command.endswith("--plugin ~/trouble.py --store ~/s --executor inline")
        assert str(tmp_path) not in record.command
        assert (record.commit, record.dirty, record.code_version) == (head, dirty, bench.__version__)
        assert json.loads(record.packages)["torch"] == torch.__version__.split("+")[0]
        assert record.host == provenance.host()
        assert bool(record.device) == (record.status != "not-applicable")
    assert records["none"].device == devices.full_name(torch.device("cpu"))
    facts = store.read_json("victims", records["none"].victim_key, "stage.json")["provenance"]
    assert facts["command"] == records["none"].command
    assert facts["packages"] == json.loads(records["none"].packages)
    assert facts.keys() == {
        "device",
        "threads",
        "host",
        "deterministic",
        "compiled",
        "code_version",
        "commit",
        "dirty",
        "packages",
        "command",
    }


def test_the_python_interface_names_its_script(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/home/ann/private/compare.py", "--secret"])
    assert provenance.current_command() == "bench.run(…) in compare.py"
    monkeypatch.setattr(sys, "argv", ["/home/ann/compare/__main__.py"])
    assert provenance.current_command() == "bench.run(…) in compare"
    monkeypatch.setattr(sys, "argv", [""])
    assert provenance.current_command() == "bench.run(…) in python"


def test_the_commit_says_whether_the_tree_was_changed(tmp_path, monkeypatch):
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        call = ("git", *who, "-C", str(tmp_path), *arguments)
        return subprocess.run(call, check=True, capture_output=True, text=True).stdout.strip()

    file = tmp_path / "provenance.py"
    file.write_text("1")
    monkeypatch.setattr(provenance, "__file__", str(file))
    git("init", "-q")
    asked = provenance.commit.__wrapped__
    monkeypatch.setattr(provenance, "_installed_from", lambda: (None, None))
    assert asked() == (None, None)  # a file that the repository around it does not hold
    git("add", "provenance.py")
    git("commit", "-qm", "first")
    index = (tmp_path / ".git" / "index").read_bytes()
    os.utime(file, (1, 1))
    assert asked() == (git("rev-parse", "HEAD"), False)
    assert (tmp_path / ".git" / "index").read_bytes() == index  # brought up to date, it would be locked
    file.write_text("2")
    assert asked() == (git("rev-parse", "HEAD"), True)


def test_an_installation_from_a_repository_knows_its_commit(monkeypatch):
    class Noted:
        def __init__(self, text: str | None) -> None:
            self.text = text

        def read_text(self, name: str) -> str | None:
            return self.text if name == "direct_url.json" else None

    for text, expected in (
        (json.dumps({"vcs_info": {"commit_id": "abc"}}), ("abc", False)),
        (json.dumps({"dir_info": {"editable": True}}), (None, None)),
        (None, (None, None)),
    ):
        monkeypatch.setattr(provenance, "distribution", lambda name, text=text: Noted(text))
        assert provenance._installed_from() == expected


def test_a_host_has_a_pseudonym():
    assert len(provenance.host()) == 8
    assert provenance.host() not in platform.node()
