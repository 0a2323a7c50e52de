"""The record: one row a cell, typed; and the frame of many."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from bench.records import columns
from bench.records.columns import NAN, Status
from bench.records.texts import printable

if TYPE_CHECKING:
    import pandas as pd

# depends on other records too: derived on reading, never stored
_VERDICT = {"valid", "doubt", "acc_benign", "asr_benign"}
_OF_TABLES = {"means_over"}  # never of a cell in a store

_LABELS = ("dataset_label", "model_label", "attack_label", "defense_label")


class Record(BaseModel):
    """What is known of one cell. Shares are in [0, 1]; NaN where there is nothing to measure.

    Whatever a file holds, a record is within bounds: numbers are finite, texts are printable and cut to a length, JSON
    is of the right kind. What is not so is refused by ValidationError.

    ``oracle`` marks what is no defense: it knows what no defender knows. ``*_before`` are the values of the
    undefended model; valid and doubt say whether it counts as attacked (``bench.cell.validity``), psnr to linf how well
    the trigger hides (``bench.cell.stealth``). device to command say where it comes from (``bench.provenance``).
    ``suspects_purity`` is the share of the suspects that carry the trigger, ``suspects_classes`` the number of source
    classes that they come from, 0 for images of random classes. The purity is NaN without suspects, and in older
    records, whose suspects were drawn in equal numbers from all source classes. ``evaluated_on`` says whether the
    figures are of the "test" images or of the "validation" part of the training images.
    ``controls`` is what the attacker controls, "data" or "training"; "" in records made before it was recorded.
    ``targets`` are classes by number; ``class_names`` are in the order of the numbers, none where they are not known.
    ``tpr_assigned`` and ``fpr_assigned`` count only inputs that the undefended model assigns to a target class, as BNA
    does. ``tpr_at_1_fpr`` is the TPR at the threshold where 1 % of the clean images are flagged, NaN in records made
    before it was measured. ``detects_only`` marks a defense that flags inputs and changes no prediction: it has no DER.
    ``identified`` says whether the classes that it took for targets are the true ones: "right", "wrong", "none", or ""
    where it looks for none or every class is one (``bench.cell.metrics.identification``). ``class_acc_before`` is the
    undefended model's ACC on each class, a JSON list in the order of the numbers, null for a class without images.
    ``base_rate`` is the share of clean images of other classes that the undefended model takes for their target,
    ``majority`` the share of the largest class in the test set. ``asr_benign`` is the share of eligible triggered
    images that a benign network takes for their target (``bench.cell.natural``). ``ms_added`` is what the defense adds
    to an input's milliseconds, against the bare network timed in the same cell, ``ms_added_spread`` how far that
    varies.
    ``recipe_params`` are the values of the recipe, of which ``recipe`` is the label; "{}" in records made before they
    were recorded (``bench measure`` fills them in), and of a victim made elsewhere.
    ``means_over`` is 0, or the number of seeds that the figures are means over, where all that is known is a table
    (``bench.records.means``); the seed is then 0.
    ``titles`` and ``citations`` are what its plugins declare for papers (``Plugin.title``, ``bibtex``), by kind.
    ``log`` and ``victim_log`` are what the defense and the attack said, line by line. ``params``, ``packages``,
    ``fingerprints`` (of each plugin's code, by kind), ``targets``, ``class_names``, ``titles``,
    ``citations`` and ``diagnostics`` are JSON texts.
    """

    model_config = ConfigDict(extra="forbid")

    key: columns.Name
    victim_key: columns.Name
    dataset: columns.Line
    model: columns.Line
    attack: columns.Line
    defense: columns.Line
    dataset_label: columns.Line
    model_label: columns.Line
    attack_label: columns.Line
    defense_label: columns.Line
    dataset_params: columns.Parameters
    model_params: columns.Parameters
    attack_params: columns.Parameters
    defense_params: columns.Parameters
    profile: columns.Line
    recipe: columns.Line
    recipe_params: columns.Parameters = "{}"
    seed: columns.Seed
    means_over: columns.Count = 0
    reference: columns.Count
    suspects: columns.Count
    suspects_purity: columns.Share = NAN
    suspects_classes: columns.Count = 0
    evaluated_on: columns.EvaluatedOn = "test"
    knowledge: columns.Line
    oracle: bool = False
    status: Status
    reason: columns.OptionalLine = None
    acc: columns.Share = NAN
    asr: columns.Share = NAN
    ra: columns.Share = NAN
    der: columns.Share = NAN
    acc_target: columns.Share = NAN
    acc_before: columns.Share = NAN
    asr_before: columns.Share = NAN
    ra_before: columns.Share = NAN
    acc_target_before: columns.Share = NAN
    class_acc_before: columns.Shares = "[]"
    auroc: columns.Share = NAN
    tpr_at_1_fpr: columns.Share = NAN
    average_precision: columns.Share = NAN
    tpr: columns.Share = NAN
    fpr: columns.Share = NAN
    tpr_assigned: columns.Share = NAN
    fpr_assigned: columns.Share = NAN
    detects_only: bool = False
    identified: columns.Identified = ""
    base_rate: columns.Share = NAN
    majority: columns.Share = NAN
    valid: bool | None = None
    doubt: columns.OptionalLine = None
    acc_benign: columns.Share = NAN
    asr_benign: columns.Share = NAN
    psnr: columns.Positive = NAN
    ssim: columns.Similarity = NAN
    l0: columns.Positive = NAN
    l2: columns.Positive = NAN
    linf: columns.Positive = NAN
    controls: columns.Line = ""
    targets: columns.Classes = "[]"
    class_names: columns.Names = "[]"
    n_train: columns.Count = 0
    n_poisoned: columns.Count = 0
    n_cover: columns.Count = 0
    n_test: columns.Count = 0
    n_triggered: columns.Count = 0
    train_seconds: columns.Positive = NAN
    defense_seconds: columns.Positive = NAN
    inference_seconds: columns.Positive = NAN
    ms_per_sample: columns.Positive = NAN
    ms_per_sample_before: columns.Positive = NAN
    ms_added: columns.Signed = NAN
    ms_added_spread: columns.Positive = NAN
    peak_memory_mb: columns.Positive = NAN
    device: columns.Line = ""
    threads: columns.Count = 0
    deterministic: bool = False
    compiled: bool = False
    host: columns.Line = ""
    code_version: columns.Line = ""
    commit: columns.OptionalLine = None
    dirty: bool | None = None
    packages: columns.Texts = "{}"
    command: columns.Line = ""
    started: columns.Line = ""
    finished: columns.Line = ""
    log: columns.Lines = ""
    victim_log: columns.Lines = ""
    fingerprints: columns.Texts = "{}"
    titles: columns.Texts = "{}"
    citations: columns.Texts = "{}"
    diagnostics: columns.Parameters = "{}"

    def to_json(self) -> str:
        """The record as the store keeps it: without the verdict on its victim, which depends on other records too."""
        return self.model_dump_json(indent=1, exclude=_VERDICT | _OF_TABLES)


def to_frame(records: Iterable[Record]) -> "pd.DataFrame":
    """Records as a data frame with one column a field, also where there is no record."""
    import pandas as pd

    rows = [vars(record) for record in records]
    frame = {name: [row[name] for row in rows] for name in Record.model_fields}
    for name in _LABELS:  # as a request spells them, which no record has checked; pandas cannot hold every text
        frame[name] = list(map(printable, frame[name]))
    return pd.DataFrame(frame)
