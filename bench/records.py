"""The record: one row a cell, typed; and the frame of many."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["done", "not-applicable", "failed", "timeout"]


def _number(value: Any) -> Any:
    return math.nan if value is None else value


Figure = Annotated[
    float,
    BeforeValidator(_number),
    PlainSerializer(lambda value: None if math.isnan(value) else value, when_used="json"),
]
NAN = math.nan


_VERDICT = {"valid", "doubt", "acc_benign"}  # depends on other records too: derived on reading, never stored


class LogLines:
    """What a plugin logs, as a record keeps it: lines without breaks, each and all of them of bounded length."""

    LONGEST, MOST = 300, 20  # characters, lines

    def __init__(self) -> None:
        self.lines: list[str] = []

    def append(self, line: object) -> None:
        if len(self.lines) < self.MOST:
            text = " ".join(str(line).split())
            self.lines.append(text if len(text) <= self.LONGEST else f"{text[: self.LONGEST - 1]}…")

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class Record(BaseModel):
    """What is known of one cell. Shares are in [0, 1]; NaN where there is nothing to measure.

    ``oracle`` marks what is no defense: it knows what no defender knows. ``*_before`` are the values of the
    undefended model; valid and doubt say whether it counts as attacked (``bench.cell.validity``), psnr to linf how well
    the trigger hides (``bench.cell.stealth``). device to command say where it comes from (``bench.provenance``).
    ``log`` and ``victim_log`` are what the defense and the attack said, line by line. ``params``, ``packages``,
    ``fingerprints`` (of each plugin's code, by kind) and ``diagnostics`` are JSON texts.
    """

    model_config = ConfigDict(extra="forbid")

    key: str
    victim_key: str
    dataset: str
    model: str
    attack: str
    defense: str
    dataset_label: str
    model_label: str
    attack_label: str
    defense_label: str
    dataset_params: str
    model_params: str
    attack_params: str
    defense_params: str
    profile: str
    recipe: str
    seed: int
    reference: int
    suspects: int
    knowledge: str
    oracle: bool = False
    status: Status
    reason: str | None = None
    acc: Figure = NAN
    asr: Figure = NAN
    ra: Figure = NAN
    der: Figure = NAN
    acc_target: Figure = NAN
    acc_before: Figure = NAN
    asr_before: Figure = NAN
    ra_before: Figure = NAN
    acc_target_before: Figure = NAN
    auroc: Figure = NAN
    tpr: Figure = NAN
    fpr: Figure = NAN
    valid: bool | None = None
    doubt: str | None = None
    acc_benign: Figure = NAN
    psnr: Figure = NAN
    ssim: Figure = NAN
    l0: Figure = NAN
    l2: Figure = NAN
    linf: Figure = NAN
    targets: str = "[]"
    n_train: int = 0
    n_poisoned: int = 0
    n_cover: int = 0
    n_test: int = 0
    n_triggered: int = 0
    train_seconds: Figure = NAN
    defense_seconds: Figure = NAN
    inference_seconds: Figure = NAN
    ms_per_sample: Figure = NAN
    ms_per_sample_before: Figure = NAN
    peak_memory_mb: Figure = NAN
    device: str = ""
    threads: int = 0
    deterministic: bool = False
    compiled: bool = False
    host: str = ""
    code_version: str = ""
    commit: str | None = None
    dirty: bool | None = None
    packages: str = "{}"
    command: str = ""
    started: str = ""
    finished: str = ""
    log: str = ""
    victim_log: str = ""
    fingerprints: str = "{}"
    diagnostics: str = "{}"

    def to_json(self) -> str:
        """The record as the store keeps it: without the verdict on its victim, which depends on other records too."""
        return self.model_dump_json(indent=1, exclude=_VERDICT)


def to_frame(records: Iterable[Record]) -> "pd.DataFrame":
    """Records as a data frame with one column a field, also where there is no record."""
    import pandas as pd

    rows = [vars(record) for record in records]
    return pd.DataFrame({name: [row[name] for row in rows] for name in Record.model_fields})
