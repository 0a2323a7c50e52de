"""Drafts of dead processes are swept, and those of live ones stay."""

import os
import platform
import subprocess
import time

import psutil

from bench.store.store import Store


def test_only_drafts_of_dead_processes_of_this_machine_are_swept(tmp_path):
    store = Store(tmp_path / "s")
    here = platform.node()
    names = [f"{os.getpid()}-x@{here}", f"{2**22 + 1}-x@{here}", f"{2**22 + 1}-x@another-machine"]
    alive, dead, elsewhere = (store.root / "tmp" / name for name in names)
    for draft in (alive, dead, elsewhere):
        draft.mkdir()
    store.sweep()
    assert alive.is_dir()
    assert not dead.exists()
    assert elsewhere.is_dir()


def test_the_draft_of_a_zombie_is_swept(tmp_path):
    """A killed process is a zombie, still listed by its number, until its parent has noticed."""
    store = Store(tmp_path / "s")
    with subprocess.Popen(["sleep", "60"]) as process:
        draft = store.root / "tmp" / f"{process.pid}-abc@{platform.node()}"
        draft.mkdir()
        store.sweep()
        assert draft.is_dir()
        process.kill()
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        store.sweep()
        assert not draft.exists()
