"""How to run a request: the options that do not change what comes out; and reading both sorts together."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from bench.engine import devices
from bench.plan.option_types import Directory, Form, Names, Number, OptionGroup, Options, Text, Whole, unknown_option
from bench.plan.request import FILES, Request

ExecutorName = Literal["local", "inline", "ray"]

WORKERS = OptionGroup("Where it runs")
COMPUTING = OptionGroup("How it computes")
AGAIN = OptionGroup("Which cells are computed", "Without these: all that the store does not hold as done.")


def _device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\s*[0-9]{1,4}\s*(,\s*[0-9]{1,4}\s*)*)?", name):
        raise ValueError("auto, cpu, cuda, or GPUs by number such as cuda:0,1")
    return name


def _gpu_share(share: float) -> float:
    if 0 < share < 0.01:
        raise ValueError("at least 0.01")
    return share


class RunOptions(Options):
    """Where and how cells are computed, and which of them."""

    store: Annotated[Directory, FILES] = Field(Path("bench-store"), description="Where results are kept.")
    keep_networks: Annotated[bool, FILES] = Field(
        False, description="Keep repaired networks too; cells that are done stay without, unless refreshed."
    )
    executor: Annotated[ExecutorName, WORKERS] = Field(
        "local", description="local: worker processes here; inline: this process; ray: a cluster."
    )
    address: Annotated[Text | None, Form("HOST"), WORKERS] = Field(
        None, description="The Ray cluster: auto, HOST:PORT, ray://HOST:PORT (default: a new one)."
    )
    workers: Annotated[Whole | None, WORKERS] = Field(
        None, ge=1, le=1024, description="Worker processes (default: one for each GPU, or CPU core)."
    )
    threads: Annotated[Whole, WORKERS] = Field(1, ge=1, le=1024, description="CPU threads of a worker.")
    device: Annotated[Text, Form("NAME"), AfterValidator(_device), WORKERS] = Field(
        "auto", description="auto, cpu, cuda, or GPUs by number such as cuda:0,1."
    )
    gpu_share: Annotated[Number, AfterValidator(_gpu_share), WORKERS] = Field(
        1.0, gt=0, le=1, description="Part of a GPU that a worker needs: 0.5 is two workers a GPU."
    )
    nice: Annotated[Whole, WORKERS] = Field(
        0, ge=0, le=19, description="How far workers give way to the machine's other work: 19 is most (default: 0)."
    )
    deterministic: Annotated[bool, COMPUTING] = Field(
        False, description="Give the same bits every time on a GPU too; a stage that cannot fails."
    )
    compile: Annotated[bool, COMPUTING] = Field(
        False, description="Compile networks before training; pays if training takes over 10 minutes."
    )
    timeout: Annotated[Number | None, COMPUTING] = Field(
        None, gt=0, le=1e8, description="Seconds until a stage is stopped and tried once more (default: never)."
    )
    retry: Annotated[Literal["failed"] | None, AGAIN] = Field(
        None, description="Only the cells that failed or ran into the timeout earlier."
    )
    only: Annotated[Literal["missing"] | None, AGAIN] = Field(None, description="Only the cells that were never tried.")
    refresh: Annotated[Names | None, AGAIN] = Field(
        None, description="Compute these plugins' stages again: a defense's cells, an attack's victims."
    )
    stale: Annotated[Literal["again", "keep"], AGAIN] = Field(
        "again", description="Results made before a plugin's code was changed: again computes them again; or keep."
    )

    def set_up_process(self) -> None:
        """Let this process compute as these options say: the first thing that a worker does."""
        import torch

        if self.nice:
            os.nice(self.nice)
        torch.set_num_threads(self.threads)
        devices.set_deterministic(self.deterministic)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.retry and self.only:
            raise ValueError(
                f"--retry {self.retry} --only {self.only}: expected one of them; together they leave nothing to do"
            )
        if self.address is not None and self.executor != "ray":
            raise ValueError(f"--address {self.address}: goes with --executor ray, not with {self.executor}")
        if self.nice and self.executor == "inline":  # a process cannot take its priority back
            raise ValueError(f"--nice {self.nice}: goes with --executor local or ray, not with inline")
        most = max(64, 8 * (os.cpu_count() or 1))
        if self.workers is not None and self.workers > most and self.executor != "ray":  # each holds torch in memory
            raise ValueError(f"--workers {self.workers}: expected at most {most} on this machine")
        if self.executor == "ray" and ":" in self.device:
            raise ValueError(
                f"--device {self.device}: expected auto, cpu or cuda; Ray assigns the GPUs of its nodes itself"
            )
        return self


def read_options(
    values: Mapping[str, Any], request: type[Request] = Request, run: type[RunOptions] = RunOptions
) -> tuple[Request, RunOptions]:
    """Both sorts of options from one mapping. Raises OptionError for an unknown name or a wrong value."""
    names = [*request.model_fields, *run.model_fields]
    for name in values:
        if name not in names:
            raise unknown_option(name, names)
    what, how = ({name: values[name] for name in model.model_fields if name in values} for model in (request, run))
    return request.read(what), run.read(how)
