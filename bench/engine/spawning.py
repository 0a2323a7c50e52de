"""Worker processes that never run the main part of the script that started the run.

A process that multiprocessing spawns imports the script of its parent first, which then begins its run again unless all
of that stands under ``if __name__ == "__main__"``. Workers need nothing of a script: what they run is in this package,
and plugins are handed to them (``bench.plan.plugin_files``).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import popen_spawn_posix, spawn
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any

_changing = threading.Lock()


class _Popen(popen_spawn_posix.Popen):
    def _launch(self, process_obj: BaseProcess) -> None:
        with _main_left_out():
            super()._launch(process_obj)  # type: ignore[misc]


class _Process(SpawnProcess):
    @staticmethod
    def _Popen(process_obj: BaseProcess) -> popen_spawn_posix.Popen:
        return _Popen(process_obj)


class WithoutMain(SpawnContext):
    """As ``multiprocessing.get_context("spawn")``, for processes that do not import the main module."""

    Process = _Process


@contextmanager
def _main_left_out() -> Iterator[None]:
    """While open, a process that this thread spawns is not told of the main module; those of other threads are."""
    with _changing:
        usual, thread = spawn.get_preparation_data, threading.get_ident()

        def prepared(name: str) -> dict[str, Any]:
            data = usual(name)
            if threading.get_ident() == thread:
                for where in ("init_main_from_name", "init_main_from_path"):
                    data.pop(where, None)
            return data

        spawn.get_preparation_data = prepared
        try:
            yield
        finally:
            spawn.get_preparation_data = usual
