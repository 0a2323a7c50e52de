"""A stage with a foreign data set, model or attack, whole in a fresh process.

If its defense is foreign too, the worker forks a process for that as well and hands the stage the connection to it.
"""

from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from bench.cell.apart.defender import PROCESS as DEFENDER
from bench.cell.apart.keeper import COMPILER
from bench.cell.apart.messages import Gone, Line, Progress, receive, reply, send, telling
from bench.cell.apart.seeds import seed_all
from bench.cell.make import make
from bench.cell.workshop import Workshop
from bench.errors import Died
from bench.plan import identity
from bench.plan.plugin_files import PluginFile
from bench.plan.registry import Registry
from bench.plan.stages import CellStage, Stage
from bench.provenance import Maker
from bench.records import LogLines
from bench.store.store import Store

PROCESS = "bench.cell.apart.stage:serve"


@dataclass(frozen=True)
class Assignment:
    """All that the process is told. plugin_files: the one-file plugins of the run. keep_networks: see ``Workshop``."""

    stage: Stage
    plugin_files: tuple[PluginFile, ...]
    store: Path
    data: Path
    device: str
    maker: Maker
    keep_networks: bool


@dataclass(frozen=True)
class Done:
    """The stage is in the store."""


@dataclass(frozen=True)
class DefenderDied:
    """The process of the stage's defense is gone."""


def make_stage(stage: Stage, workshop: Workshop) -> LogLines:
    """Make a stage, here or, if foreign code takes part in more than its defense, in a process of its own.

    Returns what its plugin logged. Raises whatever the stage raises; from another process as Elsewhere or Damaged, and
    Died if that process dies.
    """
    foreign = {kind for kind, ref in stage.refs.items() if ref.foreign}
    oracle = isinstance(stage, CellStage) and stage.oracle
    if workshop.forks is None or not (foreign if oracle else foreign - {"defense"}):
        import_module(COMPILER)  # before any clock runs
        return make(stage, workshop)
    with ExitStack() as processes:
        defender = None
        if "defense" in foreign and not oracle:
            defender = processes.enter_context(workshop.forks.process(DEFENDER, "the defense's process"))
        further = [defender.connection] if defender else []
        process = processes.enter_context(workshop.forks.process(PROCESS, "the stage's process", (), further))
        where = str(workshop.device)
        files, root, keep = workshop.registry.files, workshop.store.root, workshop.keep_networks
        process.send(Assignment(stage, files, root, workshop.data, where, workshop.maker, keep))
        log = LogLines()
        answer = reply(process, workshop.progress, log.append)
        if isinstance(answer, DefenderDied) and defender is not None:
            raise defender.died()
        return log


def serve(connection: Connection, defender: Connection | None = None) -> None:
    """What the process does."""
    with telling(connection):
        assignment: Assignment = receive(connection)
        stage = assignment.stage
        seed_all(identity.seed(stage.key, "global"))
        workshop = Workshop(
            Registry(assignment.plugin_files, lazily=True),
            Store(assignment.store, create=False),
            assignment.data,
            torch.device(assignment.device),
            lambda share: send(connection, Progress(float(share))),
            assignment.maker,
            keep_networks=assignment.keep_networks,
        )
        if defender is not None:
            workshop.defense_process = lambda modules: nullcontext(_Given(defender))
        try:
            log = make(stage, workshop)
        except Died:
            send(connection, DefenderDied())
            return
        for line in log.lines:
            send(connection, Line(line))
        send(connection, Done())


@dataclass(frozen=True)
class _Given:
    """The process of the defense, which the worker has forked already and will end."""

    connection: Connection

    def send(self, message: Any) -> None:
        with suppress(Gone):  # ``receive`` says so
            send(self.connection, message)

    def receive(self) -> Any:
        try:
            return receive(self.connection)
        except Gone as error:
            raise Died("the defense's process", 1) from error
