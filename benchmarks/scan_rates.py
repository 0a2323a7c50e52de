"""How often bench scan is right: the rates that it prints, counted in the records of a store.

    python benchmarks/scan_rates.py STORE --seeds 11-14 [--methods bna,nc,tac] [--note TEXT] [--out FILE]

The store was filled beforehand, with victims that no threshold and no parameter of the methods was chosen on, by

    bench run --store STORE --attacks all --defenses none,bna,nc,tac --seeds 11-14

which gives every method the clean reference images that a scan would give it. Victims of other seeds are left out, and
so are those whose attack had not worked (†) and those of which every class is a target. A measurement stands in the
file (``bench/suspect/scan_rates.json`` by default) for each data set, model, recipe and number of images; one that is
counted anew takes the place of the former. ``bench.suspect.rates`` has the file's schema.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench import __version__, provenance
from bench.cell.metrics import identification
from bench.cell.validity import judged_records
from bench.plan.request import Request
from bench.records import Record
from bench.store.store import Store
from bench.suspect.rates import FILE, VERDICT, Counts, Measured, Rates
from bench.suspect.verdict import combined

Setting = tuple[str, str, str, int]  # data set, model, recipe, images


def main() -> None:
    asked = _arguments()
    records = judged_records(Store(Path(asked.store), create=False))
    found = measured(records, asked.seeds, asked.methods.split(","), asked.note)
    if not found:
        raise SystemExit(f"{asked.store}: no victim of these seeds that all of {asked.methods} were run against")
    out = Path(asked.out)
    before = Rates.model_validate_json(out.read_text(encoding="utf-8")).measured if out.exists() else []
    kept = [one for one in before if _setting(one) not in {_setting(new) for new in found}]
    text = json.dumps(Rates(measured=[*kept, *found]).model_dump(), indent=1)
    out.write_text(text + "\n", encoding="utf-8")
    for one in found:
        print(_setting(one), {name: counts.model_dump() for name, counts in one.counts.items()})


def measured(records: Iterable[Record], seeds: Iterable[int], methods: list[str], note: str) -> list[Measured]:
    """The counts in records of these seeds, for each setting, of each method and of the verdict that combines them."""
    wanted = set(seeds)
    victims: dict[Setting, dict[str, dict[str, Record]]] = defaultdict(lambda: defaultdict(dict))
    for record in records:
        if record.seed in wanted and record.defense_label in methods and record.evaluated_on == "test":
            setting = record.dataset_label, record.model_label, record.recipe, record.reference
            victims[setting][record.victim_key][record.defense_label] = record
    found = []
    for setting, by_victim in sorted(victims.items()):
        whole = [answers for answers in by_victim.values() if set(answers) == set(methods) and _counts(answers)]
        if whole:
            found.append(_measured(setting, whole, methods, note))
    return found


def _measured(setting: Setting, victims: list[dict[str, Record]], methods: list[str], note: str) -> Measured:
    dataset, model, recipe, images = setting
    one_each = [next(iter(answers.values())) for answers in victims]
    counts: dict[str, Counter[str]] = {name: Counter() for name in [VERDICT, *methods]}
    for answers in victims:
        flagged = {name: classes for name, record in answers.items() if (classes := _flagged(record)) is not None}
        verdict = combined(flagged)
        for name in counts:
            classes = verdict.classes if name == VERDICT and flagged else flagged.get(name)
            counts[name][_outcome(classes, answers)] += 1
    return Measured(
        dataset=dataset,
        model=model,
        recipe=recipe,
        attacks=sorted({record.attack_label for record in one_each if record.attack != "none"}),
        seeds=sorted({record.seed for record in one_each}),
        images=images,
        date=provenance.now()[:10],
        version=__version__,
        note=note,
        counts={name: _as_counts(counted) for name, counted in counts.items()},
    )


def _counts(answers: Mapping[str, Record]) -> bool:
    """Whether a victim says something: there is one, its attack had worked, and not every class is a target."""
    record = next(iter(answers.values()))
    if all(one.status == "not-applicable" for one in answers.values()):
        return False  # such as an attack that declines the data set
    if record.attack == "none":
        return True
    return record.valid is not False and identification([], json.loads(record.targets), _classes(answers)) != ""


def _classes(answers: Mapping[str, Record]) -> int:
    """The number of classes, as the methods' statistics have it; 1 where none gave an answer."""
    return max([len(_statistic(record).get("values", ())) for record in answers.values()] + [1])


def _statistic(record: Record) -> Mapping[str, Any]:
    return json.loads(record.diagnostics).get("class_statistic", {}) if record.status == "done" else {}


def _flagged(record: Record) -> list[int] | None:
    """The classes that the defense of a cell named; None if it gave no answer."""
    statistic = _statistic(record)
    return list(statistic["flagged"]) if statistic else None


def _outcome(flagged: list[int] | None, answers: Mapping[str, Record]) -> str:
    record = next(iter(answers.values()))
    if flagged is None:
        return "unanswered"
    if record.attack == "none":
        return "false alarm" if flagged else "benign"
    return str(identification(flagged, json.loads(record.targets), _classes(answers)))


def _as_counts(counted: Counter[str]) -> Counts:
    return Counts(
        right=counted["right"],
        wrong=counted["wrong"],
        none=counted["none"],
        false_alarms=counted["false alarm"],
        benign=counted["benign"] + counted["false alarm"],
        unanswered=counted["unanswered"],
    )


def _setting(one: Measured) -> Setting:
    return one.dataset, one.model, one.recipe, one.images


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("store")
    parser.add_argument("--seeds", required=True, type=lambda text: Request.read({"seeds": text}).seeds)
    parser.add_argument("--methods", default="bna,nc,tac")
    parser.add_argument("--note", default="")
    parser.add_argument("--out", default=str(FILE))
    return parser.parse_args()


if __name__ == "__main__":
    main()
