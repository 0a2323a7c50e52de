"""Choose values of parameters from declared grids, on the validation part and on victims that no table shows.

    python benchmarks/tuning.py [NAME …] [--grids benchmarks/tuning.toml] [--out docs/findings/tuning] [--store DIR]

Each grid in the TOML file is one parameter of one defense. Its victims have seeds from 100 on and other target classes
than 0, and all figures are of the validation part: no test image is loaded into a stage, so none decides anything.

The rule: of the values that cost benign victims at most 5 points of ACC on average and raise no more alarms there than
the published value, the one with the highest mean DER over the attacked victims (those whose attack worked). DER counts
the loss of ACC already; the bound, which a victim's attack must keep as well, leaves out what nobody would use. With a
bound of 1 point fine-tuning on 200 images keeps its published rate, which hardly changes a victim (DER 52 %), and a
baseline that is made weak flatters what it is compared with. Values whose DER agrees to a tenth of a percent are equal:
the published one wins, then the one nearest to it in the grid. A value with a cell that failed cannot be chosen. If no
value is left, the published one stays.

Writes NAME.json, with every figure, NAME.md, and README.md, a list of all. Run again, it takes what the store has.
"""

import argparse
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

import bench
from bench.cell.validity import MAX_ACC_LOSS
from bench.errors import RequestError
from bench.plan.registry import Registry
from bench.plan.selection import parse
from bench.plugin.parameters import explained, written

HERE = Path(__file__).parent
FIRST_SEED = 100  # those below are for tables
DECIMALS = 1  # of a percentage, in which equal DERs agree

Value = bool | int | float | str


