"""Connecting to Ray: wrong addresses, and a Ray of its own that leaves nothing behind."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import tiny

from bench.errors import RequestError
from bench.store.store import Store

pytest.importorskip("ray", reason="Ray is not installed: pip install 'defensebench[ray]'")

from bench.engine.ray import session


def test_folders_of_killed_runs_are_removed(tmp_path):
    for owner in (2**22 + 1, os.getpid()):
        (tmp_path / f"ray-{owner}-abcd").mkdir()
    session._sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"ray-{os.getpid()}-abcd"]


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:1", "ray://127.0.0.1:1"])
def test_an_address_where_nothing_answers_is_refused_soon_in_one_line(address):
    began = time.monotonic()
    with pytest.raises(RequestError, match=f"--address {address}: ") as caught:
        session.Session(address, "auto", 1)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 15


@pytest.mark.slow
def test_an_address_of_something_else_is_refused_in_one_line():
    silent = f"no Ray cluster answers there within {session.REACH} s"
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(RequestError, match=silent):
        session.Session(f"127.0.0.1:{server.getsockname()[1]}", "auto", 1)


@pytest.mark.slow
def test_a_ray_of_its_own_is_quiet_and_leaves_nothing(tmp_path):
    """Even if Ctrl-C reaches all of its processes: the running stage is finished first."""
    files = tempfile.mkdtemp(prefix="own-", dir="/tmp")
    words = {"executor": "ray", "workers": 1, "attacks": "corner", "defenses": "halve[n=3|4,seconds=2]"}
    command = tiny.command(tmp_path, **words)
    environment = {**os.environ, "TMPDIR": files, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}  # torch leaves a folder
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        began = time.monotonic()
        while tiny.log(tmp_path)["halve[n=3]"] < 1 and process.poll() is None and time.monotonic() - began < 90:
            time.sleep(0.1)
        assert process.poll() is None, process.communicate()
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert "raylet" not in err + out
    assert "Traceback" not in err, err
    assert Store(tmp_path / "store").count("cells") >= 1
    assert command_lines(files) == []
    assert list(Path(files).iterdir()) == []
    shutil.rmtree(files)


def command_lines(mark: str) -> list[str]:
    """Those of live processes, other than this one, that contain ``mark``."""
    lines = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or ())
        if mark in line and process.info["status"] != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
            lines.append(line)
    return lines
