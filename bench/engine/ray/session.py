"""A connection to Ray, started here or joined."""

import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray

from bench.engine.devices import cores
from bench.engine.ray.nodes import Node
from bench.errors import RequestError, one_line
from bench.store.drafts import is_alive

REACH = 15  # seconds in which a cluster at an address has to answer
QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else a warning
}
OBJECTS = 80 * 2**20  # bytes for Ray's object store, almost its minimum: stages and outcomes are small
TOKEN = secrets.token_hex(32)  # of every Ray that this process starts: Ray reads it once
LONGEST = 20  # characters of the path of temporary folders: Ray's sockets add 85, and the system allows 107


class Session:
    """A connection to Ray: to the one that this process has joined already, to ``address``, or to one started here.

    ``processors``: how many a Ray that is started here counts at least. ``leave`` stops what was started here. Raises
    RequestError if Ray cannot be started, or nothing answers at the address.
    """

    def __init__(self, address: str | None, device: str, processors: int) -> None:
        self._folder: Path | None = None
        if address is not None:
            _reach(address)
        self._mine = not ray.is_initialized()
        if not self._mine and address is not None:
            raise RequestError(
                f"--address {address}: this process has joined a cluster already; leave it, or this, out"
            )
        if not self._mine:
            return
        self._environment = dict(os.environ)
        try:
            os.environ.update({**ENVIRONMENT, **os.environ})
            with _own_signals():
                if address is None:
                    self._start(device, processors)
                else:
                    ray.init(address=address, **QUIET)
        except Exception as error:  # whatever keeps Ray from starting, the user gets one line
            self.leave()
            asked = "--executor ray" if address is None else f"--address {address}"
            raise RequestError(f"{asked}: Ray did not start: {one_line(error)}") from error
        except BaseException:
            self.leave()
            raise
        ray._private.worker._worker_logs_enabled = False  # else Ray prints the deaths of workers to stdout

    def _start(self, device: str, processors: int) -> None:
        base = Path(tempfile.gettempdir() if len(tempfile.gettempdir()) <= LONGEST else "/tmp")
        _sweep(base)
        self._folder = Path(tempfile.mkdtemp(prefix=f"ray-{os.getpid()}-", dir=base))
        if not ({"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"} & os.environ.keys() or (Path.home() / ".ray/auth_token").exists()):
            # else Ray writes a token to the home folder, and from then on the user's own "ray start" asks for one
            os.environ["RAY_AUTH_TOKEN_PATH"] = str(self._folder / "token")
            (self._folder / "token").write_text(TOKEN)
        ray.init(
            address="local",
            num_cpus=max(processors, cores()),
            num_gpus=0 if device == "cpu" else None,
            include_dashboard=False,
            object_store_memory=OBJECTS,
            _temp_dir=str(self._folder),
            **QUIET,
        )

    def leave(self) -> None:
        """Disconnect; stop the Ray that was started here, and remove its files."""
        if self._mine:
            ray.shutdown()
            for name in [name for name in os.environ if name.startswith("RAY_") and name not in self._environment]:
                del os.environ[name]  # also those that Ray has set: they would affect what comes after
            ray._private.worker._worker_logs_enabled = True
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def alive_nodes() -> list[Node]:
    """The nodes that Ray reports alive now, in the order of their names."""
    nodes = [
        Node(
            one["NodeID"],
            one["NodeManagerHostname"] or one["NodeManagerAddress"],
            one["Resources"].get("CPU", 0.0),
            one["Resources"].get("GPU", 0.0),
        )
        for one in ray.nodes()  # type: ignore[no-untyped-call]
        if one["Alive"]
    ]
    return sorted(nodes, key=lambda node: (node.name, node.id))


def _sweep(base: Path) -> None:
    """Remove the temporary folders of processes that were killed before they could do it."""
    for folder in base.glob("ray-*-*"):
        owner = folder.name.split("-")[1]
        if owner.isdigit() and not is_alive(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _reach(address: str) -> None:
    """Raises RequestError if there is no cluster at the address.

    Another process tries: in this one, Ray would not give up for over a minute.
    """
    where = address.removeprefix("ray://")
    host, _, port = where.rpartition(":")
    if address != "auto" and not (host and port.isdigit()):
        raise RequestError(f"--address {address}: expected auto, HOST:PORT or ray://HOST:PORT")
    if address != "auto":
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except OSError as error:
            raise RequestError(f"--address {address}: nothing answers there ({error.strerror or error})") from error
    probe = "import logging, sys, ray; ray.init(sys.argv[1], log_to_driver=False, logging_level=logging.ERROR)"
    try:
        attempt = subprocess.run(
            [sys.executable, "-c", probe, address], capture_output=True, text=True, errors="replace", timeout=REACH
        )
    except subprocess.TimeoutExpired as error:
        hint = "; it asks for a token: set RAY_AUTH_MODE=token here, too" if "AuthToken" in str(error.stderr) else ""
        raise RequestError(f"--address {address}: no Ray cluster answers there within {REACH} s{hint}") from None
    if attempt.returncode:
        lines = [line for line in attempt.stderr.splitlines() if line.strip()]
        error_line = next((line for line in reversed(lines) if line.partition(":")[0].endswith("Error")), "no answer")
        raise RequestError(
            f"--address {address}: no Ray cluster to join: {error_line.partition(': ')[2] or error_line}"
        )


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's handler of SIGTERM, which Ray replaces when it starts."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        with suppress(ValueError):  # not the main thread: then Ray has not replaced it either
            signal.signal(signal.SIGTERM, before)