class Grid(BaseModel):
    """One parameter of one defense, the values to choose from (``candidates``), and the victims to choose by.

    published: the value in the method's source. fixed: further parameters of the defense. targets: target classes, each
    for every attack but those that name their own. request: other options of ``bench.run``, such as datasets, recipes,
    profile and reference.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    defense: str
    parameter: str
    candidates: list[Value] = Field(min_length=2)
    published: Value
    fixed: dict[str, Value] = {}
    attacks: str = "badnets,blend,wanet"
    targets: list[int] = Field([3, 7], min_length=1)
    seeds: list[int] = Field([100, 101], min_length=1)
    request: dict[str, Any] = {}

    @field_validator("targets")
    @classmethod
    def _not_tabled(cls, targets: list[int]) -> list[int]:
        if 0 in targets:
            raise ValueError("other classes than 0, the target of the tables")
        return targets

    @field_validator("attacks")
    @classmethod
    def _not_tabled_either(cls, attacks: str) -> str:
        if any(str(choice.parameters.get("target_class")) == "0" for choice in parse(attacks)):
            raise ValueError("other target classes than 0, which the tables have")
        return attacks

    @field_validator("seeds")
    @classmethod
    def _own(cls, seeds: list[int]) -> list[int]:
        if min(seeds) < FIRST_SEED:
            raise ValueError(f"seeds from {FIRST_SEED} on; those below are for tables")
        return seeds

    @field_validator("request")
    @classmethod
    def _rest(cls, request: dict[str, Any]) -> dict[str, Any]:
        if own := {"attacks", "defenses", "seeds", "evaluate"} & set(request):
            raise ValueError(f"no {min(own)}, which the grid says itself")
        return request

    @field_validator("published")
    @classmethod
    def _among(cls, published: Value, info: ValidationInfo) -> Value:
        if published not in info.data.get("candidates", [published]):
            raise ValueError("one of the candidates")
        return published

    def selection(self, value: Value) -> str:
        """The defense with this value, as a selection writes it."""
        parameters = {**self.fixed, self.parameter: value}
        return written(self.defense, {name: _text(one) for name, one in parameters.items()})

    def options(self) -> dict[str, Any]:
        """What ``bench.run`` is asked for, but for the defense."""
        attacks = ["none"]
        for choice in parse(self.attacks):
            own = {name: _text(value) for name, value in choice.parameters.items()}
            targets = [own["target_class"]] if "target_class" in own else self.targets
            attacks += [written(choice.pattern, {**own, "target_class": str(target)}) for target in targets]
        return {**self.request, "attacks": attacks, "seeds": self.seeds, "evaluate": "validation"}


def main(words: list[str] | None = None) -> int:
    """Run the grids; returns the exit status, 2 for a grid that cannot be run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="grids to run (default: all)")
    parser.add_argument("--grids", type=Path, default=HERE / "tuning.toml", help="the TOML file that declares them")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "findings" / "tuning")
    parser.add_argument("--store", type=Path, default=Path("tuning-store"), help="where victims and cells are kept")
    parser.add_argument("--executor", default="local")
    asked = parser.parse_args(words)
    try:
        grids = read_grids(asked.grids)
        if unknown := sorted(set(asked.names) - set(grids)):
            raise RequestError(f"grid {unknown[0]!r}: expected one of {', '.join(grids)}")
        for name in asked.names or grids:
            found = tune(grids[name], store=asked.store, executor=asked.executor)
            asked.out.mkdir(parents=True, exist_ok=True)
            (asked.out / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            (asked.out / f"{name}.md").write_text(page(name, found), encoding="utf-8")
            (asked.out / "README.md").write_text(contents(asked.out), encoding="utf-8")
            print(f"{name}: {found['grid']['parameter']}={_text(found['chosen'])}")
    except RequestError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def read_grids(file: Path) -> dict[str, Grid]:
    """The grids of a TOML file by name. What is under ``[every]`` counts for all.

    Raises RequestError for a file or a grid that is wrong.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RequestError(f"{file}: {error}") from error
    common = tables.pop("every", {})
    grids = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise RequestError(f"{file}: {name}: expected a table")
        merged = {**common, **table, "request": {**common.get("request", {}), **table.get("request", {})}}
        try:
            grids[name] = Grid.model_validate(merged)
        except ValidationError as error:
            raise RequestError(f"{file}: {name}: {_wrong(error)}") from error
    return grids


def tune(grid: Grid, **how: Any) -> dict[str, Any]:
    """Run a grid and choose. Returns the grid, what was found of every value and victim, and the value chosen."""
    check(grid)
    figures, commands = [], []
    commits: set[str] = set()
    for value in grid.candidates:
        options = {**grid.options(), "defenses": grid.selection(value)}
        results = bench.run(**options, **how)
        figures.append({"value": value, **summary(results.frame), "cells": cells(results.frame)})
        commands.append(options)
        commits |= {record.commit for record in results.records if record.commit}
    return {
        "grid": grid.model_dump(mode="json"),
        "version": bench.__version__,
        "commit": sorted(commits),
        "requests": json.loads(json.dumps(commands, default=str)),
        "figures": json.loads(pd.Series(figures).to_json(orient="values", double_precision=6)),
        "chosen": chosen(figures, grid.published),
    }


def check(grid: Grid) -> None:
    """Raise RequestError if the defense does not have the parameter, or not with these values."""
    registry = Registry([Path(file) for file in grid.request.get("plugin", [])])
    for value in grid.candidates:
        for choice in parse(grid.selection(value)):
            registry.create("defense", grid.defense, choice.parameters)


def summary(frame: pd.DataFrame) -> dict[str, Any]:
    """What the rule looks at: mean DER over attacked victims, fall of ACC and alarms on benign ones, cells not done."""
    done, benign = frame["status"] == "done", frame["attack"] == "none"
    attacked = frame[done & ~benign & frame["valid"].eq(True)]
    clean = frame[done & benign]
    return {
        "der": float(attacked["der"].mean()),
        "victims": len(attacked),
        "fall": float((clean["acc_before"] - clean["acc"]).mean()),
        "alarms": sum(map(_alarmed, clean["diagnostics"])),
        "benign": len(clean),
        "not_done": int((~done).sum()),
    }


def cells(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Every cell's own figures."""
    columns = ["key", "attack_label", "seed", "status", "reason", "valid", "acc_before", "asr_before"]
    columns += ["acc", "asr", "ra", "der", "acc_target"]
    return [{str(name): value for name, value in row.items()} for row in frame[columns].to_dict("records")]


def chosen(figures: list[dict[str, Any]], published: Value) -> Value:
    """The value that the rule at the top of this file chooses. ``figures``: as ``summary`` has them, with the value."""
    place = [figure["value"] for figure in figures].index(published)
    most_alarms = figures[place]["alarms"]
    allowed = [
        (round(100 * figure["der"], DECIMALS), -abs(number - place), figure["value"])
        for number, figure in enumerate(figures)
        if figure["fall"] <= MAX_ACC_LOSS
        and figure["alarms"] <= most_alarms
        and not figure["not_done"]
        and figure["der"] == figure["der"]
    ]
    return max(allowed, key=lambda one: one[:2])[2] if allowed else published


def page(name: str, found: dict[str, Any]) -> str:
    """What was found, in Markdown."""
    grid = found["grid"]
    lines = [
        f"# {name}: `{grid['parameter']}` of `{grid['defense']}`",
        "",
        f"Chosen: `{_text(found['chosen'])}` (published: `{_text(grid['published'])}`), by the rule in "
        "`benchmarks/tuning.py`, on the validation part. Made by:",
        "",
        f"    python benchmarks/tuning.py {name}",
        "",
        f"Version {found['version']}, commit {', '.join(found['commit']) or 'not known'}. "
        f"Attacks {grid['attacks']}; target classes {_list(grid['targets'])}; seeds {_list(grid['seeds'])}"
        + "".join(f"; {option} {_text(value)}" for option, value in grid["request"].items())
        + ".",
        "",
        f"| {grid['parameter']} | mean DER % | attacked victims | fall of ACC, benign, points | alarms | not done |",
        "|---|---|---|---|---|---|",
    ]
    for figure in found["figures"]:
        mark = "**" if figure["value"] == found["chosen"] else ""
        lines.append(
            f"| {mark}{_text(figure['value'])}{mark} | {_percent(figure['der'])} | {figure['victims']} "
            f"| {_percent(figure['fall'])} | {figure['alarms']} of {figure['benign']} | {figure['not_done']} |"
        )
    return "\n".join([*lines, "", f"[{name}.json]({name}.json) has the figures of every cell.", ""])


def contents(folder: Path) -> str:
    """What the grids in a folder chose, a line each, in Markdown."""
    lines = [
        "# What was chosen on the validation part\n",
        "By the rule in `benchmarks/tuning.py`. DER is the mean over attacked victims of seeds from 100 on, in %.\n",
        "| grid | profile | defense | parameter | published | its DER | chosen | its DER | of |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for file in sorted(folder.glob("*.json")):
        found = json.loads(file.read_text(encoding="utf-8"))
        grid, of_value = found["grid"], {figure["value"]: _percent(figure["der"]) for figure in found["figures"]}
        lines.append(
            f"| [{file.stem}]({file.stem}.md) | {grid['request'].get('profile', 'quick')} | {grid['defense']} "
            f"| {grid['parameter']} | {_text(grid['published'])} | {of_value[grid['published']]} "
            f"| {_text(found['chosen'])} | {of_value[found['chosen']]} | {', '.join(map(_text, grid['candidates']))} |"
        )
    return "\n".join([*lines, ""])


def _wrong(error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"] == "missing":
        return f"{first['loc'][0]} is missing"
    return explained(error, Grid.model_fields)


def _alarmed(diagnostics: str) -> bool:
    """Whether a defense took a class of a benign victim for a target."""
    return bool(json.loads(diagnostics).get("class_statistic", {}).get("flagged"))


def _percent(share: float | None) -> str:
    return "–" if share is None or share != share else f"{100 * share:.1f}"


def _list(values: list[int]) -> str:
    return ", ".join(map(str, values))


def _text(value: Any) -> str:
    """A value as a selection writes it, to the last digit."""
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    sys.exit(main())
