"""A foreign defense in a process of its own.

While it repairs or builds its guard, the process holds the network, what the threat model allows, and no test image,
label, target or trigger. While it answers, it is handed inputs, clean and triggered ones mixed, as their pixels.
"""

from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from bench.cell.answers import checked
from bench.cell.apart.messages import Conversation, Line, Progress, receive, reply, send, telling
from bench.cell.apart.seeds import seed_all
from bench.cell.defender import DefenderHere, Report
from bench.cell.reference import DefenseInputs
from bench.imported.network import Applied, built
from bench.plan.plugin_files import PluginFile
from bench.plan.registry import Registry
from bench.plan.stages import Ref
from bench.plugin.attack import as_bytes
from bench.plugin.values import Context, ImageSpec, Known, LabelledImages, Prediction
from bench.records import LogLines
from bench.toolbox.inference import Precision

PROCESS = "bench.cell.apart.defender:serve"


@dataclass(frozen=True)
class Assignment:
    """All that a defense's process is told before it answers.

    plugin_files: the one-file plugins of the run. weights: of the victim's network, by name. seed: of the context's
    generator. precision: that the victim was evaluated in. applied: what the network does to images before its
    architecture, if it was made elsewhere.
    """

    plugin_files: tuple[PluginFile, ...]
    model: Ref
    spec: ImageSpec
    weights: dict[str, Tensor]
    defense: Ref
    known: Known
    seed: int
    device: str
    precision: Precision = "float32"
    applied: Applied | None = None


@dataclass(frozen=True)
class Ready:
    """The defense is ready to answer."""

    learns_from_stream: bool
    detects_only: bool
    changes_nothing: bool
    fingerprint: str


@dataclass(frozen=True)
class Repaired:
    """The tensors of the repaired network are to be sent."""


@dataclass(frozen=True)
class Compared:
    """Images (B, C, H, W) uint8, about which the bare network is to be timed as well."""

    pixels: Tensor


class DefenderApart:
    """A defense in another process. Making it runs the defense there.

    Raises Elsewhere for what the defense raises, then and in its answers, and Died if its process dies.
    """

    def __init__(self, process: Conversation, assignment: Assignment, context: Context) -> None:
        self._process, self._context = process, context
        process.send(assignment)
        ready = self._reply()
        self.learns_from_stream: bool = ready.learns_from_stream
        self.detects_only: bool = ready.detects_only
        self.changes_nothing: bool = ready.changes_nothing
        self.fingerprint: str = ready.fingerprint

    def __call__(self, images: Tensor) -> Prediction:
        return self._asked(as_bytes(images), images.device)

    def compared(self, images: Tensor) -> Prediction:
        return self._asked(Compared(as_bytes(images)), images.device)

    def _asked(self, message: Tensor | Compared, device: torch.device) -> Prediction:
        self._process.send(message)
        answer: Prediction = self._reply()
        parts = (answer.logits, answer.score, answer.flagged)
        return Prediction(*(part if part is None else part.to(device) for part in parts))  # type: ignore[arg-type]

    def report(self) -> Report:
        self._process.send(None)
        said: Report = self._reply()
        return said

    def repaired(self) -> dict[str, Tensor] | None:
        self._process.send(Repaired())
        sent: dict[str, Tensor] | None = self._reply()
        return sent

    def _reply(self) -> Any:
        return reply(self._process, self._context.progress, self._context.log)


def serve(connection: Connection) -> None:
    """What the process does: defend as it is assigned, and answer until nobody asks any more."""
    with telling(connection):
        assignment: Assignment = receive(connection)
        defender = _defender(assignment, connection)
        told = (defender.learns_from_stream, defender.detects_only, defender.changes_nothing, defender.fingerprint)
        send(connection, Ready(*told))
        classes, device = assignment.spec.classes, torch.device(assignment.device)
        while True:
            asked = receive(connection)
            if asked is None:
                send(connection, defender.report())
                continue
            if isinstance(asked, Repaired):
                send(connection, defender.repaired())
                continue
            beside = isinstance(asked, Compared)
            pixels = asked.pixels if beside else asked
            with torch.no_grad():
                answer = (defender.compared if beside else defender)(pixels.to(device).float().div_(255))
            send(connection, checked(answer, len(pixels), classes))


def _defender(assignment: Assignment, connection: Connection) -> DefenderHere:
    registry, device = Registry(assignment.plugin_files, lazily=True), torch.device(assignment.device)
    seed_all(assignment.seed)
    architecture: Any = registry.made(assignment.model)
    model: nn.Module = built(architecture, assignment.spec, assignment.applied)
    model.load_state_dict(assignment.weights)
    model.to(device).eval().to(memory_format=torch.channels_last)
    log = _SentLines(connection)
    context = Context(
        device,
        torch.Generator(device).manual_seed(assignment.seed),
        progress=lambda share: send(connection, Progress(float(share))),
        log=log.append,
    )
    inputs = DefenseInputs(model, _known(assignment.known, device), context, _no_secret, assignment.precision)
    defense: Any = registry.made(assignment.defense)
    return DefenderHere(defense, inputs, registry.fingerprint("defense", assignment.defense.name))


class _SentLines(LogLines):
    """Log lines that are also sent to the worker, as far as they are kept."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def append(self, line: object) -> None:
        before = len(self.lines)
        super().append(line)
        for text in self.lines[before:]:
            send(self._connection, Line(text))


def _known(known: Known, device: torch.device) -> Known:
    clean = known.clean and LabelledImages(known.clean.images.to(device), known.clean.labels.to(device))
    suspects, originals = (part if part is None else part.to(device) for part in (known.suspects, known.originals))
    return Known(clean, suspects, originals)


def _no_secret() -> NoReturn:
    raise LookupError("only an oracle is told the secret")
