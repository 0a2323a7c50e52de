"""How often bench scan is right: the rates that it prints, counted in the records of stores and of files.

    python benchmarks/scan_rates.py SOURCE… [--seeds 11-14] [--methods bna,nc,tac] [--note TEXT] [--out FILE]

A source is a store, a file of records, or a folder with one. The rates in the package are those of

    python benchmarks/scan_rates.py docs/results/scan docs/results/cifar10

of victims that no threshold and no parameter of the methods was chosen on. They were made by ``bench run`` with
``--attacks``, ``--defenses none,bna,nc,tac`` and ``--seeds``: every method had the clean reference images that a scan
would give it. Victims of other seeds are left out, and so are those whose attack had not worked (†) and those of which
every class is a target. A method that no record of a data set has is left out there, a victim that not all the others
were run against too, and both are said. A measurement stands in the file (``bench/suspect/scan_rates.json`` by default)
for each data set, model, recipe and number of images; those that are counted anew take the place of all former ones of
the same data set and model. ``bench.suspect.rates`` has the file's schema.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench import __version__
from bench.cell.metrics import identification
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.plugin.dataset import Dataset
from bench.records import Record
from bench.results import load
from bench.suspect.rates import FILE, VERDICT, Counts, Measured, Rates
from bench.suspect.verdict import combined

Setting = tuple[str, str, str, int]  # data set, model, recipe, images


def main() -> None:
    asked = _arguments()
    found = []
    for source in asked.sources:
        some = measured(load(source), asked.seeds, asked.methods.split(","), asked.note)
        if not some:
            raise SystemExit(f"{source}: no victim of these seeds that any of {asked.methods} were run against")
        found += some
    out = Path(asked.out)
    before = json.loads(out.read_text(encoding="utf-8"))["measured"] if out.exists() else []
    anew = {(one.dataset, one.model) for one in found}
    kept = [Measured.model_validate(one) for one in before if (one["dataset"], one["model"]) not in anew]
    text = json.dumps(Rates(measured=[*kept, *found]).model_dump(), indent=1)
    out.write_text(text + "\n", encoding="utf-8")
    for one in found:
        print(f"{one.dataset} {one.model} {one.recipe}, {one.images} images")
        for name, counts in one.counts.items():
            print(f"  {name}: {counts.model_dump()}")


def measured(
    records: Iterable[Record], seeds: Iterable[int] | None, methods: list[str], note: str = ""
) -> list[Measured]:
    """The counts in records, for each setting, of each method and of the verdict that combines them.

    seeds: of the victims that count; None for all.
    """
    wanted = None if seeds is None else set(seeds)
    victims: dict[Setting, dict[str, dict[str, Record]]] = defaultdict(lambda: defaultdict(dict))
    for record in records:
        of_these = wanted is None or record.seed in wanted
        if of_these and record.defense_label in methods and record.evaluated_on == "test":
            setting = record.dataset_label, record.model_label, record.recipe, record.reference
            victims[setting][record.victim_key][record.defense_label] = record
    found = []
    for setting, by_victim in sorted(victims.items()):
        asked = [name for name in methods if any(name in answers for answers in by_victim.values())]
        whole = [answers for answers in by_victim.values() if set(answers) == set(asked)]
        _say_left_out(setting, set(methods) - set(asked), len(by_victim) - len(whole))
        if counted := [answers for answers in whole if _counts(answers)]:
            found.append(_measured(setting, counted, asked, note))
    return found


def _say_left_out(setting: Setting, missing: set[str], victims: int) -> None:
    if missing:
        print(f"{setting[0]}: no records of {', '.join(sorted(missing))}: the verdict is that of the others")
    if victims:
        print(f"{setting[0]}: {victims} networks are left out that not all of these methods were run against")


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
        shape=_shape(one_each[0]),
        model=model,
        recipe=recipe,
        attacks=sorted({record.attack_label for record in one_each if record.attack != "none"}),
        seeds=sorted({record.seed for record in one_each}),
        images=images,
        date=max(record.finished for answers in victims for record in answers.values())[:10],
        version=__version__,
        note=note,
        parameters={name: json.loads(victims[0][name].defense_params) for name in methods},
        counts={name: _as_counts(counted) for name, counted in counts.items()},
    )


def _shape(record: Record) -> tuple[int, int, int]:
    """Channels, height and width of a record's images, as its data set says."""
    dataset = Registry().create("dataset", record.dataset, json.loads(record.dataset_params))
    assert isinstance(dataset, Dataset)
    return dataset.spec.shape


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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--seeds", type=lambda text: Request.read({"seeds": text}).seeds)
    parser.add_argument("--methods", default="bna,nc,tac")
    parser.add_argument("--note", default="")
    parser.add_argument("--out", default=str(FILE))
    return parser.parse_args()


if __name__ == "__main__":
    main()
