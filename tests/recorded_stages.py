"""The stages that published records are of, and how long each took: a run to play again."""

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

from bench.plan.stages import CellStage, Ref, VictimStage
from bench.records import Record, read_records

RESULTS = Path(__file__).parents[1] / "docs" / "results"


def recorded(name: str) -> tuple[SimpleNamespace, dict[str, float]]:
    """The victims and the cells of the records of ``docs/results/NAME``, and the seconds of each by its key.

    Of the device that made most of them: what several devices made, one after another, was no run.
    """
    refs: dict[tuple[str, ...], Ref] = {}
    victims: dict[str, VictimStage] = {}
    cells, seconds = [], {}

    def ref(kind: str, record: Record) -> Ref:
        own = tuple(getattr(record, f"{kind}{end}") for end in ("", "_params", "_label"))
        return refs.setdefault((kind, *own), Ref(kind, own[0], "1", json.loads(own[1]), own[2]))

    for record in _of_one_device(read_records(RESULTS / name / "records.jsonl")[0]):
        if record.status == "done":
            made = [ref(kind, record) for kind in ("dataset", "model", "attack")]
            victim = VictimStage(*made, record.profile, record.recipe, record.seed)
            victim = victims.setdefault(record.victim_key, victim)
            cell = CellStage(victim, ref("defense", record), record.reference, record.suspects, pairs=False)
            cells.append(cell)
            seconds |= {victim.key: record.train_seconds, cell.key: record.defense_seconds + record.inference_seconds}
    return SimpleNamespace(victims=list(victims.values()), cells=cells, natural=[]), seconds


def _of_one_device(records: list[Record]) -> list[Record]:
    """Those of the commonest device, without those of victims whose cell without a defense is of another."""
    (most, _), *_ = Counter(record.device for record in records).most_common(1)
    elsewhere = {record.victim_key for record in records if record.defense == "none" and record.device != most}
    return [record for record in records if record.device == most and record.victim_key not in elsewhere]
