"""Choose values of parameters from declared grids, on the validation part and on victims that no table shows.

    python benchmarks/tuning.py [NAME …] [--grids benchmarks/tuning.toml] [--out docs/findings/tuning] [--store DIR]

Each grid in the TOML file is one parameter of one defense or attack; grids.py has the rules by which a value is chosen.
Victims have seeds from 100 on and other target classes than 0, and all figures are of the validation part: no test
image is loaded into a stage, so none decides anything.

Writes NAME.json, with every figure, NAME.md, and README.md, a list of all. Run again, it takes what the store has.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from grids import KINDS, Grid, Told, read_grids, text

import bench
from bench.errors import RequestError
from bench.plan.registry import Registry
from bench.plan.selection import parse

HERE = Path(__file__).parent


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
            (asked.out / f"{name}.md").write_text(page(name, grids[name], found), encoding="utf-8")
            (asked.out / "README.md").write_text(contents(asked.out), encoding="utf-8")
            print(f"{name}: {found['grid']['parameter']}={text(found['chosen'])}")
    except RequestError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def tune(grid: Grid, **how: Any) -> dict[str, Any]:
    """Run a grid and choose. Returns the grid, what was found of every value and victim, and the value chosen."""
    check(grid)
    figures: list[dict[str, Any]] = []
    commands = []
    commits: set[str] = set()
    for value in grid.order():
        options = grid.options(value)
        results = bench.run(**options, **how)
        figures.append({"value": value, **grid.summary(results.frame), "cells": cells(results.frame)})
        commands.append(options)
        commits |= {record.commit for record in results.records if record.commit}
        if grid.decided(figures[-1]):
            break
    return {
        "grid": grid.model_dump(mode="json"),
        "version": bench.__version__,
        "commit": sorted(commits),
        "requests": json.loads(json.dumps(commands, default=str)),
        "figures": json.loads(pd.Series(figures).to_json(orient="values", double_precision=6)),
        "chosen": grid.chosen(figures),
    }


def check(grid: Grid) -> None:
    """Raise RequestError if the plugin does not have the parameter, or not with these values."""
    registry = Registry([Path(file) for file in grid.request.get("plugin", [])])
    for value in grid.candidates:
        for choice in parse(grid.selection(value)):
            registry.create(grid.kind, grid.plugin, choice.parameters)


def cells(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Every cell's own figures."""
    columns = ["key", "attack_label", "seed", "status", "reason", "valid", "doubt", "acc_before", "asr_before"]
    columns += ["acc", "asr", "ra", "der", "acc_target"]
    return [{str(name): value for name, value in row.items()} for row in frame[columns].to_dict("records")]


def page(name: str, grid: Grid, found: dict[str, Any]) -> str:
    """What was found, in Markdown."""
    attacks = f"Attacks {found['grid']['attacks']}; target" if "attacks" in found["grid"] else "Target"
    lines = [
        f"# {name}: `{grid.parameter}` of `{grid.plugin}`",
        "",
        f"Chosen: `{text(found['chosen'])}` (published: `{text(grid.published)}`), by the rule in "
        "`benchmarks/grids.py`, on the validation part. Made by:",
        "",
        f"    python benchmarks/tuning.py {name}",
        "",
        f"Version {found['version']}, commit {', '.join(found['commit']) or 'not known'}. "
        f"{attacks} classes {_list(grid.targets)}; seeds {_list(grid.seeds)}"
        + "".join(f"; {option} {text(value)}" for option, value in {**grid.request, **grid.fixed}.items())
        + ".",
        "",
        f"| {' | '.join([grid.parameter, *grid.columns])} |",
        "|" + "---|" * (1 + len(grid.columns)),
    ]
    for figure in found["figures"]:
        mark = "**" if figure["value"] == found["chosen"] else ""
        told = [tell(figure) for tell in grid.columns.values()]
        lines.append(f"| {mark}{text(figure['value'])}{mark} | {' | '.join(told)} |")
    if untried := [text(value) for value in grid.candidates if value not in [one["value"] for one in found["figures"]]]:
        lines += ["", f"Not tried, as a value nearer to the published one works on all: {', '.join(untried)}."]
    return "\n".join([*lines, "", f"[{name}.json]({name}.json) has the figures of every cell.", ""])


def contents(folder: Path) -> str:
    """What the grids in a folder chose, a line each, in Markdown."""
    every = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))}
    lines = [
        "# What was chosen on the validation part\n",
        "By the rules in `benchmarks/grids.py`, with victims of seeds from 100 on. "
        "DER is the mean over attacked victims, in %.",
    ]
    for kind in KINDS:
        what, tell = kind.judged
        head = ["grid", "profile", kind.kind, "parameter", "published", what, "chosen", what, "of"]
        rows = [_line(name, found, kind.kind, tell) for name, found in every.items() if kind.kind in found["grid"]]
        if rows:
            lines += ["", f"| {' | '.join(head)} |", "|" + "---|" * len(head), *rows]
    return "\n".join([*lines, ""])


def _line(name: str, found: dict[str, Any], kind: str, tell: Told) -> str:
    """One grid in the list of all."""
    grid, of_value = found["grid"], {figure["value"]: tell(figure) for figure in found["figures"]}
    told = [
        f"[{name}]({name}.md)",
        grid["request"].get("profile", "quick"),
        grid[kind],
        grid["parameter"],
        *(part for value in (grid["published"], found["chosen"]) for part in (text(value), of_value[value])),
        ", ".join(map(text, grid["candidates"])),
    ]
    return f"| {' | '.join(told)} |"


def _list(values: list[int]) -> str:
    return ", ".join(map(str, values))


if __name__ == "__main__":
    sys.exit(main())
